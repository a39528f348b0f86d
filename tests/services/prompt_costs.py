"""What missions cost in questions and prompt bytes, with models that make no detour; exact, and kept.

    python -m tests.services.prompt_costs        writes tests/data/prompt_costs.json anew

Counterparts: `tests/fakes/perfect_missions.py` holds the missions; `test_prompt_costs.py` compares; docs/performance.md
shows the table. Bytes are those of the whole request bodies as an upstream of Chat Completions gets them. What stands
again, byte for byte and in front, in the next request is what an upstream's prefix cache has seen.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, get_args

import msgspec
from msgspec import Struct

from codex_oss.contracts.profiles import ActionProtocol, ModelProfile
from codex_oss.policy.exposure import Redactor
from codex_oss.services.mission_runner import MissionRunner
from codex_oss.services.mission_store import MissionStore
from codex_oss.services.tool_host import ToolHost
from codex_oss.wire.chat_request import encode_chat_request
from codex_oss.wire.events import TurnEvent
from codex_oss.wire.items import TurnRequest
from codex_oss.wiring.records import open_project
from tests.fakes.mission_script import answers_in, turn_events
from tests.fakes.perfect_missions import FILES, MISSIONS, PerfectMission
from tests.services.test_mission_runner import admission

RESULTS: Final = Path(__file__).resolve().parents[1] / "data/prompt_costs.json"
PROTOCOLS: Final[tuple[ActionProtocol, ...]] = get_args(ActionProtocol)
PROFILE: Final = ModelProfile("test", "ocg-test", "test-model", "http://127.0.0.1:9/v1")


class Cost(Struct, frozen=True):
    """Of one mission."""

    calls: int
    """Questions to the model."""
    prompt_bytes: int
    """Of all request bodies together."""
    standing_permille: int
    """Of the messages of a request, so many bytes stand again in front of those of the next: the least of all pairs."""


def measure(folder: Path) -> dict[str, dict[str, Cost]]:
    """Each mission over each protocol."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {
        name: {protocol: asyncio.run(_cost(folder, mission, protocol)) for protocol in PROTOCOLS}
        for name, mission in MISSIONS.items()
    }


async def _cost(project: Path, mission: PerfectMission, protocol: ActionProtocol) -> Cost:
    bodies: list[bytes] = []

    async def lane(request: TurnRequest) -> AsyncIterator[Sequence[TurnEvent]]:
        body, _ = encode_chat_request(request, PROFILE)
        bodies.append(body)
        yield turn_events(mission.answers[answers_in(request)], request)

    with open_project(project) as root, tempfile.TemporaryDirectory() as records:
        redactor = Redactor()
        runner = MissionRunner(MissionStore(Path(records)), ToolHost(root, redactor), lane, redactor)
        last = [seen.record async for seen in runner.run(admission(protocol, **mission.fields))][-1]
    assert last.closed is not None
    assert last.closed.status == "COMPLETE", last.closed
    messages = [_messages_in(body) for body in bodies]
    standing = [_common(now, then) * 1000 // len(now) for now, then in itertools.pairwise(messages)]
    return Cost(len(bodies), sum(map(len, bodies)), min(standing))


def _messages_in(body: bytes) -> bytes:
    """The messages one after the other, as the bytes they are."""
    return b",".join(map(bytes, msgspec.json.decode(body, type=_Messages).messages))


class _Messages(Struct):
    messages: list[msgspec.Raw]


def _common(one: bytes, other: bytes) -> int:
    """Length of what both begin with."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))


def load_costs() -> dict[str, dict[str, Cost]]:
    """As they were measured last."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, dict[str, Cost]])


def render_costs() -> str:
    """The table of docs/performance.md."""
    names = {"json": "JSON", "tools": "native calls"}
    heads = [
        f"{what}, {names[protocol]}" for protocol in PROTOCOLS for what in ("calls", "prompt bytes", "stands again")
    ]
    lines = [f"| mission | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    table = load_costs()
    for name, costs in table.items():
        lines.append(f"| {name} | {' | '.join(_cells(costs[protocol]) for protocol in PROTOCOLS)} |")
    totals = [_total([costs[protocol] for costs in table.values()]) for protocol in PROTOCOLS]
    lines.append(f"| all {len(table)} | {' | '.join(map(_cells, totals))} |")
    return "\n".join(lines) + "\n"


def _cells(cost: Cost) -> str:
    return f"{cost.calls} | {cost.prompt_bytes:,} | {cost.standing_permille / 10:.1f} %"


def _total(costs: list[Cost]) -> Cost:
    calls, sent = sum(cost.calls for cost in costs), sum(cost.prompt_bytes for cost in costs)
    return Cost(calls, sent, min(cost.standing_permille for cost in costs))


def main() -> None:
    """Measure and write the file."""
    with tempfile.TemporaryDirectory() as folder:
        costs = measure(Path(folder))
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=1) + b"\n")


if __name__ == "__main__":
    main()
