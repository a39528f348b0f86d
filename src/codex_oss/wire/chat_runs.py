"""Runs of chunks that differ in one string only, read as one: what a fast model sends faster than anybody reads.

Counterpart: `wire.chat_stream` learns patterns from chunks that it decoded, and asks them to cut up large reads.

    data: {…"content":"Hel"}…}\n\n data: {…"content":"lo"}…}\n\n data: {…"content":" you"}…}\n\n data: {…other…}
          └─ before ─┘└text┘└after┘       └─ before ─┘└text┘└after┘                               └── rest ──┘

Rules that hold here:

1. Reading a run gives exactly the text that decoding each of its chunks gives. A pattern is proved when it is learned:
   put between its two halves, a marker decodes to the same chunk with the marker as its text. JSON is read from left
   to right, so any other string without quote, backslash and control characters in that place does the same; one with
   them is decoded as the string it claims to be.
2. Whatever is not such a run is left alone (`cut` returns None), and every chunk of it is decoded by itself.
3. The chunk around the text says nothing that could be lost: no finish reason, usage, error, id or name.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

from codex_oss.errors import UpstreamProtocolError
from codex_oss.wire.chat_chunks import CallDelta, Choice, Chunk, Delta, FunctionDelta, decode_chunk

Kind = Literal["content", "reasoning_content", "reasoning", "arguments"]

MARKER: Final = "\u2038marker\u2038"
MIN_TEXTS: Final = 4
"""A shorter run is not worth it."""
_decode_string: Final = msgspec.json.Decoder(str).decode


class RunPattern(Struct, frozen=True):
    """What stands around the text in every chunk of a run. call_index: of `arguments` only."""

    kind: Kind
    before: bytes
    after: bytes
    call_index: int | None = None

    def delta(self, text: str) -> Delta:
        """The one delta that stands for a run."""
        match self.kind:
            case "content":
                return Delta(content=text)
            case "reasoning_content":
                return Delta(reasoning_content=text)
            case "reasoning":
                return Delta(reasoning=text)
            case "arguments":
                return Delta(tool_calls=[CallDelta(self.call_index, None, FunctionDelta(None, text))])

    def cut(self, frames: bytes) -> tuple[str, bytes] | None:
        """Cut the run off the front of *frames* (whole SSE frames, LF only, without the last blank line).

        Returns its text and the frames behind it; None when they do not begin with a run of MIN_TEXTS chunks.
        """
        start = b"data: " + self.before
        if not frames.startswith(start):
            return None
        # By the short half: for a long separator, CPython 3.11 prepares its search anew for every piece.
        between = self.after + b"\n\n"
        pieces = (frames + b"\n\n").split(between)
        end = len(pieces) - 1
        if frames.count(start) != end:
            end = next((at for at in range(1, end) if not pieces[at].startswith(start)), end)
        # Else every piece begins with `start`: one with a second `start` has a bare quote in its text and is refused.
        text = _text_of([piece[len(start) :] for piece in pieces[:end]]) if end >= MIN_TEXTS else None
        return None if text is None else (text, between.join(pieces[end:])[:-2])


def learn_pattern(payload: bytes) -> RunPattern | None:
    """The pattern of a chunk that carries one piece of text and nothing else; None for any other chunk."""
    try:
        chunk = decode_chunk(payload)
        told = _only_text(chunk)
        if told is None:
            return None
        kind, text, call_index = told
        raw = msgspec.json.encode(text)
        if payload.count(raw) != 1:
            return None
        before, after = payload.split(raw)
        pattern = RunPattern(kind, before + b'"', b'"' + after, call_index)
        proof = decode_chunk(pattern.before + MARKER.encode() + pattern.after)
    except (UpstreamProtocolError, UnicodeEncodeError):
        return None
    return pattern if proof == _with_text(chunk, pattern.delta(MARKER)) else None


def _text_of(pieces: list[bytes]) -> str | None:
    """The text of string bodies; None when one of them is none."""
    joined = b"".join(pieces)
    try:
        if b"\\" not in joined:
            return _decode_string(b'"%b"' % joined)
        # A cut between two halves of a surrogate pair is read as two broken characters, here as everywhere.
        return "".join([_decode_string(b'"%b"' % piece) for piece in pieces])
    except (msgspec.MsgspecError, ValueError):
        return None


def _only_text(chunk: Chunk) -> tuple[Kind, str, int | None] | None:
    """Kind, text and index of the call, when the chunk says nothing else."""
    if chunk.error or chunk.usage or chunk.object == "error" or not chunk.choices or len(chunk.choices) != 1:
        return None
    choice = chunk.choices[0]
    delta = choice.delta
    if choice.index or choice.finish_reason or choice.usage or choice.message or delta is None:
        return None
    if calls := delta.tool_calls:
        call = calls[0]
        function = call.function
        silent = not (delta.content or delta.reasoning_content or delta.reasoning or delta.refusal)
        alone = len(calls) == 1 and not call.id and function is not None and not function.name
        if not (silent and alone) or function is None or not function.arguments:
            return None
        return "arguments", function.arguments, call.index
    told: list[tuple[Kind, str | None]] = [
        ("content", delta.content),
        ("reasoning_content", delta.reasoning_content),
        ("reasoning", delta.reasoning),
    ]
    said = [(kind, text) for kind, text in told if text]
    if len(said) != 1 or delta.refusal or delta.function_call:
        return None
    kind, text = said[0]
    assert text is not None
    return kind, text, None


def _with_text(chunk: Chunk, delta: Delta) -> Chunk:
    """The chunk with another delta, roles and empty fields of its own kept."""
    assert chunk.choices is not None
    old = chunk.choices[0].delta
    assert old is not None
    if delta.tool_calls:
        new = msgspec.structs.replace(old, tool_calls=[_with_arguments(old, delta)])
    else:
        said = {name: value for name, value in msgspec.structs.asdict(delta).items() if value}
        new = msgspec.structs.replace(old, **said)
    choice: Choice = msgspec.structs.replace(chunk.choices[0], delta=new)
    return msgspec.structs.replace(chunk, choices=[choice])


def _with_arguments(old: Delta, delta: Delta) -> CallDelta:
    assert old.tool_calls is not None
    assert delta.tool_calls is not None
    function = delta.tool_calls[0].function
    held = old.tool_calls[0]
    assert held.function is not None
    assert function is not None
    told = msgspec.structs.replace(held.function, arguments=function.arguments)
    return msgspec.structs.replace(held, function=told)
