"""Plays a mission without any I/O: a script instead of the model, a dict instead of the project, a counter as clock.

The driver is the shape of `services.mission_runner` with its hands cut off, so that tests of the core read as
conversations: answers in, record out.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from codex_oss.contracts.budget import BudgetLimits
from codex_oss.contracts.mission import MissionV1
from codex_oss.contracts.profiles import ActionProtocol
from codex_oss.contracts.tools import Match, ToolCall, ToolResult, tool_error
from codex_oss.contracts.validation import check_mission
from codex_oss.missions.decide import Append, AskModel, Finished, RunTool, decide
from codex_oss.missions.envelope import record_of, seal, unseal
from codex_oss.missions.events import (
    Known,
    MissionOpened,
    ModelAnswered,
    NativeCall,
    Recorded,
    ToolFinished,
    ToolStarted,
)
from codex_oss.missions.observation_limit import cut_to_limit
from codex_oss.missions.record import RunRecord, evolve, new_record
from codex_oss.policy.scope import scope_of
from codex_oss.services.model_call import question_of
from codex_oss.services.shown_lines import bounded
from codex_oss.wire.events import (
    ArgumentsDelta,
    FunctionCallStart,
    ItemDone,
    ItemStarted,
    MessageStart,
    TextDelta,
    TurnCompleted,
    TurnEvent,
    TurnStarted,
)
from codex_oss.wire.items import FunctionCall, TurnRequest
from tests.fakes.chat_upstream import call_of

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

SPOKEN: ActionProtocol = "json"
"""What a play is spoken in that does not say; a test module that runs all its plays twice replaces it."""
FILES: dict[str, str] = {
    "app/retry.py": (
        "import time\n\nMAX_RETRIES = 5\n\ndef retry(call):\n    for _ in range(MAX_RETRIES):\n        call()\n"
    ),
    "app/config.py": "TIMEOUT_S = 30\nRETRY_LIMIT = 7\n",
}


def mission(**fields: Any) -> MissionV1:
    """A valid A3 mission over `app/`; keyword arguments replace or add fields."""
    raw: dict[str, Any] = {
        "schema_version": "oss_agent_mission.v1",
        "mission_id": "m_test",
        "tier": "A3",
        "objective": "Where is MAX_RETRIES defined?",
        "allowed_roots": ["app"],
        "allowed_tool_classes": ["read", "search", "list", "safe_git"],
        "required_outputs": ["findings", "confidence"],
        "tool_budget": 8,
        "time_budget_seconds": 120,
        **fields,
    }
    checked = check_mission(raw, limits=BudgetLimits(), new_id="m_new")
    assert checked.mission is not None, checked.problems
    return checked.mission


def call(tool: str, **arguments: Any) -> str:
    """A model's answer that proposes a tool call."""
    return json.dumps({"action_type": "tool_call", "tool_name": tool, "arguments": arguments, "reason": "because"})


def finding(claim: str, *refs: str, **more: Any) -> dict[str, Any]:
    """One finding of a draft."""
    return {"claim": claim, "evidence_refs": list(refs), "confidence": "MEDIUM", **more}


def report(*findings: dict[str, Any], status: str = "COMPLETE", **more: Any) -> str:
    """A model's answer that submits a report."""
    body = {
        "oss_report_version": "1.0",
        "status": status,
        "confidence": "MEDIUM",
        "findings": list(findings),
        "uncertainties": [],
        "caveats": [],
        **more,
    }
    return json.dumps({"action_type": "final_report", "report": body})


def several(*answers: str) -> list[str]:
    """One answer with several actions: several native calls, or several JSON objects."""
    return list(answers)


@dataclass(frozen=True)
class RawCalls:
    """One answer of native calls as a rude model makes them: (name, arguments as text). In JSON only *text* is said."""

    calls: tuple[tuple[str, str], ...]
    text: str = ""


def spoken(answer: str | Sequence[str] | RawCalls, protocol: str, number: int) -> tuple[str, tuple[NativeCall, ...]]:
    """What a model says in *protocol* for a scripted answer: text, and native calls.

    A script is written in JSON action objects, whichever protocol it is spoken in; what is no action object is said as
    text. number: of the answer, for call ids.
    """
    if isinstance(answer, RawCalls):
        made, said = list(answer.calls), [answer.text]
    else:
        texts = [answer] if isinstance(answer, str) else list(answer)
        actions = [action_in(text) if protocol == "tools" else None for text in texts]
        said = [text for text, action in zip(texts, actions, strict=True) if action is None]
        named = [call_of(action) for action in actions if action is not None]
        made = [(name, json.dumps(arguments)) for name, arguments in named]
    calls = tuple(NativeCall(f"call_{number}_{at}", name, given) for at, (name, given) in enumerate(made))
    return "\n".join(said), calls if protocol == "tools" else ()


def action_in(text: str) -> dict[str, Any] | None:
    """The action object that a text is; None for any other text."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "action_type" in value else None


def answers_in(request: TurnRequest) -> int:
    """How often the model has answered in the conversation of a request."""
    said = [isinstance(item, FunctionCall) or getattr(item, "role", "") == "assistant" for item in request.items]
    return sum(now and not before for before, now in itertools.pairwise([False, *said]))


def turn_events(answer: str | Sequence[str], request: TurnRequest) -> list[TurnEvent]:
    """A whole turn in which a model says *answer*, in the protocol that *request* asks for."""
    number = answers_in(request)
    text, calls = spoken(answer, "tools" if request.tools else "json", number)
    events: list[TurnEvent] = [TurnStarted("m")]
    if text or not calls:
        events += [ItemStarted(0, MessageStart("final_answer")), TextDelta(0, text), ItemDone(0)]
    for index, made in enumerate(calls, 1):
        start = FunctionCallStart(made.call_id, made.name)
        events += [ItemStarted(index, start), ArgumentsDelta(index, made.arguments), ItemDone(index)]
    return [*events, TurnCompleted()]


class Play:
    """One mission being played, in either protocol.

    `answers` are texts (several at once as `several(...)`), or exceptions' stand-ins `("failed", code)`.
    """

    def __init__(
        self,
        contract: MissionV1,
        answers: Sequence[Any] | Callable[[RunRecord], Any],
        files: Mapping[str, str] | None = None,
        *,
        seconds_per_call: float = 1.0,
        context_tokens: int = 32_768,
        root_entries: dict[str, int] | None = None,
        max_events: int = 400,
        protocol: ActionProtocol | None = None,
    ) -> None:
        self.contract = contract
        self.answers = answers
        self.files = dict(FILES if files is None else files)
        self.seconds_per_call = seconds_per_call
        self.now = START
        self.record = new_record("run_1", contract.mission_id)
        self.events: list[Recorded] = []
        self.lines: list[bytes] = []
        self.asked = 0
        self.max_events = max_events
        self.count_tokens = 10
        """What the upstream says that each prompt had."""
        self.thought = ""
        """What the model says that it thought before each answer with calls."""
        self.opening = MissionOpened(
            mission=contract,
            model_alias="mission-a3-test",
            profile="test",
            upstream_model="test-model",
            context_tokens=context_tokens,
            root_entries=root_entries or {},
            action_protocol=protocol or SPOKEN,
        )

    def run(self) -> RunRecord:
        """Play to the end; fails when the mission does not end by itself."""
        self.append(self.opening)
        while len(self.events) < self.max_events:
            step = decide(self.record, self.now_ms, scope_of(self.contract))
            match step:
                case Finished():
                    return self.record
                case Append(events):
                    self.append(*events)
                case AskModel():
                    self.append(question_of(self.record, step))
                    self.append(self._answer(step))
                case RunTool():
                    if not step.again:
                        self.append(ToolStarted(step.step, step.call, step.tool.tool, step.tool.arguments))
                    left = self.contract.max_total_observation_bytes - self.record.bytes_shown
                    result = cut_to_limit(self._tool(step.tool, step.max_bytes), left)
                    self.append(ToolFinished(step.step, result))
        raise AssertionError("the mission did not end")

    @property
    def now_ms(self) -> int:
        return round(self.now.timestamp() * 1000)

    def append(self, *events: Known) -> None:
        """Seal, keep and fold events, by way of their bytes."""
        for event in events:
            _, line = seal(
                event,
                run_id="run_1",
                mission_id=self.contract.mission_id,
                seq=self.record.last_seq + 1,
                prev_hash=self.record.last_hash,
                created_at=self.now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            )
            recorded = record_of(unseal(line))
            self.lines.append(line)
            self.events.append(recorded)
            evolve(self.record, recorded)

    def _answer(self, step: AskModel) -> ModelAnswered:
        self.now += timedelta(seconds=self.seconds_per_call)
        if callable(self.answers):
            answer = self.answers(self.record)
        else:
            answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, tuple):
            return ModelAnswered(step.call, "", "failed", error_code=answer[1], error_message="it broke")
        text, calls = spoken(answer, self.opening.action_protocol, step.call)
        return ModelAnswered(
            step.call,
            text,
            "completed",
            input_tokens=self.count_tokens,
            output_tokens=5,
            calls=calls,
            reasoning=self.thought if calls else "",
        )

    def _tool(self, tool: ToolCall, max_bytes: int) -> ToolResult:
        arguments = tool.arguments
        if tool.tool == "rtk_read":
            start, end = arguments.get("start_line", 1), arguments.get("end_line")
            return self._read(str(arguments["path"]), start, end, max_bytes)
        if tool.tool == "rtk_grep":
            return self._grep(str(arguments["pattern"]), str(arguments.get("path", "")))
        if tool.tool == "rtk_ls":
            names = tuple(sorted({path.split("/")[-1] for path in self.files}))
            return ToolResult("rtk_ls", "entries", 0, path="app", lines=names)
        return ToolResult(tool.tool, "text", 0, lines=("nothing to see",))

    def _read(self, path: str, start: int, end: int | None, max_bytes: int) -> ToolResult:
        if path not in self.files:
            return tool_error("rtk_read", "not_found", f"{path} does not exist.", exit_code=1, path=path)
        lines = self.files[path].splitlines()
        shown, _ = bounded(lines[start - 1 : end], len(lines), max_bytes - 300, 2_000)
        return ToolResult(
            "rtk_read",
            "extract",
            0,
            path=path,
            start_line=start,
            lines=shown,
            total_lines=len(lines),
            file_sha256="ab" * 32,
            complete=len(shown) == len(lines),
            bytes_read=sum(len(line) + 1 for line in shown),
        )

    def _grep(self, pattern: str, path: str) -> ToolResult:
        inside = {
            name: text for name, text in self.files.items() if name == path or name.startswith(f"{path}/") or not path
        }
        found = [
            Match(name, number, line)
            for name, text in sorted(inside.items())
            for number, line in enumerate(text.splitlines(), 1)
            if re.search(pattern, line)
        ]
        return ToolResult(
            "rtk_grep",
            "matches",
            0 if found else 1,
            matches=tuple(found),
            match_count=len(found),
            files_searched=len(inside),
        )


def play(contract: MissionV1, answers: Sequence[Any] | Callable[[RunRecord], Any], **options: Any) -> RunRecord:
    """Play a mission to its end and return the record."""
    return Play(contract, answers, **options).run()
