"""Request bodies: zstd, as Codex sends it when it is signed in with ChatGPT, and whatever only looks like it."""

from __future__ import annotations

import asyncio
import json
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request as HttpRequest

from codex_oss.errors import InvalidRequest, RequestError
from codex_oss.server.request_body import MAX_WINDOW_BYTES, decompress_zstd, read_body
from tests.fakes.bridge_process import LOCAL_KEY, Answer, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import ChatUpstream, text

TURN = json.dumps({"model": "ocg-kimi-k2.6", "input": "hi"}).encode()
CAP = 100_000
UNUSABLE = "The zstd request body is damaged, cut off, or needs a window above 8 MiB. Send whole zstd frames."


def frame(data: bytes, *, sized: bool = True, checked: bool = False) -> bytes:
    """One zstd frame; without *sized* it tells no content size, as a streaming sender's."""
    if sized:
        return zstandard.ZstdCompressor(write_checksum=checked).compress(data)
    stream = zstandard.ZstdCompressor(write_checksum=checked).compressobj()
    return stream.compress(data) + stream.flush()


def skippable(data: bytes) -> bytes:
    """A frame that every reader passes over."""
    return b"\x50\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


def wide(data: bytes) -> bytes:
    """A frame that asks for a window of 128 MiB."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(data) + stream.flush()


parts_of_bodies = st.lists(st.tuples(st.binary(max_size=2000), st.booleans(), st.booleans()), max_size=5)


@given(parts_of_bodies)
def test_round_trip(parts: list[tuple[bytes, bool, bool]]) -> None:
    """However many frames, sized and checked or not, come out as one body."""
    frames = b"".join(frame(data, sized=sized, checked=checked) for data, sized, checked in parts)
    assert decompress_zstd(frames, CAP) == b"".join(data for data, _, _ in parts)


contents = st.binary(min_size=1, max_size=200) | st.binary(min_size=1, max_size=20).map(lambda piece: piece * 40)


@given(contents, st.booleans(), st.booleans())
def test_a_cut_frame_is_never_taken_for_a_whole_one(content: bytes, sized: bool, checked: bool) -> None:
    """Cut at any byte, alone or behind a whole frame, it is refused."""
    whole = frame(content, sized=sized, checked=checked)
    before = frame(b"before")
    for at in range(1, len(whole)):
        for frames in (whole[:at], before + whole[:at]):
            with pytest.raises(InvalidRequest):
                decompress_zstd(frames, CAP)


@given(st.binary(min_size=1, max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    """Bytes that are no frame give one kind of error."""
    with pytest.raises(InvalidRequest):
        decompress_zstd(b"\x00" + data, CAP)


@pytest.mark.parametrize("size", [CAP - 1, CAP, CAP + 1])
@pytest.mark.parametrize("sized", [True, False])
def test_the_cap_is_on_what_comes_out(size: int, sized: bool) -> None:
    """At the cap a body passes, one byte above it does not."""
    frames = frame(bytes(size), sized=sized)
    if size <= CAP:
        assert decompress_zstd(frames, CAP) == bytes(size)
    else:
        with pytest.raises(RequestError) as caught:
            decompress_zstd(frames, CAP)
        assert caught.value.code == "request_too_large"


@pytest.mark.parametrize("sized", [True, False])
def test_a_bomb_is_not_unpacked(sized: bool) -> None:
    """A body of 1 GiB in 30 KB: refused with little more than the cap ever held."""
    bomb = frame(bytes(1 << 28), sized=sized) * 4
    cap = 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(RequestError):
            decompress_zstd(bomb, cap)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * cap + MAX_WINDOW_BYTES


def test_skipped_frames_hold_nothing() -> None:
    """Skippable frames before, between and after are passed over."""
    assert decompress_zstd(skippable(b"abc") + frame(b"one") + skippable(b"") + frame(b"two"), CAP) == b"onetwo"


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """A bridge that takes bodies of 100 kB."""
    folder = tmp_path_factory.mktemp("bodies")
    project: Path = folder / "project"
    (project / ".codex-oss").mkdir(parents=True)
    (project / ".codex-oss" / "config.toml").write_text(f"max_body_bytes = {CAP}\n")
    with (
        ChatUpstream(lambda _: text("hello there")) as upstream,
        running_bridge(project, upstream=upstream.base_url) as running,
    ):
        yield running


def begin(bridge: BridgeProcess, path: str, sent: bytes, declared: int) -> socket.socket:
    """A request of which only a part is sent."""
    client = socket.create_connection(("127.0.0.1", bridge.port), timeout=20)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {LOCAL_KEY}\r\n"
    client.sendall(f"{head}Content-Length: {declared}\r\n\r\n".encode() + sent)
    return client


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/responses/compact"])
@pytest.mark.parametrize("sent", [b"", TURN[:5], TURN])
def test_a_body_that_stops_arriving(tmp_path: Path, path: str, sent: bytes) -> None:
    """The client is told, the connection is closed, and what is sent late is no request."""
    project = tmp_path / "project"
    (project / ".codex-oss").mkdir(parents=True)
    (project / ".codex-oss" / "config.toml").write_text("body_idle_timeout_s = 0.2\n")
    with running_bridge(project, upstream="http://127.0.0.1:9/v1") as bridge:
        client = begin(bridge, path, sent, len(TURN) + 60)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        client.close()
        head, _, told = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in head.lower()
        assert json.loads(told)["error"]["code"] == "request_timeout"
        assert bridge.request("GET", "/health", headers={}).status == 200


async def test_a_body_that_drips() -> None:
    """Never silent for long, it is given up in the end."""
    sent = 0

    async def receive() -> dict[str, object]:
        nonlocal sent
        sent += 1
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    http = HttpRequest({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
    with pytest.raises(RequestError) as caught:
        await read_body(http, CAP, 0.05)
    assert caught.value.code == "request_timeout"
    assert sent > 1


def ask(bridge: BridgeProcess, body: bytes, encoding: str = "zstd") -> Answer:
    """One turn with a compressed body."""
    return bridge.request("POST", "/v1/responses", body, {**bridge.auth, "Content-Encoding": encoding})


@pytest.mark.parametrize("encoding", ["zstd", "ZSTD", " zstd"])
@pytest.mark.parametrize("sized", [True, False])
def test_a_compressed_turn(bridge: BridgeProcess, encoding: str, sized: bool) -> None:
    """A zstd body is a turn like any other."""
    answer = ask(bridge, frame(TURN, sized=sized), encoding)
    assert answer.status == 200
    assert answer.json["output"][0]["content"][0]["text"] == "hello there"


@pytest.mark.parametrize(
    "body",
    [
        TURN,
        frame(TURN)[:-1],
        frame(TURN, checked=True)[:-2],
        frame(TURN) + b"more",
        skippable(b"long")[:-1],
        wide(TURN),
    ],
    ids=["not compressed", "cut", "cut checksum", "garbage behind", "cut skippable", "wide window"],
)
def test_hostile_frames(bridge: BridgeProcess, body: bytes) -> None:
    """Whatever is no whole frame is a 400 that says so."""
    answer = ask(bridge, body)
    assert (answer.status, answer.error["code"], answer.error["message"]) == (400, "invalid_request", UNUSABLE)


def test_an_empty_body_is_no_turn(bridge: BridgeProcess) -> None:
    """No frame at all is an empty body."""
    assert ask(bridge, b"").error["code"] == "invalid_request"


def test_a_bomb_is_too_large(bridge: BridgeProcess) -> None:
    """What unpacks to more than a body may have is a 413, and the bridge goes on."""
    answer = ask(bridge, frame(bytes(1 << 28)))
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert ask(bridge, frame(TURN)).status == 200
