"""Server-sent events: bytes of an upstream in, complete `data:` payloads out.

Counterpart: `wire.chat_stream` reads what comes out here. Frames that we send are written by
`wire.responses_stream`, which needs no decoder.

    bytes ─► (CR, CRLF → LF) ─► frames, split at blank lines ─► payload = the `data:` lines joined by LF

Rules that hold here:

1. Any chunking of the same bytes gives the same payloads, a CRLF cut in two included.
2. `event:`, `id:`, `retry:` and comments are read over: a Chat Completions payload says itself what it is.
3. The buffer is bounded. A frame above the bound is `UpstreamProtocolError`, never unlimited memory.
4. Most reads are whole frames of one `data:` line; that path copies nothing into the buffer.
Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream"; unlike there, a last frame without its blank
line counts (`finish`), because upstreams that close right after `[DONE]` are common.
"""

from __future__ import annotations

from typing import Final

from codex_oss.errors import UpstreamProtocolError

MAX_FRAME_BYTES: Final = 8 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 10
_CR: Final = 13
# As numbers: `13 in data` takes a seventh of the time of `b"\r" in data` (CPython 3.11).


class SseDecoder:
    """Turns the bytes of one event stream into payloads, in order."""

    def __init__(self, *, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._after_cr = False
        self._at_start = True

    def feed(self, data: bytes) -> list[bytes]:
        """Take one read of any size; return the payloads that it completed.

        Raises UpstreamProtocolError when a frame does not end within `max_frame_bytes`.
        """
        # One `data: x` line and its blank line: the usual read of a paced stream.
        if (
            data.startswith(b"data: ")
            and data.endswith(b"\n\n")
            and data.find(_LF) == len(data) - 2 > 6
            and _CR not in data
            and not (self._buffer or self._after_cr or self._at_start)
        ):
            return [data[6:-2]]
        whole = self.feed_frames(data)
        return payloads_of(whole) if whole else []

    @property
    def between_frames(self) -> bool:
        """True when every byte so far belongs to a frame that is over: the next read begins one."""
        return not (self._buffer or self._after_cr)

    def feed_frames(self, data: bytes) -> bytes:
        """As `feed`, but return the frames as they came: LF only, without the last blank line; for `payloads_of`."""
        data = self._with_lf_only(data)
        if self._at_start:
            data = self._without_bom(data)
        buffer = self._buffer
        if buffer:
            # The blank line may lie across the seam, hence one byte back.
            seam = max(0, len(buffer) - 1)
            buffer += data
            end = buffer.rfind(b"\n\n", seam)
            whole, rest = (bytes(buffer[:end]), buffer[end + 2 :]) if end >= 0 else (b"", buffer)
        elif data.endswith(b"\n\n"):
            return data[:-2]
        else:
            end = data.rfind(b"\n\n")
            whole, rest = (data[:end], bytearray(data[end + 2 :])) if end >= 0 else (b"", bytearray(data))
        if len(rest) > self._max_frame_bytes:
            self._buffer = bytearray()
            raise UpstreamProtocolError("The model server sent an event that does not end.")
        self._buffer = rest
        return whole

    def finish(self) -> list[bytes]:
        """Say that no more bytes come; return the payload of a last frame without its blank line, if any."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return payloads_of(rest) if rest else []

    def _with_lf_only(self, data: bytes) -> bytes:
        if self._after_cr and data:
            # The CR ended its line already; the LF of a CRLF cut in two must not end another one.
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if _CR not in data:
            return data
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _without_bom(self, data: bytes) -> bytes:
        start = bytes(self._buffer) + data
        if len(start) < len(_BOM) and _BOM.startswith(start):
            return data
        self._at_start = False
        if start.startswith(_BOM):
            self._buffer.clear()
            return start[len(_BOM) :]
        return data


def payloads_of(frames: bytes) -> list[bytes]:
    """The payloads of whole frames as `feed_frames` gives them."""
    out: list[bytes] = []
    for frame in frames.split(b"\n\n"):
        if frame.startswith(b"data: ") and _LF not in frame:
            if len(frame) > len(b"data: "):
                out.append(frame[6:])
        else:
            _append_payload_of_lines(frame, out)
    return out


def split_frames(frames: bytes, count: int) -> tuple[bytes, bytes]:
    """The first *count* of whole frames, and the others."""
    end = -2
    for _ in range(count):
        end = frames.find(b"\n\n", end + 2)
        if end < 0:
            return frames, b""
    return frames[:end], frames[end + 2 :]


def _append_payload_of_lines(frame: bytes, out: list[bytes]) -> None:
    """Read a frame line by line. A run of three LF leaves empty lines at the edges of frames; they say nothing."""
    values = []
    for line in frame.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            values.append(value[1:] if value.startswith(b" ") else value)
    payload = b"\n".join(values)
    if payload:
        out.append(payload)
