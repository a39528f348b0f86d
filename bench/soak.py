"""Soak: one bridge under mixed load with faults for minutes on end; nothing may hang, leak or be left open.

    .venv/bin/python -m bench.soak [--minutes 30] [--workers 16] [--seed 1]

    workers ─► sse · json · continuation · websocket · chat · mission · leave ─► bridge ─► upstream, often faulty
    every 2 s: resident memory, file descriptors, open turns

Prints a report and writes it to bench/results/soak.json. Exit status 1 when a turn was wedged (no end within
`DEADLINE_S`), torn (the connection ended without a terminal event) or out of order, or when turns stayed open.

Rules that hold here:

1. Load is bounded: each worker has one thing under way, and draws the next one from its own seeded generator.
2. Faults are drawn per upstream request, by the upstream; about three of ten answers are faulty.
3. The slope is a least-squares line through the resident memory after the first fifth of the run, in KiB a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import aiohttp

from tests.fakes.bridge_process import BridgeProcess, running_bridge
from tests.fakes.chat_upstream import (
    Answer,
    ChatUpstream,
    Hangup,
    Pause,
    Request,
    Reset,
    Stall,
    action,
    body,
    cut,
    error,
    html,
    mute,
    payload_of,
    recut,
    text,
    tool_call,
)

DEADLINE_S: Final = 60.0
SAMPLE_S: Final = 2.0
RESULT: Final = Path(__file__).with_name("results") / "soak.json"
MODEL: Final = "ocg-kimi-k2.6"
MISSION_MODEL: Final = "mission-a3-kimi"
TERMINAL: Final = ("response.completed", "response.incomplete", "response.failed")
BRIDGE: Final = {
    "UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS": "2",
    "UPSTREAM_IDLE_TIMEOUT_SECONDS": "2",
    "UPSTREAM_TIMEOUT_SECONDS": "20",
    "UPSTREAM_RETRIES": "1",
    "MAX_GLOBAL_UPSTREAM_CONCURRENCY": "10",
    "MODEL_CONCURRENCY_JSON": '{"kimi-k2.6": 8}',
    "PROXY_STATE_MAX_RESPONSES": "300",
    "CIRCUIT_BREAKER_ERRORS": "8",
    "CIRCUIT_BREAKER_COOLDOWN": "1",
}
"""Short deadlines, fewer upstream places than workers, and a store that is soon full: all of it is at work."""


class Torn(Exception):
    """An answer that ended without its end, or whose events are out of order."""


# --- the upstream ---------------------------------------------------------------------------------------------


class FaultyModel:
    """Answers well most of the time. Counts what it did by kind."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.answers: Counter[str] = Counter()

    def __call__(self, request: Request) -> Answer:
        """The answer to one request."""
        if "oss_agent_mission" in request.text or "action_type" in request.text:
            self.answers["mission"] += 1
            report = {"status": "PARTIAL", "confidence": "LOW", "findings": [], "uncertainties": ["soak"]}
            return action({"action_type": "final_report", "report": report})
        kind = self._random.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
        self.answers[kind] += 1
        return KINDS[kind][1](self._random)


def _good(random: Random) -> Answer:
    return text(
        "word " * random.randint(1, 400), pieces=random.randint(1, 60), reasoning=random.choice(["", "Hm. " * 20])
    )


def _slow(random: Random) -> Answer:
    answer = _good(random)
    steps = [step for each in answer.steps[:20] for step in (each, Pause(0.05))]
    return Answer((*steps, *answer.steps[20:]))


def _cut(random: Random, how: Any) -> Answer:
    answer = _good(random)
    return cut(answer, random.randint(0, len(payload_of(answer))), how)


def _bytewise(random: Random) -> Answer:
    answer = text("Grüße, 日本語! " * 3)
    size = len(payload_of(answer))
    return recut(answer, (random.randint(0, size) for _ in range(200)))


KINDS: Final[dict[str, tuple[int, Callable[[Random], Answer]]]] = {
    "good": (40, _good),
    "slow": (15, _slow),
    "call": (10, lambda random: tool_call("read", {"path": "a" * random.randint(1, 500)})),
    "cut anywhere": (5, _bytewise),
    "reset": (5, lambda random: _cut(random, Reset())),
    "hangup": (5, lambda random: _cut(random, Hangup())),
    "stall": (2, lambda random: _cut(random, Stall())),
    "mute": (1, lambda _: mute()),
    "reset before": (2, lambda _: mute(Reset())),
    "500": (3, lambda _: error(500)),
    "429": (2, lambda _: error(429, retry_after="1")),
    "400": (2, lambda _: error(400)),
    "html": (2, lambda _: html()),
    "garbage": (2, lambda random: body(random.randbytes(3000), content_type="text/event-stream")),
    "no end": (2, lambda _: text("All is", finish=None, usage=None, done=False)),
    "empty": (2, lambda _: body(b"", content_type=None)),
}
"""Kinds of answers with their weight."""


# --- the clients ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Run:
    """What is shared by all workers."""

    bridge: BridgeProcess
    session: aiohttp.ClientSession
    until: float
    outcomes: Counter[str] = field(default_factory=Counter)
    """`ACTION: OUTCOME` → number."""
    troubles: list[str] = field(default_factory=list)
    """The first wedged and torn turns, in words."""
    longest_s: float = 0.0
    missions: itertools.count[int] = field(default_factory=itertools.count)

    def post(self, path: str, create: dict[str, Any]) -> Any:
        """An aiohttp request, to be entered."""
        return self.session.post(f"{self.bridge.base_url}{path}", json=create)


async def work(run: Run, seed: int) -> None:
    """One worker: one thing after the other until the time is over."""
    random = Random(seed)
    names, weights = list(ACTIONS), [weight for weight, _ in ACTIONS.values()]
    while time.monotonic() < run.until:
        name = random.choices(names, weights)[0]
        started = time.monotonic()
        try:
            async with asyncio.timeout(DEADLINE_S):
                outcome = await ACTIONS[name][1](run, random)
        except TimeoutError:
            outcome = "WEDGED"
            run.troubles.append(f"{name}: no end within {DEADLINE_S:g} s")
        except (Torn, aiohttp.ClientError, ConnectionError) as exc:
            outcome = "TORN"
            run.troubles.append(f"{name}: {type(exc).__name__}: {exc}"[:300])
        run.outcomes[f"{name}: {outcome}"] += 1
        run.longest_s = max(run.longest_s, time.monotonic() - started)


def create_of(random: Random, **more: Any) -> dict[str, Any]:
    """A create with a history of some length."""
    tool = {"type": "function", "name": "read", "parameters": {"type": "object"}, "strict": False}
    said = [{"role": "user", "content": "x" * random.randint(1, 4000)} for _ in range(random.randint(1, 4))]
    return {"model": MODEL, "input": said, "tools": [tool], "store": random.random() < 0.3, **more}


async def sse(run: Run, random: Random) -> str:
    """A streamed turn, every frame looked at."""
    return (await _streamed(run, create_of(random)))[0]


async def _streamed(run: Run, create: dict[str, Any]) -> tuple[str, str]:
    """(outcome, response id) of a streamed turn."""
    async with run.post("/responses", {**create, "stream": True}) as answer:
        if answer.status != 200:
            await answer.read()
            return f"HTTP {answer.status}", ""
        events = _events(await answer.read())
        return _outcome(events), str(events[-1]["response"]["id"])


def _events(data: bytes) -> list[dict[str, Any]]:
    if not data.endswith(b"data: [DONE]\n\n"):
        raise Torn(f"the stream ends without [DONE]: …{data[-80:]!r}")
    lines = (line.removeprefix(b"data: ") for line in data.split(b"\n") if line.startswith(b"data: {"))
    return [json.loads(line) for line in lines]


def _outcome(events: list[dict[str, Any]]) -> str:
    if [event["sequence_number"] for event in events] != list(range(len(events))):
        raise Torn("sequence numbers are out of order")
    ends = [event["type"] for event in events if event["type"] in TERMINAL]
    if len(ends) != 1 or events[-1]["type"] != ends[0]:
        raise Torn(f"terminal events: {ends}")
    return ends[0].removeprefix("response.")


async def whole(run: Run, random: Random) -> str:
    """A turn as one JSON object."""
    async with run.post("/responses", create_of(random)) as answer:
        value = await answer.json()
        return str(value["status"]) if answer.status == 200 else f"HTTP {answer.status}"


async def continuation(run: Run, random: Random) -> str:
    """Stored turns, each continuing the one before by its id."""
    previous, outcome = None, ""
    for _ in range(random.randint(2, 4)):
        outcome, previous = await _streamed(run, create_of(random, store=True, previous_response_id=previous, tools=[]))
        if outcome != "completed":
            break
    return outcome


async def websocket(run: Run, random: Random) -> str:
    """Several turns on one connection; sometimes it is dropped in the middle of one."""
    url = run.bridge.base_url.replace("http://", "ws://") + "/responses"
    outcome = ""
    async with run.session.ws_connect(url) as socket:
        for _ in range(random.randint(1, 4)):
            await socket.send_json({"type": "response.create", **create_of(random, store=False)})
            events: list[dict[str, Any]] = []
            while not events or events[-1]["type"] not in TERMINAL:
                message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise Torn(f"the connection ended within a turn: {message.type}")
                event = json.loads(message.data)
                if event["type"] == "error" and "status" in event:
                    outcome = f"error {event['status']}"
                    break
                events.append(event)
                if random.random() < 0.002:
                    return "left"
            else:
                outcome = _outcome(events)
    return outcome


async def chat(run: Run, random: Random) -> str:
    """A chat turn, streamed or whole."""
    create = {"model": MODEL, "messages": [{"role": "user", "content": "x" * random.randint(1, 4000)}]}
    streamed = random.random() < 0.7
    async with run.post("/chat/completions", {**create, "stream": streamed}) as answer:
        data = await answer.read()
        if answer.status != 200:
            return f"HTTP {answer.status}"
    if not streamed:
        return str(json.loads(data)["choices"][0]["finish_reason"])
    chunks = _events(data)
    reasons = [
        choice["finish_reason"] for each in chunks for choice in each.get("choices", ()) if choice["finish_reason"]
    ]
    failed = "error" in chunks[-1]
    if len(reasons) != (not failed):
        raise Torn(f"a chat stream with the finish reasons {reasons}")
    return "failed" if failed else reasons[0]


async def mission(run: Run, _: Random) -> str:
    """A small mission that ends with its first answer."""
    handoff = {
        "schema_version": "oss_agent_mission.v1",
        "mission_id": f"soak-{next(run.missions)}",
        "tier": "A3",
        "objective": "Where is LIMIT defined?",
        "allowed_roots": ["src"],
        "allowed_tool_classes": ["read", "search"],
        "required_outputs": ["findings"],
        "tool_budget": 2,
        "time_budget_seconds": 30,
    }
    said = f"<OSS_HANDOFF_JSON>{json.dumps(handoff)}</OSS_HANDOFF_JSON>"
    return (await _streamed(run, {"model": MISSION_MODEL, "input": said, "store": False}))[0]


async def leave(run: Run, random: Random) -> str:
    """A client that goes away: after the head, or after some bytes."""
    async with run.post("/responses", create_of(random, stream=True)) as answer:
        for _ in range(random.randint(0, 4)):
            if not await answer.content.readany():
                break
        answer.close()
    return "left"


ACTIONS: Final[dict[str, tuple[int, Callable[[Run, Random], Awaitable[str]]]]] = {
    "sse": (30, sse),
    "json": (10, whole),
    "continuation": (10, continuation),
    "websocket": (15, websocket),
    "chat": (20, chat),
    "mission": (2, mission),
    "leave": (13, leave),
}
"""What clients do, with its weight."""


# --- what is measured -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """The bridge at one moment."""

    at_s: float
    rss_kib: int
    fds: int
    open_turns: int


async def watch(run: Run, samples: list[Sample], started: float) -> None:
    """Take a sample every `SAMPLE_S` until cancelled."""
    while True:
        samples.append(await sample(run, time.monotonic() - started))
        await asyncio.sleep(SAMPLE_S)


async def sample(run: Run, at_s: float) -> Sample:
    """One sample."""
    folder = Path(f"/proc/{run.bridge.process.pid}")
    rss = next(line for line in (folder / "status").read_text().splitlines() if line.startswith("VmRSS:"))
    return Sample(round(at_s, 1), int(rss.split()[1]), len(os.listdir(folder / "fd")), await open_turns(run))


async def open_turns(run: Run) -> int:
    """How many turns the bridge says are under way."""
    async with run.session.get(f"{run.bridge.base_url}/health") as answer:
        return int((await answer.json())["in_flight"])


def slope_kib_per_minute(samples: list[Sample]) -> float:
    """The least-squares slope of the resident memory."""
    if len(samples) < 3:
        return 0.0
    slope = statistics.linear_regression([each.at_s / 60 for each in samples], [each.rss_kib for each in samples]).slope
    return round(slope, 1)


async def soak(
    bridge: BridgeProcess, upstream: ChatUpstream, minutes: float, workers: int, seed: int
) -> dict[str, Any]:
    """Run it all and return the report, without the parts that the caller knows."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=bridge.auth) as session:
        started = time.monotonic()
        run = Run(bridge, session, until=started + minutes * 60)
        samples: list[Sample] = []
        tasks = [asyncio.create_task(watch(run, samples, started)), asyncio.create_task(forget(upstream))]
        try:
            await asyncio.gather(*(work(run, seed * 1000 + number) for number in range(workers)))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        left_open = await drained(run)
        samples.append(await sample(run, time.monotonic() - started))
    warm = [each for each in samples if each.at_s >= minutes * 60 / 5]
    return {
        "turns": run.outcomes.total(),
        "outcomes": dict(sorted(run.outcomes.items())),
        "wedged": _counted(run.outcomes, "WEDGED"),
        "torn": _counted(run.outcomes, "TORN"),
        "troubles": run.troubles[:20],
        "longest_s": round(run.longest_s, 2),
        "open_turns_at_end": left_open,
        "rss_kib": {"start": samples[0].rss_kib, "warm": warm[0].rss_kib, "end": samples[-1].rss_kib},
        "rss_slope_kib_per_minute": slope_kib_per_minute(warm),
        "fds": {"start": samples[0].fds, "most": max(each.fds for each in samples), "end": samples[-1].fds},
        "samples": [[each.at_s, each.rss_kib, each.fds, each.open_turns] for each in samples],
    }


def _counted(outcomes: Counter[str], ending: str) -> int:
    return sum(number for name, number in outcomes.items() if name.endswith(ending))


async def drained(run: Run, timeout_s: float = 30) -> int:
    """Wait until no turn is open; how many are when the time is over."""
    count = 0
    for _ in range(int(timeout_s / 0.2)):
        if not (count := await open_turns(run)):
            break
        await asyncio.sleep(0.2)
    return count


async def forget(upstream: ChatUpstream) -> None:
    """The fake keeps every request that it saw; not for half an hour."""
    while True:
        await asyncio.sleep(1)
        upstream.requests.clear()


def main() -> int:
    """Read the options, run, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    model = FaultyModel(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        (project / "src").mkdir(parents=True)
        (project / "src" / "settings.py").write_text("LIMIT = 5\n")
        with (
            ChatUpstream(model, max_requests=1 << 60) as upstream,
            running_bridge(project, upstream=upstream.base_url, **BRIDGE) as bridge,
        ):
            report = asyncio.run(soak(bridge, upstream, options.minutes, options.workers, options.seed))
            logged = bridge.log.read_text()
        report = {
            "minutes": options.minutes,
            "workers": options.workers,
            "seed": options.seed,
            **report,
            "tracebacks_in_log": logged.count("Traceback (most recent call last)"),
            "upstream_answers": dict(sorted(model.answers.items())),
        }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")
    print_report(report)
    return 1 if report["wedged"] or report["torn"] or report["open_turns_at_end"] else 0


def print_report(report: dict[str, Any]) -> None:
    """The report for a person."""
    print(
        f"{report['turns']} turns in {report['minutes']:g} minutes, {report['workers']} workers, seed {report['seed']}"
    )
    for name, count in report["outcomes"].items():
        print(f"  {count:7}  {name}")
    for key in ("wedged", "torn", "open_turns_at_end", "tracebacks_in_log", "longest_s"):
        print(f"{key:18} {report[key]}")
    print(
        f"resident memory    {report['rss_kib']} KiB, slope {report['rss_slope_kib_per_minute']} KiB/min after warm-up"
    )
    print(f"file descriptors   {report['fds']}")
    for trouble in report["troubles"]:
        print(f"!!! {trouble}")
    print(f"written to {RESULT.relative_to(Path.cwd()) if RESULT.is_relative_to(Path.cwd()) else RESULT}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
