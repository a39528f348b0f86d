"""One question of a mission to its model, and what came back.

Counterparts: `missions.prompt` words the conversation, `services.mission_runner` logs question and answer, a lane asks
like any other client of it.

    record ─► TurnRequest (in the first form) ─► lane ─► ModelAnswered
                 ▲ the next form                  │
                 └──────── refused (HTTP 400) ◄───┘

Rules that hold here:

1. A form is what the upstream is told about the shape of the answer. It helps and is never trusted. An upstream that
   refuses a form is asked again without it: the turn is not lost, and the log remembers for the turns to come.
2. Everything of the model's is redacted and bounded before it becomes part of an event.
3. What was thought is kept only beside calls, and only for an upstream that wants it back.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import BridgeError, fault_of
from codex_oss.missions.action_schema import action_schema
from codex_oss.missions.decide import AskModel
from codex_oss.missions.events import (
    Known,
    MissionOpened,
    ModelAnswered,
    ModelAsked,
    ModelReplaced,
    NativeCall,
)
from codex_oss.missions.native_calls import MAX_CALLS, REPORT_FUNCTION
from codex_oss.missions.prompt import build_conversation, texts_of
from codex_oss.missions.record import RunRecord
from codex_oss.missions.window import answer_tokens, prompt_bytes
from codex_oss.policy.exposure import Redactor
from codex_oss.wire.events import (
    ArgumentsDelta,
    FunctionCallStart,
    ItemStarted,
    Lane,
    MessageStart,
    ReasoningDelta,
    TextDelta,
    TurnCompleted,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
    batches_of,
)
from codex_oss.wire.items import Sampling, TextFormat, ToolChoice, TurnRequest
from codex_oss.wire.loose_json import clean_text

MAX_ANSWER_CHARS: Final = 200_000
"""More than this is cut: no action is that long, and the log keeps what was answered."""
MAX_THOUGHT_CHARS: Final = 60_000
"""More than this of what was thought beside a call does not go back."""
JSON_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "json_schema": ("json_schema", "json_object", "text"),
    "json_object": ("json_object", "text"),
    "none": ("text",),
}
"""What a profile says its upstream honours, to the forms that are tried, one after the other."""
TOOL_FORMS: Final = ("required", "auto")
FORM_REFUSED: Final = frozenset({"upstream_refused"})
"""Codes of a refusal that another form may mend."""
logger = logging.getLogger(__name__)


class ModelCalls:
    """Asks the models of missions. monotonic_ms: a clock that nobody sets."""

    def __init__(
        self,
        lane: Lane,
        redactor: Redactor,
        monotonic_ms: Callable[[], int],
        profiles: Mapping[str, ModelProfile] | None = None,
    ) -> None:
        """profiles: where the one that answers is looked up, should it be another than was asked."""
        self._lane = lane
        self._profiles = profiles or {}
        self._redactor = redactor
        self._monotonic_ms = monotonic_ms

    async def ask(self, record: RunRecord, step: AskModel, model: str) -> tuple[Known, ...]:
        """The answer to the question of *step*, which the record has taken in already. Never raises for the peer.

        Before the ModelAnswered stands a ModelReplaced when another model answered than the mission was opened on.

        model: the name under which the lane is asked.
        """
        started, forms = self._monotonic_ms(), forms_left(record)
        answer = _Answer(record.opened)
        try:
            async with asyncio.timeout(max(1, step.timeout_ms) / 1000):
                await self._listen(answer, turn_of(record, step, model, forms[0]))
                while answer.error_code in FORM_REFUSED and len(forms) > 1:
                    logger.warning("%s: the upstream refused the form %s", record.run_id, forms[0])
                    answer, forms = _Answer(record.opened), forms[1:]
                    await self._listen(answer, turn_of(record, step, model, forms[0]))
        except TimeoutError:
            answer.fail("model_timeout", f"no answer within {max(1, step.timeout_ms) / 1000:.1f} s")
        answered = answer.event(step.call, forms[0], self._monotonic_ms() - started, self._redactor)
        return (*self._replacement(record, answered, answer.started), answered)

    def _replacement(
        self, record: RunRecord, answered: ModelAnswered, started: TurnStarted
    ) -> tuple[ModelReplaced, ...]:
        opened = record.opened
        if opened is None or not answered.answered_by:
            return ()
        profile, asked = self._profiles.get(started.profile), opened.admission.capability_tier
        capability = profile.capability if profile else 0
        return (
            ModelReplaced(
                call=answered.call,
                asked=opened.profile,
                answered=started.profile,
                upstream_model=started.upstream_model,
                reason=started.reason,
                asked_capability=asked,
                capability=capability,
                # The lane asks a weaker model only where the user's files approve it; see policy.retry.
                approval="explicit" if capability < asked else "not_required",
            ),
        )

    async def _listen(self, answer: _Answer, turn: TurnRequest) -> None:
        try:
            async with aclosing(batches_of(self._lane, turn)) as batches:
                async for batch in batches:
                    answer.take(batch)
        except BridgeError as exc:
            answer.fail(exc.code, f"{exc.message} {exc.hint}".rstrip())
        except Exception as exc:
            logger.error("%s failed unexpectedly: %s", turn.response_id, fault_of(exc))
            answer.fail("internal", "The bridge failed; its log has the details.")


def question_of(record: RunRecord, step: AskModel) -> ModelAsked:
    """The question as it is logged, before it is asked."""
    texts = texts_of(build_conversation(record)) + ([step.instruction] if step.instruction else [])
    data = "\0".join(texts).encode(errors="surrogatepass")
    return ModelAsked(
        call=step.call,
        purpose=step.purpose,
        instruction=step.instruction,
        prompt_chars=sum(map(len, texts)),
        prompt_sha256=hashlib.sha256(data).hexdigest(),
        timeout_ms=max(1, step.timeout_ms),
        prompt_bytes=prompt_bytes(record) + len(step.instruction.encode()),
    )


def forms_left(record: RunRecord) -> tuple[str, ...]:
    """The forms that this run's upstream has not refused yet, the most helpful first."""
    opened = record.opened
    if opened is None:
        return ("text",)
    tools = opened.action_protocol == "tools"
    forms = TOOL_FORMS if tools else JSON_FORMS.get(opened.structured_output, ("text",))
    return forms[forms.index(record.form) :] if record.form in forms else forms


def turn_of(record: RunRecord, step: AskModel, model: str, form: str) -> TurnRequest:
    """The question as a turn like any other."""
    conversation = build_conversation(record)
    return TurnRequest(
        response_id=f"resp_{record.run_id}_{step.call}",
        model=model,
        items=conversation.items,
        instructions=conversation.instructions,
        tools=conversation.functions,
        tool_choice=_choice(step, form),
        stream=True,
        store=False,
        text_format=_text_format(record, step, form),
        sampling=Sampling(temperature=0.0),
        max_output_tokens=max(1, answer_tokens(record)),
        prompt_cache_key=record.run_id[:64],
        session_id=record.run_id,
    )


def _choice(step: AskModel, form: str) -> ToolChoice:
    if form != "required":
        return ToolChoice()
    return ToolChoice("named", (REPORT_FUNCTION,)) if step.purpose == "final_report" else ToolChoice("required")


def _text_format(record: RunRecord, step: AskModel, form: str) -> TextFormat:
    if form == "json_schema":
        return TextFormat("json_schema", "action", action_schema(record, step.purpose), True, spoken=False)
    return TextFormat("json_object", spoken=False) if form == "json_object" else TextFormat()


class _Answer:
    """Collects a turn: the text of its messages and its calls; of what was thought only what goes back."""

    def __init__(self, opened: MissionOpened | None) -> None:
        self.takes_calls = opened is not None and opened.action_protocol == "tools"
        self.keeps_reasoning = self.takes_calls and opened is not None and opened.replay_reasoning
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.calls: dict[int, tuple[FunctionCallStart, list[str]]] = {}
        self.calls_dropped = 0
        self.chars = 0
        self.thought_chars = 0
        self.messages: set[int] = set()
        self.usage = Usage()
        self.profile = opened.profile if opened is not None else ""
        self.started = TurnStarted()
        self.outcome: str = ""
        self.error_code = ""
        self.error_message = ""

    def take(self, batch: Sequence[object]) -> None:
        for event in batch:
            match event:
                case TurnStarted():
                    self.started = event
                case ItemStarted(index=index, item=MessageStart()):
                    self.messages.add(index)
                case ItemStarted(index=index, item=FunctionCallStart() as call) if self.takes_calls:
                    if len(self.calls) < MAX_CALLS:
                        self.calls[index] = (call, [])
                    else:
                        self.calls_dropped += 1
                case TextDelta(index=index, text=text) if index in self.messages:
                    self._keep(self.texts, text)
                case ArgumentsDelta(index=index, text=text) if index in self.calls:
                    self._keep(self.calls[index][1], text)
                case ReasoningDelta(text=text) if self.keeps_reasoning and self.thought_chars < MAX_THOUGHT_CHARS:
                    self.thoughts.append(text[: MAX_THOUGHT_CHARS - self.thought_chars])
                    self.thought_chars += len(text)
                case UsageReported(usage=usage):
                    self.usage = usage
                case TurnCompleted():
                    self.outcome = "completed"
                case TurnIncomplete():
                    self.outcome = "incomplete"
                case TurnFailed(code=code, message=message):
                    self.fail(code, message)
                case _:
                    pass

    def _keep(self, kept: list[str], text: str) -> None:
        if self.chars < MAX_ANSWER_CHARS:
            kept.append(text[: MAX_ANSWER_CHARS - self.chars])
            self.chars += len(text)

    def fail(self, code: str, message: str) -> None:
        self.outcome, self.error_code, self.error_message = "failed", code, message

    def event(self, call: int, form: str, duration_ms: int, redactor: Redactor) -> ModelAnswered:
        if not self.outcome:
            self.fail("stream_interrupted", "the lane ended without a closing event")
        failed = self.outcome == "failed"
        text = redactor.redact("".join(self.texts))
        made = [] if failed else [self._call(call, at, redactor) for at in self.calls]
        thought = redactor.redact("".join(self.thoughts)) if made else redactor.redact("")
        return ModelAnswered(
            call=call,
            text=text.text,
            outcome=self.outcome,  # type: ignore[arg-type]
            error_code=self.error_code,
            error_message=redactor.redact(self.error_message).text[:500],
            input_tokens=self.usage.input_tokens,
            output_tokens=self.usage.output_tokens,
            cached_tokens=self.usage.cached_tokens,
            usage_estimated=self.usage.estimated,
            duration_ms=duration_ms,
            redactions=text.count + thought.count + sum(count for _, count in made),
            calls=tuple(native for native, _ in made),
            calls_dropped=self.calls_dropped,
            reasoning=thought.text,
            answered_by=self.started.profile if self.started.profile not in ("", self.profile) else "",
            form="" if failed else form,
        )

    def _call(self, question: int, at: int, redactor: Redactor) -> tuple[NativeCall, int]:
        start, pieces = self.calls[at]
        arguments = redactor.redact(clean_text("".join(pieces)))
        name = redactor.redact(clean_text(start.name[:200]))
        # Without an id the call could not be answered.
        call_id = redactor.redact(start.call_id).text or f"call_{question}_{at}"
        return NativeCall(call_id, name.text, arguments.text), arguments.count + name.count
