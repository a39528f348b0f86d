"""The rude matrix: every way in which an upstream misbehaves, and what each real client made of it.

    RudeModel(row) ◄── bridge ◄── relay (counts) ◄── Codex CLI · OpenCode · openai SDK ──► Seen(exit, shown, requests)
                                                     and the next turn of the same talk

Counterparts: `test_rude_sdk.py`, `test_rude_codex.py` and `test_rude_opencode.py` run it, docs/failures.md shows it.

Rules that hold here:

1. What was measured is kept in `tests/data/rude.json`, and each run is compared with it: exit status, number of
   requests, what is shown. To measure anew after a change that is meant:
       bin/test RUDE ; .venv/bin/python -m tests.clients.rude ; .venv/bin/python -m tests.docs.generated
2. Whatever is recorded, these hold and are asserted: no run is ended by its time limit, no client makes more than
   `MAX_REQUESTS` requests for one prompt, and the next turn of the same conversation is answered.
3. The bridge neither retries here nor falls back nor gives an upstream up, so that each failure is seen by the client.
4. A row is rude for every request of the first prompt; with `times` only for so many (OpenCode repeats without end).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fakes.bridge_process import BridgeProcess, running_bridge
from tests.fakes.chat_upstream import (
    Answer,
    ChatUpstream,
    Hangup,
    Pause,
    Request,
    Reset,
    Send,
    Stall,
    body,
    chunk,
    cut,
    error,
    frame,
    html,
    json_though_asked_to_stream,
    mute,
    payload_of,
    recut,
    stream,
    text,
    tool_call,
)
from tests.fakes.relay import Relay

ROOT: Final = Path(__file__).resolve().parents[2]
RECORD: Final = ROOT / "tests" / "data" / "rude.json"
MEASURED: Final = ROOT / ".cache" / "rude"
MAX_REQUESTS: Final = 6
SAID: Final = "All is well. Grüße, 日本語!"
SAID_AS_JSON: Final = '{"fine": true, "note": "Grüße, 日本語!"}'
"""What the model says where a row lets it, and where a client wants JSON."""
RECOVERED: Final = "Recovered."
AGAIN: Final = "and-again"
"""In the prompt of the next turn; the model answers it well whatever the row says."""
BRIDGE: Final = {
    "UPSTREAM_RETRIES": "0",
    "FALLBACK_MODEL_MAP_JSON": '{"kimi": []}',
    "UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS": "1",
    "UPSTREAM_IDLE_TIMEOUT_SECONDS": "1",
    "CIRCUIT_BREAKER_ERRORS": "1000",
}

Call = tuple[str, dict[str, Any]]
"""A tool that the client offers, and arguments with which it can be run."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of rudeness."""

    name: str
    what: str
    """For the docs."""
    answer: Callable[[Call], Answer]
    daily: bool = False
    """Part of every run; the others only of `bin/test RUDE`."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client made of a row."""

    exit: str
    """`0`, `1`; of the SDK `ok` or the class that it raised."""
    requests: int
    shown: str
    next: str
    """How the next turn of the same conversation went; `answered`."""


def _row(name: str, what: str, answer: Answer | Callable[[Call], Answer], *, daily: bool = False) -> Row:
    return Row(name, what, answer if callable(answer) else lambda _: answer, daily)


def _halved(answer: Answer, how: Any) -> Answer:
    return _after_a_while(cut(answer, len(payload_of(answer)) // 2, how))


def _call_cut(how: Any) -> Callable[[Call], Answer]:
    def answer(call: Call) -> Answer:
        whole = tool_call(*call)
        begun = b"".join(step.data for step in whole.steps[:3] if isinstance(step, Send))
        return _after_a_while(cut(whole, len(begun), how))

    return answer


def _pieces(*deltas: dict[str, Any]) -> Answer:
    return stream(deltas, finish="tool_calls")


def _piece(call: Call, call_id: str, index: int = 0) -> dict[str, Any]:
    function = {"name": call[0], "arguments": json.dumps(call[1])}
    return {"index": index, "id": call_id, "type": "function", "function": function}


def _index_reused(call: Call) -> Answer:
    return _pieces({"tool_calls": [_piece(call, "call_a")]}, {"tool_calls": [_piece(call, "call_b")]})


def _error_inside() -> Answer:
    broken = frame({"error": {"message": "overloaded", "code": 503}}) + frame("[DONE]")
    return _after_a_while(Answer((Send(chunk({"content": "All is"})), Send(broken))))


def _no_end() -> Answer:
    answer = text("All is", finish=None, usage=None, done=False)
    return _after_a_while(replace(answer, steps=(*answer.steps, Send(b""))))


def _after_a_while(answer: Answer) -> Answer:
    """The last step waits until the bridge has sent on what came before; otherwise chance decides what it says."""
    return replace(answer, steps=(*answer.steps[:-1], Pause(0.5), answer.steps[-1]))


_LONG: Final = "This model's maximum context length is 10 tokens"


def _bytewise(answer: Answer) -> Answer:
    return recut(answer, range(len(payload_of(answer))))


def make_rows(said: str) -> tuple[Row, ...]:
    """All rows. said: the text of those that have one."""
    good = text(said, pieces=4)
    return (
        _row("400", "400 with a message", error(400, "bad field"), daily=True),
        _row("400-context", "400: context too long", error(400, _LONG, code="context_length_exceeded"), daily=True),
        _row("401", "401", error(401, "Incorrect API key")),
        _row("403", "403", error(403, "not allowed")),
        _row("404", "404: no such model", error(404, "no such model", code="model_not_found")),
        _row("413", "413", error(413, "too large")),
        _row("429", "429", error(429, "slow down"), daily=True),
        _row("429-after-1", "429, Retry-After 1", error(429, "slow down", retry_after="1")),
        _row("429-after-3600", "429, Retry-After 3600", error(429, "slow down", retry_after="3600")),
        _row("500", "500", error(500, "internal"), daily=True),
        _row("502-html", "502 with a page of HTML", html(502)),
        _row("503", "503", error(503, "overloaded")),
        _row("503-after-1", "503, Retry-After 1", error(503, "overloaded", retry_after="1")),
        _row("200-html", "200 with a page of HTML", html(200)),
        _row("200-empty", "200 without a body", body(b"", content_type=None)),
        _row("untyped", "a good stream without Content-Type", body(payload_of(good), content_type=None)),
        _row("json", "one JSON object instead of a stream", json_though_asked_to_stream(said)),
        _row("reset-before", "reset before the status line", mute(Reset())),
        _row("reset-first", "reset before the first byte of the body", cut(good, 0, Reset())),
        _row("reset-text", "reset within the text", _halved(good, Reset()), daily=True),
        _row("hangup-text", "polite close within the text", _halved(good, Hangup())),
        _row("reset-call", "reset within a call", _call_cut(Reset()), daily=True),
        _row("stall-before", "silence before the status line", mute()),
        _row("stall-text", "silence within the text", _halved(good, Stall())),
        _row("error-inside", "an error object within the stream", _error_inside()),
        _row("empty", "a stream that says nothing", stream([])),
        _row("no-usage", "no usage", text(said, usage=None), daily=True),
        _row("no-finish", "no finish_reason", text(said, finish=None), daily=True),
        _row("no-done", "no [DONE]", text(said, done=False)),
        _row(
            "no-end", "neither finish_reason nor usage nor [DONE]", text("All is", finish=None, usage=None, done=False)
        ),
        _row("length", "finish_reason length", text("All is", finish="length")),
        _row("filtered", "finish_reason content_filter", text("All is", finish="content_filter")),
        _row("index-reused", "two calls, both with index 0", _index_reused, daily=True),
        _row("empty-ids", "calls with empty ids", lambda call: _pieces({"tool_calls": [_piece(call, "")]})),
        _row("one-chunk", "a call in one chunk", lambda call: _pieces({"tool_calls": [_piece(call, "call_a")]})),
        _row(
            "bytewise", "every byte written alone, UTF-8 split", recut(good, range(len(payload_of(good)))), daily=True
        ),
        _row("bytewise-call", "a call, every byte written alone", lambda call: _bytewise(tool_call(*call))),
    )


ROWS: Final = make_rows(SAID)
ROW: Final[Mapping[str, Row]] = {row.name: row for row in ROWS}
CALLS: Final[dict[str, dict[str, Any]]] = {
    "exec_command": {"cmd": "true"},
    "bash": {"command": "true", "description": "Grüße"},
}
"""Tools of the clients that can be run, by their name."""


class RudeModel:
    """The script of an upstream: rude to the first prompt, kind to the next one. times: None means always rude."""

    def __init__(self, row: Row, times: int | None = None) -> None:
        self.row = row
        self._times = times
        self.asked = 0
        """Requests of the first prompt, titles not counted."""

    def __call__(self, request: Request) -> Answer:
        """The answer to one request."""
        tools = [tool["function"]["name"] for tool in request.json.get("tools") or []]
        users = [str(message["content"]) for message in request.messages if message["role"] == "user"]
        if "title" in request.text.lower() and not tools:
            return text("A title")
        if any(AGAIN in said for said in users):
            return text(RECOVERED)
        if any(message["role"] == "tool" for message in request.messages):
            return text("The call ran.")
        self.asked += 1
        if self._times is not None and self.asked > self._times:
            return text("Healed.")
        name = next((name for name in tools if name in CALLS), "bash")
        return self.row.answer((name, CALLS[name]))


@contextmanager
def rude_bridge(project: Path, row: Row, times: int | None = None) -> Iterator[tuple[RudeModel, Relay, BridgeProcess]]:
    """A bridge whose upstream is rude, behind a relay that counts."""
    model = RudeModel(row, times)
    with (
        ChatUpstream(model, max_requests=60) as upstream,
        running_bridge(project, upstream=upstream.base_url, **BRIDGE) as bridge,
        Relay(bridge.port) as relay,
    ):
        yield model, relay, bridge


def rows(*daily: str) -> list[Any]:
    """The rows as parameters of a test; those that do not run every day are marked.

    daily: names of those that do, where they shall be fewer than the table says.
    """
    every_day = daily or [row.name for row in ROWS if row.daily]
    return [pytest.param(row, id=row.name, marks=() if row.name in every_day else pytest.mark.rude) for row in ROWS]


_PLACES: Final = (
    (re.compile(r"\d{1,2}:\d{2} [AP]M"), "TIME"),
    (re.compile(r"(https?|ws)://127\.0\.0\.1:\d+"), "BRIDGE"),
    (re.compile(r"127\.0\.0\.1:\d+"), "UPSTREAM"),
    (re.compile(r"\b(req|resp|chatcmpl|call|thread)_?-?[0-9a-f]{16,}\b"), r"\1_…"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "…"),
    (re.compile(r"column \d+"), "column …"),
)


def plain(shown: str) -> str:
    """What a client showed, without what differs from run to run, on one line of at most 200 characters."""
    shown = shown.replace("\u2060", "")  # `policy.final_words` breaks numbers up with it, ports too
    for pattern, instead in _PLACES:
        shown = pattern.sub(instead, shown)
    shown = " ".join(shown.split())
    return shown if len(shown) <= 200 else shown[:199] + "…"


def note(client: str, row: Row, seen: Seen) -> None:
    """Keep what was measured, for `write_record`."""
    place = MEASURED / client / f"{row.name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(asdict(seen), ensure_ascii=False))


def judge(client: str, row: Row, seen: Seen) -> None:
    """Assert what always holds, note what was measured, and compare it with the record."""
    note(client, row, seen)
    assert seen.exit != "124", f"{client} was still at it when its time was over: {seen}"
    assert 1 <= seen.requests <= MAX_REQUESTS, seen
    assert seen.next == "answered", seen
    recorded = read_record().get(client, {}).get(row.name)
    assert recorded == asdict(seen), f"not as recorded in {RECORD.name}; see the rules of tests/clients/rude.py"


def read_record() -> dict[str, dict[str, dict[str, Any]]]:
    """client → row → what was seen."""
    if not RECORD.exists():
        return {}
    value: dict[str, dict[str, dict[str, Any]]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return value


def write_record() -> None:
    """Take over what the last runs measured; rows that did not run stay as they are."""
    record = read_record()
    for place in sorted(MEASURED.glob("*/*.json")):
        record.setdefault(place.parent.name, {})[place.stem] = json.loads(place.read_text())
    ordered = {
        client: {row.name: record[client][row.name] for row in ROWS if row.name in record[client]}
        for client in sorted(record)
    }
    RECORD.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


OPENCODE_DAILY: Final = ("400", "500", "reset-text", "no-finish")
"""OpenCode takes ten seconds a row."""
CLI_CLIENTS: Final = ("codex", "opencode-responses", "opencode-chat")
SDK_SURFACES: Final = ("responses.create", "responses.stream", "responses.parse", "chat.create", "chat.stream")


def render_failures(client: str) -> str:
    """The table of one command-line client for docs/failures.md."""
    lines = ["| the upstream | exit | requests | what is shown |", "| --- | --- | --- | --- |"]
    for name, seen in read_record().get(client, {}).items():
        lines.append(f"| {ROW[name].what} | {seen['exit']} | {seen['requests']} | {_cell(seen['shown'])} |")
    return "\n".join([*lines, ""])


def render_sdk_failures() -> str:
    """The table of the `openai` package: one column a surface."""
    lines = [f"| the upstream | {' | '.join(f'`{surface}`' for surface in SDK_SURFACES)} |", "| --- " * 6 + "|"]
    record = read_record()
    for row in ROWS:
        seen = [record.get(surface, {}).get(row.name) for surface in SDK_SURFACES]
        lines.append(f"| {row.what} | {' | '.join('' if each is None else _outcome(each) for each in seen)} |")
    return "\n".join([*lines, ""])


def _outcome(seen: Mapping[str, Any]) -> str:
    shown = seen["shown"]
    ending = f" {shown[shown.rindex('[') :]}" if shown.endswith("]") and seen["exit"] == "ok" else ""
    failed = " `response.failed`" if shown == "response.failed" else ""
    times = f" ({seen['requests']})" if seen["requests"] > 1 else ""
    return f"{seen['exit']}{ending}{failed}{times}"


def _cell(shown: str) -> str:
    return shown.replace("|", "\\|").replace("<", "&lt;") or "(nothing)"


if __name__ == "__main__":
    write_record()
