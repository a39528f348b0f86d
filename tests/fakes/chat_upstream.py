"""A loopback model server that replays scripts and is as rude as the real ones. What it says in Chat Completions is
built here, what it says in Responses in `fakes.responses_upstream`.

Use it from any test, sync or async (it runs in a thread of its own), or from another process:

    with ChatUpstream([text("hello"), error(503)]) as upstream:
        ...                              # point UPSTREAM_BASE at upstream.base_url
        assert upstream.requests[0].json["model"] == "kimi-k2.6"

    python tests/fakes/chat_upstream.py --script answers.json --record seen.jsonl    # first line: listening on …/v1

A script is a list of answers (one each, in the order of arrival), or a function `Request -> Answer`, which lets
missions be scripted by what they ask. `action({...})` answers with one mission action, in the protocol of the request:
as a native call where the request offers the functions of a mission, otherwise as one JSON object.

Rules that hold here:

1. Every step of an answer is one write on the socket, so a test decides the byte borders the bridge will read.
2. A request beyond the script gets a 500 that says so, and no server answers more than `max_requests`: a client
   that loops fails the test instead of hanging it.
3. What arrives is recorded before it is answered; `wait_for_requests` and `Request.client_left` replace sleeps.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

SSE: Final = "text/event-stream; charset=utf-8"
MODEL: Final = "fake-upstream-model"


@dataclass(frozen=True, slots=True)
class Send:
    """Write these body bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait. Only for tests of deadlines; use Hold to order things."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait until the test calls `upstream.release(name)`, or the client leaves."""

    name: str


@dataclass(frozen=True, slots=True)
class Stall:
    """Say nothing more and keep the connection open until the client leaves."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Abort the connection with a TCP reset."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection politely, but without the end of the body."""


Step = Send | Pause | Hold | Stall | Reset | Hangup


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted HTTP answer."""

    steps: tuple[Step, ...]
    status: int = 200
    content_type: str | None = SSE
    """None sends no Content-Type at all."""
    headers: tuple[tuple[str, str], ...] = ()
    plain: bytes | None = None
    """The body for a request that did not ask to stream; None sends `steps` whatever was asked."""
    before_head: tuple[Step, ...] = ()
    """Steps before the status line: a slow or dead upstream."""
    native: Answer | None = None
    """What is said instead to a mission that is spoken in native calls."""


@dataclass(slots=True)
class Request:
    """One request as it arrived. headers: names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    json: Any
    client_left: threading.Event = field(default_factory=threading.Event)
    """Set when the client closed the connection before the answer was whole."""
    answered: threading.Event = field(default_factory=threading.Event)
    """Set when the whole answer was written."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The chat messages of the body."""
        return list(self.json["messages"])

    @property
    def speaks_tools(self) -> bool:
        """Whether a mission asks in the protocol `tools`."""
        tools = self.json.get("tools") if isinstance(self.json, dict) else None
        return any(tool.get("function", {}).get("name") == "final_report" for tool in tools or ())

    @property
    def text(self) -> str:
        """All string content of the messages, joined by newlines; for scripts that go by content."""
        return "\n".join(str(message.get("content") or "") for message in self.messages)


Script = Sequence[Answer] | Callable[[Request], Answer]


# --- builders -------------------------------------------------------------------------------------------------


def frame(payload: Any) -> bytes:
    """One SSE frame; a string goes out as it is (`[DONE]`)."""
    data = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return f"data: {data}\n\n".encode()


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None, **extra: Any) -> bytes:
    """A `chat.completion.chunk` frame with one choice."""
    return frame(
        {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": MODEL,
            "choices": [{"index": 0, "delta": dict(delta), "finish_reason": finish_reason}],
            **extra,
        }
    )


def usage_chunk(prompt: int = 11, completion: int = 7) -> bytes:
    """The frame with usage and without choices that follows the finish reason."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return frame({"id": "chatcmpl-fake", "object": "chat.completion.chunk", "choices": [], "usage": usage})


def stream(
    deltas: Iterable[Mapping[str, Any]],
    *,
    finish: str | None = "stop",
    usage: tuple[int, int] | None = (11, 7),
    done: bool = True,
    plain: Mapping[str, Any] | None = None,
) -> Answer:
    """A streamed answer, one write a delta. finish, usage and done set to None or False leave that part out."""
    frames = [chunk({"role": "assistant", "content": ""}), *(chunk(delta) for delta in deltas)]
    if finish is not None:
        frames.append(chunk({}, finish))
    if usage is not None:
        frames.append(usage_chunk(*usage))
    if done:
        frames.append(frame("[DONE]"))
    whole = None if plain is None else completion(plain, finish=finish, usage=usage)
    return Answer(tuple(Send(data) for data in frames), plain=whole)


def text(
    content: str,
    *,
    pieces: int = 3,
    reasoning: str = "",
    finish: str | None = "stop",
    usage: tuple[int, int] | None = (11, 7),
    done: bool = True,
) -> Answer:
    """An assistant text, cut into about *pieces* deltas; answers in JSON when no stream was asked for."""
    size = max(1, -(-len(content) // max(1, pieces)))
    deltas: list[dict[str, Any]] = [{"reasoning_content": reasoning}] if reasoning else []
    deltas += [{"content": content[at : at + size]} for at in range(0, len(content), size)]
    return stream(deltas, finish=finish, usage=usage, done=done, plain={"content": content})


def action(value: Mapping[str, Any], **options: Any) -> Answer:
    """One mission action: an object as the whole text of the answer, or the native call that says the same."""
    name, arguments = call_of(value)
    return replace(text(json.dumps(value, ensure_ascii=False), **options), native=tool_call(name, arguments, **options))


def call_of(value: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and arguments of the native call that says the same as an action object."""
    if "report" in value:
        return "final_report", value["report"]
    return str(value.get("tool_name", value.get("action_type"))), value.get("arguments", {})


def tool_call(name: str, arguments: Mapping[str, Any] | str, *, call_id: str = "call_1", **options: Any) -> Answer:
    """One function call, its arguments in two deltas. arguments given as text go out unchecked."""
    return tool_calls([(call_id, name, arguments)], **options)


def tool_calls(calls: Sequence[tuple[str, str, Mapping[str, Any] | str]], **options: Any) -> Answer:
    """Several function calls of one turn: (call_id, name, arguments)."""
    deltas: list[dict[str, Any]] = []
    whole: list[dict[str, Any]] = []
    for index, (call_id, name, arguments) in enumerate(calls):
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        head = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        half = len(raw) // 2
        deltas.append({"tool_calls": [head]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in (raw[:half], raw[half:])
        ]
        whole.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": raw}})
    return stream(deltas, plain={"content": None, "tool_calls": whole}, **{"finish": "tool_calls", **options})


def completion(
    message: Mapping[str, Any], *, finish: str | None = "stop", usage: tuple[int, int] | None = (11, 7)
) -> bytes:
    """The body of a `chat.completion` that was not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body: dict[str, Any] = {"id": "chatcmpl-fake", "object": "chat.completion", "model": MODEL, "choices": [choice]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return json.dumps(body, ensure_ascii=False).encode()


def body(data: bytes | str, *, status: int = 200, content_type: str | None = "application/json") -> Answer:
    """These bytes whatever was asked: HTML, broken JSON, an empty body, no content type."""
    raw = data.encode() if isinstance(data, str) else data
    return Answer((Send(raw),) if raw else (), status=status, content_type=content_type)


def html(status: int = 200) -> Answer:
    """The page of a proxy in between."""
    page = "<!doctype html>\n<html><body><h1>Sign in</h1></body></html>"
    return body(page, status=status, content_type="text/html")


def json_though_asked_to_stream(content: str) -> Answer:
    """A whole `chat.completion` as application/json, for an upstream that ignores `stream: true`."""
    return body(completion({"content": content}))


def error(status: int, message: str = "scripted failure", *, code: str = "", retry_after: str = "") -> Answer:
    """An error in the envelope of OpenAI."""
    payload = json.dumps({"error": {"message": message, "type": "fake", "code": code or None}})
    answer = body(payload, status=status)
    return replace(answer, headers=(("Retry-After", retry_after),)) if retry_after else answer


# --- rudeness -------------------------------------------------------------------------------------------------


def payload_of(answer: Answer) -> bytes:
    """All body bytes that an answer would send."""
    return b"".join(step.data for step in answer.steps if isinstance(step, Send))


def recut(answer: Answer, borders: Iterable[int]) -> Answer:
    """The same bytes, written in pieces that end at these offsets."""
    data = payload_of(answer)
    marks = sorted({0, len(data), *(mark for mark in borders if 0 < mark < len(data))})
    pieces = (data[start:end] for start, end in itertools.pairwise(marks))
    native = answer.native and recut(answer.native, borders)
    return replace(answer, steps=tuple(Send(piece) for piece in pieces), native=native)


def cut(answer: Answer, at: int, how: Step = Reset()) -> Answer:
    """The first *at* body bytes, then a reset (or Hangup, or Stall)."""
    native = answer.native and cut(answer.native, at, how)
    return replace(answer, steps=(Send(payload_of(answer)[:at]), how), native=native)


def held(answer: Answer, name: str, *, after: int = 1) -> Answer:
    """Stop after the first *after* steps until the test releases *name*."""
    steps = (*answer.steps[:after], Hold(name), *answer.steps[after:])
    return replace(answer, steps=steps, native=answer.native and held(answer.native, name, after=after))


def mute(*steps: Step) -> Answer:
    """An upstream that takes the request and does not even send a status line (Stall unless told)."""
    return Answer((), before_head=steps or (Stall(),))


# --- the server -----------------------------------------------------------------------------------------------


class _Left(Exception):
    """The client closed the connection, or a step ended the answer."""


class _Protocol(asyncio.StreamReaderProtocol):
    """Streams, plus an event for a client that leaves while an answer is open."""

    def __init__(self, reader: asyncio.StreamReader, handler: Callable[..., Any]) -> None:
        super().__init__(reader, handler)
        self.gone = asyncio.Event()

    def eof_received(self) -> bool | None:
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)


class ChatUpstream:
    """The server. A context manager; everything public may be used from the test's thread."""

    def __init__(self, script: Script = (), *, port: int = 0, max_requests: int = 500) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.base_url = ""
        self._script = script
        self._port = port
        self._max_requests = max_requests
        self._arrived = threading.Condition()
        self._ready = threading.Event()
        self._released: set[str] = set()
        self._holds: dict[str, asyncio.Event] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._next_answer = 0

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the fake upstream did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def chats(self) -> list[Request]:
        """The requests that asked for a completion."""
        return [request for request in self.requests if request.method == "POST"]

    def release(self, name: str) -> None:
        """Let every answer that holds at *name* go on, now and later."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._release, name)

    def wait_for_requests(self, count: int, timeout_s: float = 10) -> None:
        """Block until *count* requests arrived (from async tests: `await asyncio.to_thread(...)`)."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout_s):
                raise AssertionError(f"expected {count} upstream requests, got {len(self.requests)}")

    def wait(self) -> None:
        """Block until closed; for the script mode."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def _release(self, name: str) -> None:
        self._released.add(name)
        if name in self._holds:
            self._holds[name].set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        loop = self._loop

        def protocol() -> _Protocol:
            return _Protocol(asyncio.StreamReader(limit=1 << 26), self._connection)

        server = await loop.create_server(protocol, "127.0.0.1", self._port)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        protocol = writer.transport.get_protocol()
        assert isinstance(protocol, _Protocol)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError, _Left):
            while (request := await _read_request(reader)) is not None:
                with self._arrived:
                    self.requests.append(request)
                    self._arrived.notify_all()
                try:
                    await self._answer(request, self._answer_to(request), writer, protocol.gone)
                except (_Left, ConnectionError):
                    if protocol.gone.is_set():
                        request.client_left.set()
                    raise
                request.answered.set()
        writer.transport.abort()

    def _answer_to(self, request: Request) -> Answer:
        if request.method == "GET" and request.path.endswith("/models"):
            return body(json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}))
        if request.method != "POST" or not request.path.endswith(("/chat/completions", "/responses")):
            return error(404, f"no such route: {request.method} {request.path}")
        if len(self.requests) > self._max_requests:
            return error(500, f"the client looped: more than {self._max_requests} requests")
        if callable(self._script):
            return self._script(request)
        if self._next_answer >= len(self._script):
            return error(500, f"the script has only {len(self._script)} answers")
        self._next_answer += 1
        return self._script[self._next_answer - 1]

    async def _answer(
        self, request: Request, answer: Answer, writer: asyncio.StreamWriter, gone: asyncio.Event
    ) -> None:
        for step in answer.before_head:
            await self._perform(step, writer, gone)
        if answer.native is not None and request.speaks_tools:
            answer = answer.native
        steps, content_type = answer.steps, answer.content_type
        streaming = isinstance(request.json, dict) and request.json.get("stream") is True
        if answer.plain is not None and not streaming:
            steps, content_type = (Send(answer.plain),), "application/json"
        bodiless = answer.status in (204, 304)
        head = [f"HTTP/1.1 {answer.status} Scripted", *(() if bodiless else ("Transfer-Encoding: chunked",))]
        if content_type is not None:
            head.append(f"Content-Type: {content_type}")
        head += [f"{name}: {value}" for name, value in answer.headers]
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))
        await writer.drain()
        for step in steps:
            await self._perform(step, writer, gone)
        writer.write(b"" if bodiless else b"0\r\n\r\n")
        await writer.drain()

    async def _perform(self, step: Step, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
        match step:
            case Send(data):
                if data:
                    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                    await writer.drain()
            case Pause(seconds):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(gone.wait(), seconds)
            case Hold(name):
                hold = self._holds.setdefault(name, asyncio.Event())
                if name not in self._released:
                    await _first(hold, gone)
            case Stall():
                await gone.wait()
            case Reset():
                # Linger 0 turns the close into a reset.
                sock = writer.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                raise _Left
            case Hangup():
                writer.close()
                raise _Left
        if gone.is_set():
            raise _Left


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    line = await reader.readline()
    if not line.strip():
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        raw = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            raw += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
    parsed: Any = None
    with contextlib.suppress(ValueError):
        parsed = json.loads(raw)
    return Request(method, path, headers, raw, parsed)


# --- script mode ----------------------------------------------------------------------------------------------

BUILDERS: Final[dict[str, Callable[..., Answer]]] = {
    "text": text,
    "action": action,
    "tool_call": lambda value: tool_call(value["name"], value["arguments"], call_id=value.get("call_id", "call_1")),
    "error": lambda value: error(value["status"], value.get("message", "scripted failure")),
    "html": lambda value: html(int(value)),
}
"""Keys of a script file: `[{"text": "hi"}, {"action": {...}}, {"error": {"status": 503}}]`."""


def load_script(path: Path) -> list[Answer]:
    """Answers of a JSON script file."""
    return [BUILDERS[key](value) for entry in json.loads(path.read_text()) for key, value in entry.items()]


def main() -> None:
    """Serve a script file until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--script", type=Path, required=True, help="JSON list of answers")
    parser.add_argument("--repeat", action="store_true", help="after the last answer start again")
    parser.add_argument("--record", type=Path, help="append each request as one JSON line")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    answers = load_script(options.script)
    served = 0

    def script(request: Request) -> Answer:
        nonlocal served
        if options.record is not None:
            with options.record.open("a") as lines:
                lines.write(json.dumps({"headers": request.headers, "body": request.json}) + "\n")
        if served >= len(answers) and not options.repeat:
            return error(500, f"the script has only {len(answers)} answers")
        served += 1
        return answers[(served - 1) % len(answers)]

    with ChatUpstream(script, port=options.port) as upstream:
        sys.stdout.write(f"listening on {upstream.base_url}\n")
        sys.stdout.flush()
        upstream.wait()


if __name__ == "__main__":
    main()
