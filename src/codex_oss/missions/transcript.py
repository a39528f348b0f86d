"""What a client wrote down of a session, read into one form: `codex exec --json`, or notifications of its app-server.

Counterpart: `missions.observing` holds it against what was emitted. Nothing here knows a mission.

| form | a line is | a message is |
| --- | --- | --- |
| `codex_exec_json` | `{"type": "item.completed", "item": {…}}` | an `agent_message`, or what an `mcp_tool_call` gave¹ |
| `codex_app_server` | `{"method": "item/completed", "params": {…}}` | the same, and `item/mcpToolCall/progress` |
| `bridge_stream` | `data: {"type": "response.…"}` | none: that is what we emitted, not what anybody saw |

¹ And the last message of a spawned agent, in the states of a `collab_tool_call`.

Rules that hold here:

1. Only what the client completed counts: a delta may have been shown, and nobody says so.
2. A file may be cut, mixed with other output, or made up. What is no line of a form is counted, never an error.
3. `codex exec --json` names its thread once, in front; the app-server names it in every notification, those of spawned
   agents too. Of an agent's own messages the former shows the last one only. Observed: Codex CLI 0.169.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

Form = Literal["codex_exec_json", "codex_app_server", "bridge_stream", "unreadable"]
Kind = Literal["message", "tool_result", "progress"]
Ending = Literal["completed", "failed", "interrupted", "open"]

MAX_LINES: Final = 1_000_000


class SeenText(Struct, frozen=True):
    """A text that the client completed."""

    thread_id: str
    turn: str
    """Which turn of the transcript: its id, or its number where the form has no ids; empty before the first."""
    kind: Kind
    text: str
    mission_id: str = ""
    """Of a tool result: the mission that it reports on, if it does."""


class Transcript(Struct):
    """What a client wrote down."""

    form: Form = "unreadable"
    threads: list[str] = []
    """Ids of the threads in it, in the order of their first line."""
    own_thread: str = ""
    """The thread named last in front of its lines, where a form does so."""
    texts: list[SeenText] = []
    endings: dict[str, Ending] = {}
    """Turn to how it ended; `open` when the transcript does not say so."""
    lines: int = 0
    foreign_lines: int = 0
    """Lines that are of no form."""
    torn: bool = False
    """It does not end with a line feed."""


def parse_transcript(data: bytes) -> Transcript:
    """Read a transcript; never raises. Its form is that of the first line that has one."""
    transcript = Transcript(threads=[], texts=[], endings={}, torn=bool(data) and not data.endswith(b"\n"))
    for line in data.splitlines()[:MAX_LINES]:
        if not line.strip():
            continue
        transcript.lines += 1
        value = _object(line)
        if transcript.form == "unreadable":
            transcript.form = _form_of(line, value)
        if transcript.form == "codex_exec_json" and value is not None and isinstance(value.get("type"), str):
            _take_exec(transcript, value)
        elif transcript.form == "codex_app_server" and value is not None and _is_notice(value):
            _take_notification(transcript, value["method"], value["params"])
        elif transcript.form != "codex_app_server" or value is None or "id" not in value:
            transcript.foreign_lines += 1
    return transcript


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _form_of(line: bytes, value: dict[str, Any] | None) -> Form:
    if value is None:
        return "bridge_stream" if line.startswith((b"data: {", b"event: response.")) else "unreadable"
    kind = value.get("type")
    if isinstance(kind, str) and kind.partition(".")[0] in ("thread", "turn", "item"):
        return "codex_exec_json"
    return "codex_app_server" if _is_notice(value) else "unreadable"


def _is_notice(value: dict[str, Any]) -> bool:
    return isinstance(value.get("method"), str) and isinstance(value.get("params"), dict)


def _take_exec(transcript: Transcript, value: dict[str, Any]) -> None:
    kind = value["type"]
    if kind == "thread.started":
        transcript.own_thread = _meet(transcript, value.get("thread_id"))
    elif kind == "turn.started":
        transcript.endings[str(int(_last_turn(transcript) or 0) + 1)] = "open"
    elif kind in ("turn.completed", "turn.failed"):
        transcript.endings[_last_turn(transcript) or "1"] = "completed" if kind == "turn.completed" else "failed"
    elif kind == "item.completed" and isinstance(item := value.get("item"), dict):
        thread = transcript.own_thread
        _take_item(transcript, thread, _last_turn(transcript), item)
        if item.get("type") == "collab_tool_call" and isinstance(agents := item.get("agents_states"), dict):
            _take_agents(transcript, agents)


def _take_agents(transcript: Transcript, agents: dict[str, Any]) -> None:
    """What is shown of spawned agents: each has a thread of its own, and perhaps a last message. Told once a change."""
    for thread_id, state in agents.items():
        thread = _meet(transcript, thread_id)
        if not isinstance(state, dict) or not thread:
            continue
        turn, ended = f"agent:{thread}", state.get("status")
        transcript.endings[turn] = "completed" if ended == "completed" else "open"
        seen = SeenText(thread, turn, "message", text) if isinstance(text := state.get("message"), str) else None
        if seen is not None and seen not in transcript.texts:
            transcript.texts.append(seen)


def _last_turn(transcript: Transcript) -> str:
    return next((turn for turn in reversed(transcript.endings) if turn.isdecimal()), "")


def _take_notification(transcript: Transcript, method: str, params: dict[str, Any]) -> None:
    thread = _meet(transcript, params.get("threadId"))
    told = params.get("turn")
    turn = str(told.get("id") if isinstance(told, dict) else params.get("turnId") or "")
    if method == "turn/started":
        transcript.endings[turn] = "open"
    elif method == "turn/completed":
        status = told.get("status") if isinstance(told, dict) else None
        transcript.endings[turn] = status if status in ("completed", "failed", "interrupted") else "open"
    elif method == "item/completed" and isinstance(item := params.get("item"), dict):
        _take_item(transcript, thread, turn, item)
    elif method == "item/mcpToolCall/progress" and isinstance(text := params.get("message"), str):
        transcript.texts.append(SeenText(thread, turn, "progress", text))


def _take_item(transcript: Transcript, thread: str, turn: str, item: dict[str, Any]) -> None:
    kind = item.get("type")
    if kind in ("agent_message", "agentMessage") and isinstance(text := item.get("text"), str):
        transcript.texts.append(SeenText(thread, turn, "message", text))
    elif kind in ("mcp_tool_call", "mcpToolCall") and isinstance(result := item.get("result"), dict):
        told = result.get("structured_content") or result.get("structuredContent")
        about = _reported_by(told) if isinstance(told, dict) else ""
        content = result.get("content")
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict) and isinstance(text := part.get("text"), str):
                transcript.texts.append(SeenText(thread, turn, "tool_result", text, about))


def _reported_by(told: dict[str, Any]) -> str:
    """The mission whose final report a tool result is; empty for any other result, and while the mission runs."""
    final = "findings" in told and told.get("status") != "OPEN"
    return str(told.get("mission_id") or "") if final else ""


def _meet(transcript: Transcript, thread_id: object) -> str:
    if not isinstance(thread_id, str) or not thread_id:
        return ""
    if thread_id not in transcript.threads:
        transcript.threads.append(thread_id)
    return thread_id
