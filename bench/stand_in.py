"""A model server that streams what the model's name says, as Chat Completions or as Responses. Loopback only.

    python bench/stand_in.py PORT [SECONDS]      # ends by itself after SECONDS (3600)

It judges nothing but the framing of a request; see `workload` for what it sends.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

import uvloop
from workload import Load, kind_of, load_of

SLOT = "s" * 16
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
NAMES = {
    "reasoning": ("response.reasoning_summary_text.delta", "response.reasoning_summary_text.done", "text"),
    "text": ("response.output_text.delta", "response.output_text.done", "text"),
    "arguments": ("response.function_call_arguments.delta", "response.function_call_arguments.done", "arguments"),
}
"""Of a kind of delta: its event, the event that repeats the whole, and that one's field."""
PIECES = (97, 97, 4000)
"""Largest pieces in bytes, one drawn for each, when the stream is cut anywhere."""


def chat_events(load: Load, model: str) -> Iterator[tuple[str, bool]]:
    """Frames of Chat Completions, and whether each is a delta."""

    def frame(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        return f"data: {json.dumps({**chunk, 'choices': [choice]}, separators=(',', ':'))}\n\n"

    yield frame({"role": "assistant", "content": ""}), False
    called = False
    for number in range(load.deltas):
        text = f"{number:07d}.{SLOT} "
        match kind_of(number, load.deltas):
            case "reasoning":
                yield frame({"reasoning_content": text}), True
            case "text":
                yield frame({"content": text}), True
            case _:
                function = {"arguments": ("" if called else '{"a":"') + text}
                head = {} if called else {"id": "call_1", "type": "function"}
                function |= {} if called else {"name": "shell"}
                yield frame({"tool_calls": [{"index": 0, **head, "function": function}]}), True
                called = True
    yield frame({"tool_calls": [{"index": 0, "function": {"arguments": '"}'}}]}), False
    yield frame({}, "tool_calls"), False
    usage = {"prompt_tokens": 1, "completion_tokens": load.deltas, "total_tokens": load.deltas + 1}
    yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n", False
    yield "data: [DONE]\n\n", False


def responses_events(load: Load, model: str) -> Iterator[tuple[str, bool]]:
    """The same answer as a Responses server streams it, its texts repeated as there: what a plain proxy passes on."""
    sequence = -1

    def frame(name: str, **fields: Any) -> str:
        nonlocal sequence
        sequence += 1
        data = json.dumps({"type": name, "sequence_number": sequence, **fields}, separators=(",", ":"))
        return f"event: {name}\ndata: {data}\n\n"

    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": model, "output": []}
    for name in ("response.created", "response.in_progress"):
        yield frame(name, response={**response, "status": "in_progress"}), False
    output: list[dict[str, Any]] = []
    numbers = range(load.deltas)
    for kind, same in itertools.groupby(numbers, lambda number: kind_of(number, load.deltas)):
        index = len(output)
        place = {"item_id": f"item_{index}", "output_index": index}
        delta, done, field = NAMES[kind]
        item = {"id": place["item_id"], "type": kind}
        yield frame("response.output_item.added", output_index=index, item=item), False
        pieces = [f"{number:07d}.{SLOT} " for number in same]
        for piece in pieces:
            yield frame(delta, **place, delta=piece), True
        # The whole text carries no time of sending: only deltas are of an age.
        whole = "".join(pieces).replace(SLOT, "0" * 16)
        yield frame(done, **place, **{field: whole}), False
        output.append({**item, field: whole})
        yield frame("response.output_item.done", output_index=index, item=output[-1]), False
    usage = {"input_tokens": 1, "output_tokens": load.deltas, "total_tokens": load.deltas + 1}
    ended = {**response, "status": "completed", "output": output, "usage": usage}
    yield frame("response.completed", response=ended), False


@functools.lru_cache(64)
def frames_of(path: str, model: str) -> tuple[list[tuple[list[bytes], bool]], Load]:
    """HTTP chunks, split where the time goes, and whether each is a delta."""
    load = load_of(model)
    events = (chat_events if "chat" in path else responses_events)(load, model)
    chunks = [(f"{len(text):x}\r\n{text}\r\n".encode().split(SLOT.encode()), is_delta) for text, is_delta in events]
    return [*chunks, ([b"0\r\n\r\n"], False)], load


class StandIn(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin."""
        self.transport, self.buffer = transport, bytearray()
        self.timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop sending."""
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.buffer[:end]).lower()
        body, used = _body(self.buffer, head, end + 4)
        if body is None:
            return
        path = head.split(b" ", 2)[1].decode()
        del self.buffer[:used]
        frames, load = frames_of(path, json.loads(body)["model"])
        self.transport.write(HEAD)
        if load.per_s:
            self.step(frames, 0, asyncio.get_running_loop().time(), 1 / load.per_s, 0)
            return
        whole = b"".join(b"0000000000000000".join(parts) for parts, _ in frames)
        if load.cut:
            self.cut(whole, 0, random.Random(len(whole)))
        else:
            self.transport.write(whole)

    def step(self, frames: list[tuple[list[bytes], bool]], at: int, begun: float, gap: float, tick: int) -> None:
        """One delta and what needs no time of its own."""
        out, sent = [], False
        while at < len(frames) and not (sent and frames[at][1]):
            parts, is_delta = frames[at]
            sent = sent or is_delta
            out.append((b"%016x" % time.monotonic_ns()).join(parts))
            at += 1
        self.transport.write(b"".join(out))
        if at < len(frames):
            due = begun + (tick + 1) * gap
            self.timer = asyncio.get_running_loop().call_at(due, self.step, frames, at, begun, gap, tick + 1)

    def cut(self, data: bytes, at: int, chance: random.Random) -> None:
        """One piece and its own write, then everybody else's turn."""
        size = chance.randint(1, chance.choice(PIECES))
        self.transport.write(data[at : at + size])
        if at + size < len(data) and not self.transport.is_closing():
            self.timer = asyncio.get_running_loop().call_later(0, self.cut, data, at + size, chance)


def _body(buffer: bytearray, head: bytes, at: int) -> tuple[bytes | None, int]:
    if b"transfer-encoding: chunked" in head:
        parts = []
        while (end := buffer.find(b"\r\n", at)) >= 0:
            size = int(buffer[at:end], 16)
            if len(buffer) < end + 4 + size:
                break
            parts.append(bytes(buffer[end + 2 : end + 2 + size]))
            at = end + 4 + size
            if not size:
                return b"".join(parts), at
        return None, 0
    size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    return (bytes(buffer[at : at + size]), at + size) if len(buffer) >= at + size else (None, 0)


async def main(port: int, seconds: float) -> None:
    """Serve until the time is up."""
    server = await asyncio.get_running_loop().create_server(StandIn, "127.0.0.1", port, backlog=2048)
    await asyncio.sleep(seconds)
    server.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 3600))
