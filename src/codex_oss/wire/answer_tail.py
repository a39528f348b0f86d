"""What a relayed answer says at its end, read on the fly: how it ended, and its usage.

Counterpart: `server.relayed_turn` shows every chunk on its way to the client. Nothing is decoded or held but a bounded
tail: usage stands near the end of the terminal event and of a JSON object alike.

Rule: within a JSON text a quote is escaped, so `"usage":` outside one can only be the key itself.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final, Literal

import msgspec

from codex_oss.wire.events import Usage

TAIL_BYTES: Final = 32 * 1024
EDGE_BYTES: Final = 64
MAX_LOOKS: Final = 8
ENDING: Final = re.compile(
    rb"(?:^|\n)(?:event: ?response\.(\w+)\r?\n|data: ?\{\"type\": ?\"response\.(\w+)\"|data: ?\[DONE\]\r?\n)"
)
USAGE: Final = b'"usage":'

Ending = Literal["completed", "incomplete", "failed", ""]
_ENDINGS: Final[dict[bytes, Ending]] = {b"completed": "completed", b"incomplete": "incomplete", b"failed": "failed"}


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    """The usage of Responses and of Chat Completions in one."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class AnswerTail:
    """Sees one answer pass."""

    def __init__(self) -> None:
        self.ending: Ending = ""
        """What the terminal event of a stream says; empty when there was none."""
        self._edge = b""
        self._chunks: deque[bytes] = deque()
        self._held = 0

    def see(self, chunk: bytes) -> None:
        """One read."""
        window = self._edge + chunk
        if b"response." in window or b"[DONE]" in window:
            for found in ENDING.finditer(window):
                self._found(found[1] or found[2])
        self._edge = window[-EDGE_BYTES:]
        self._chunks.append(chunk)
        self._held += len(chunk)
        while self._held - len(self._chunks[0]) >= TAIL_BYTES:
            self._held -= len(self._chunks.popleft())

    def _found(self, event: bytes | None) -> None:
        """An event by its name; None for the `[DONE]` of Chat Completions, which the Responses API may send as well."""
        if event is None:
            self.ending = self.ending or "completed"
        else:
            self.ending = _ENDINGS.get(event, self.ending)

    def usage(self) -> Usage | None:
        """The last usage in the tail; None when there is none."""
        tail = b"".join(self._chunks)
        at = len(tail)
        for _ in range(MAX_LOOKS):
            at = tail.rfind(USAGE, 0, at)
            if at < 0 or (found := _usage_at(tail, at + len(USAGE))) is not None:
                return found if at >= 0 else None
        return None


def _usage_at(tail: bytes, start: int) -> Usage | None:
    """The object that begins at *start*; None when no usage does."""
    raw = _object_at(tail, start)
    if raw is None:
        return None
    try:
        said = msgspec.json.decode(raw, type=_Usage)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    into = said.input_tokens if said.input_tokens is not None else said.prompt_tokens
    out = said.output_tokens if said.output_tokens is not None else said.completion_tokens
    if into is None or out is None or into < 0 or out < 0:
        return None
    cached = (said.input_tokens_details or said.prompt_tokens_details or _Details()).cached_tokens
    thought = (said.output_tokens_details or said.completion_tokens_details or _Details()).reasoning_tokens
    return Usage(into, out, max(0, cached or 0), max(0, thought or 0), cached_known=cached is not None)


def _object_at(tail: bytes, start: int) -> bytes | None:
    """The bytes of the JSON object without texts that begins at *start*: a usage holds numbers only."""
    begin = start + len(tail[start : start + 8]) - len(tail[start : start + 8].lstrip())
    if tail[begin : begin + 1] != b"{":
        return None
    depth = 0
    for at in range(begin, min(len(tail), begin + 2048)):
        byte = tail[at]
        depth += (byte == 0x7B) - (byte == 0x7D)
        if depth == 0:
            return tail[begin : at + 1]
    return None
