"""The event-stream decoder: framing rules, any chunking, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import UpstreamProtocolError
from codex_oss.wire.sse import SseDecoder
from tests.wire.scripts import cuts

STREAMS = {
    "plain": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "no space after the colon": (b"data:a\n\n", [b"a"]),
    "only one space is taken": (b"data:  a\n\n", [b" a"]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "cr": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "mixed ends": (b"data: a\r\n\ndata: b\n\r\n\rdata: c\r\r", [b"a", b"b", b"c"]),
    "several lines": (b"data: a\ndata: b\ndata:\ndata: c\n\n", [b"a\nb\n\nc"]),
    "several lines with crlf": (b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
    "comments and other fields": (b": ping\n\nid: 7\nevent: x\nretry: 5\ndata: a\n: late\n\n", [b"a"]),
    "field name only": (b"data\n\ndata: a\n\n", [b"a"]),
    "a longer field name": (b"database: a\n\n", []),
    "many blank lines": (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [b"a", b"b"]),
    "bom": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "bom later is content": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
    "no blank line at the end": (b"data: a\n\ndata: b", [b"a", b"b"]),
    "one line end at the end": (b"data: a\r\n", [b"a"]),
    "utf-8": ("data: grün 😀\n\n".encode(), ["grün 😀".encode()]),
    "empty payloads": (b"data: \n\ndata:\n\n", []),
    "nothing": (b"", []),
}


def read(pieces: list[bytes]) -> list[bytes]:
    decoder = SseDecoder()
    out = [payload for piece in pieces for payload in decoder.feed(piece)]
    return out + decoder.finish()


@pytest.mark.parametrize("name", STREAMS)
def test_each_framing_gives_its_payloads(name: str) -> None:
    """Every way to write frames is read, at once and byte by byte."""
    data, expected = STREAMS[name]
    assert read([data]) == expected
    assert read([data[i : i + 1] for i in range(len(data))]) == expected


@given(
    st.lists(st.sampled_from([b"data: a", b"data:", b": x", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf", b"d"])), st.data()
)
def test_chunking_never_matters(pieces: list[bytes], data: st.DataObject) -> None:
    """Any chunking of any bytes gives the same payloads as one read."""
    whole = b"".join(pieces)
    assert read(data.draw(cuts(whole))) == read([whole])


@given(st.binary())
def test_arbitrary_bytes_are_read_over(data: bytes) -> None:
    """Bytes that are no event stream raise nothing."""
    read([data])


def test_whole_frames_come_out_at_once() -> None:
    """A payload is handed out with the read that completes it, not later."""
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n\nda") == [b"a"]
    assert decoder.feed(b"ta: b\n") == []
    assert decoder.feed(b"\n") == [b"b"]
    assert decoder.finish() == []


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_frame_without_end_is_refused(end: bytes) -> None:
    """A peer cannot make the buffer grow without bound, with long lines or with many."""
    decoder = SseDecoder(max_frame_bytes=1000)
    line = b"data: xxx" + end
    for _ in range(1000 // len(line)):
        assert decoder.feed(line) == []
    with pytest.raises(UpstreamProtocolError, match="does not end"):
        decoder.feed(line)
