"""Generated conversations, the upstream's side: the bytes of chat answers of every rude shape, cut at any byte.

    answer(rng) ─► frames (deltas, finish, usage, [DONE], noise) ─► spoiled (cut, error, HTML …) ─► pieces

Rules that hold here:

1. Everything is drawn from one `random.Random`.
2. Most of the answers are whole; the others break one or several of the habits that clients rely on.
3. Each habit broken here was met in a real server: see "Pitfalls" in the tables of tests/wire/test_chat_stream.py.
"""

from __future__ import annotations

import itertools
import json
from random import Random
from typing import Any, Final

from tests.conversations.requests import CALL_NAMES, WORDS

Chunk = dict[str, Any]
FINISHES: Final = ("stop", "tool_calls", "function_call", "length", "content_filter", "eos", "", None, "error")
ARGUMENTS: Final = (
    '{"path":"a.py"}',
    '{"input":"raw ☃ text"}',
    "{}",
    "",
    '{"path":"a',
    "not json",
    '"just text"',
    "[1]",
)


def answer(rng: Random) -> list[bytes]:
    """The reads of one answer."""
    return cut(rng, spoiled(rng, frames(rng)))


def frames(rng: Random) -> bytes:
    """A stream before something cuts it."""
    end = rng.choice([b"\n\n", b"\n\n", b"\r\n\r\n", b"\r\r"])
    out: list[bytes] = []
    for chunk in [*chunks(rng), *ending(rng)]:
        if rng.random() < 0.05:
            out.append(rng.choice([b": keep-alive", b"event: message", b"retry: 10", b"id: 7", b": \xff\xfe"]) + end)
        ascii_only = rng.random() < 0.3
        out.append(b"data: " + json.dumps(chunk, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") + end)
    if rng.random() < 0.85:
        out.append(b"data: [DONE]" + end)
    if rng.random() < 0.03:
        out.append(b"data: " + json.dumps(delta({"content": "after the end"})).encode() + end)
    return (b"\xef\xbb\xbf" if rng.random() < 0.03 else b"") + b"".join(out)


def chunks(rng: Random) -> list[Chunk]:
    """The deltas: role, reasoning, text and calls."""
    out = [delta(rng.choice([{"role": "assistant", "content": ""}, {"role": "assistant", "content": None}, {}]))]
    for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 2, 3])):
        out += rng.choice([text, text, reasoning, thinking, calls, calls, refusal, old_call])(rng)
    return out


def delta(fields: dict[str, Any], finish: Any = None) -> Chunk:
    """A chunk with one choice."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "glm-5", "choices": [choice]}


def text(rng: Random) -> list[Chunk]:
    """Content in one to five deltas."""
    return [delta({"content": rng.choice(WORDS)}) for _ in range(rng.randint(1, 5))]


def reasoning(rng: Random) -> list[Chunk]:
    """Reasoning under one of the names that vendors use."""
    key = rng.choice(["reasoning_content", "reasoning"])
    return [delta({key: rng.choice(WORDS), "content": rng.choice([None, ""])}) for _ in range(rng.randint(1, 3))]


def thinking(rng: Random) -> list[Chunk]:
    """Inline thinking, its tags cut anywhere, sometimes never closed."""
    whole = "<think>" + rng.choice(WORDS) + ("</think>" if rng.random() < 0.8 else "") + rng.choice(WORDS)
    at = sorted(rng.randint(0, len(whole)) for _ in range(3))
    return [delta({"content": whole[a:b]}) for a, b in zip([0, *at], [*at, len(whole)], strict=True)]


def refusal(_: Random) -> list[Chunk]:
    """A refusal in two deltas."""
    return [delta({"refusal": "I can"}), delta({"refusal": "not."})]


def old_call(rng: Random) -> list[Chunk]:
    """A call in the form before `tool_calls`."""
    return [delta({"function_call": {"name": rng.choice(CALL_NAMES), "arguments": rng.choice(ARGUMENTS)}})]


def calls(rng: Random) -> list[Chunk]:
    """One to three calls, numbered well or badly, whole or in pieces, one after the other or interleaved."""
    pieces: list[list[dict[str, Any]]] = []
    for position in range(rng.randint(1, 3)):
        index = rng.choice([position, position, position, 0, None, position + 5])
        call_id = rng.choice([f"call_{position}", f"call_{position}", "", None, "call_0", "x" * 90])
        name, arguments = rng.choice(CALL_NAMES), rng.choice(ARGUMENTS)
        half = rng.randint(0, len(arguments))
        first, second = (arguments, "") if rng.random() < 0.3 else (arguments[:half], arguments[half:])
        begin = _piece(index, call_id, name, first)
        rest = _piece(index, rng.choice([None, None, "", call_id]), rng.choice([None, None, name, ""]), second)
        pieces.append([begin, rest] if second or rng.random() < 0.2 else [begin])
    if rng.random() < 0.1:
        return [delta({"tool_calls": [each for one in pieces for each in one]})]
    flat = [each for one in pieces for each in one]
    if rng.random() < 0.15:
        flat.sort(key=lambda piece: "name" not in piece["function"])
    return [delta({"content": rng.choice([None, None, ""]), "tool_calls": [each]}) for each in flat]


def _piece(index: int | None, call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    piece = {"index": index, "id": call_id, "type": "function", "function": function}
    if name is None:
        del function["name"]
    return {key: value for key, value in piece.items() if value is not None}


def ending(rng: Random) -> list[Chunk]:
    """The finish reason and the usage, where a server sends them."""
    out: list[Chunk] = []
    if rng.random() < 0.9:
        finish = rng.choice(FINISHES) if rng.random() < 0.3 else rng.choice(("stop", "tool_calls"))
        out.append(delta(rng.choice([{}, {"content": ""}, {"content": "."}]), finish))
    if rng.random() < 0.7:
        usage = rng.choice(USAGES)
        out.append({"id": "c1", "choices": rng.choice([[], [], None]), "usage": usage})
    return out


USAGES: Final[tuple[Any, ...]] = (
    {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
    {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 2}},
    {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 9},
    {"prompt_tokens": 10.0, "completion_tokens": "5"},
    {"prompt_tokens": -1, "completion_tokens": None, "prompt_tokens_details": None},
    {"prompt_tokens": 1 << 70, "completion_tokens": 5},
    {},
    None,
)


def spoiled(rng: Random, data: bytes) -> bytes:
    """The answer as it arrives: mostly whole, else cut, broken inside, or no stream at all."""
    kind = rng.random()
    if kind < 0.8:
        return data
    at = rng.randint(0, len(data))
    if kind < 0.9:
        return data[:at]
    if kind < 0.95:
        return data[:at] + rng.choice(NOISE) + data[at:]
    return rng.choice(BODIES)


NOISE: Final = (
    b'data: {"error":{"message":"overloaded","code":503}}\n\n',
    b'data: {"error":"out of memory"}\n\n',
    b"data: {not json}\n\n",
    b"data: [1,2]\n\ndata: null\n\n",
    b"\xff\xfe\x00",
    b"\n\n\n",
    b"<html>502</html>",
    b'data: {"choices":[{"delta":null}]}\n\n',
)
BODIES: Final = (
    b"",
    b"<!doctype html><h1>Sign in</h1>",
    b'{"error":{"message":"nope","code":"model_not_found"}}',
    b'{"choices":[{"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}]}',
    b'{"choices":[{"message":{"content":null,"tool_calls":[{"id":"c","function":{"name":"read","arguments":"{}"}}]}}]}',
    b"data: [DONE]\n\n",
    b"null",
)


def cut(rng: Random, data: bytes) -> list[bytes]:
    """The same bytes in reads that end anywhere: inside a character, a frame, a name; sometimes after every byte."""
    if rng.random() < 0.05:
        return [data[at : at + 1] for at in range(len(data))]
    marks = sorted({0, len(data), *(rng.randint(0, len(data)) for _ in range(rng.choice([0, 1, 3, 12])))})
    return [data[a:b] for a, b in itertools.pairwise(marks)] or [b""]
