"""The body of a request: read within its bound, decompressed within the same bound.

Counterparts: `server.app` asks for it, `wire.responses_request` decodes the JSON. Codex compresses its bodies with
zstd when it is signed in with ChatGPT and asks its built-in provider.

Rules that hold here:

1. `max_bytes` bounds what is received *and* what it decompresses to; of a body that grows past it never more than that
   is held.
2. A zstd body may be several frames, with or without a content size; its last frame must be whole.
3. A body that is silent for `idle_s` is given up, and so is one that drips for TOTAL_SHARE times that; the connection
   ends with the answer, since what may still come on it is no request.
4. A zstd window is at most 8 MiB, the most that a sender may ask for (RFC 9659).
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from starlette.requests import Request

from codex_oss.errors import InvalidRequest, RequestError
from codex_oss.server.http_protocol import exchange_of

MAX_WINDOW_BYTES: Final = 8 * 1024 * 1024
PIECE_BYTES: Final = 64 * 1024
TOTAL_SHARE: Final = 10
PLAIN: Final = ("", "identity")


async def read_body(http: Request, max_bytes: int, idle_s: float) -> bytes:
    """The whole request body, decompressed. idle_s: longest silence inside it.

    Raises RequestError for one that is too large or stops arriving, and InvalidRequest for one that is cut off,
    damaged, or in an encoding other than zstd.
    """
    encoding = _encoding(http)
    body = await receive_body(http, max_bytes, idle_s)
    return body if encoding in PLAIN else decompress_zstd(body, max_bytes)


def plain_body(http: Request, body: bytes, max_bytes: int) -> bytes:
    """A body that was received already, decompressed. Raises what `read_body` raises."""
    return body if _encoding(http) in PLAIN else decompress_zstd(body, max_bytes)


def _encoding(http: Request) -> str:
    encoding = ",".join(http.headers.getlist("content-encoding")).strip().lower()
    if encoding not in PLAIN and encoding != "zstd":
        raise InvalidRequest(
            f"Request bodies with Content-Encoding {encoding[:40]!r} are not supported.",
            hint="Send the JSON uncompressed, or with zstd.",
        )
    return encoding


def decompress_zstd(data: bytes, max_bytes: int) -> bytes:
    """What the zstd frames in *data* hold together; b"" for none.

    Raises InvalidRequest when they are damaged, cut off or need a larger window, RequestError when they hold more than
    *max_bytes*.
    """
    import zstandard  # most requests do without it

    # The streaming reader does not tell a cut frame from a whole one. So a frame of ours goes behind: its content comes
    # out at the end only if the reader stood at the start of a frame. It repeats itself, so that its compressed form
    # does not hold it: a cut block that takes the frame for its own rest does not end with it either.
    mark = secrets.token_bytes(16) * 8
    frames = data + zstandard.ZstdCompressor().compress(mark)
    held = bytearray()
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    try:
        with decompressor.stream_reader(frames, read_across_frames=True) as reader:
            while piece := reader.read(min(PIECE_BYTES, max_bytes + len(mark) + 1 - len(held))):
                held += piece
                if len(held) > max_bytes + len(mark):
                    raise _too_large(max_bytes)
    except zstandard.ZstdError:
        raise _unusable() from None
    if not held.endswith(mark):
        raise _unusable()
    del held[-len(mark) :]
    return bytes(held)


async def receive_body(http: Request, max_bytes: int, idle_s: float) -> bytes:
    """The whole body, compressed or not. Raises RequestError for a large one or one that stops, InvalidRequest for a
    cut one.
    """
    try:
        return await _received(http, max_bytes, idle_s)
    except TimeoutError:
        raise _stopped(idle_s) from None


async def _received(http: Request, max_bytes: int, idle_s: float) -> bytes:
    declared = http.headers.get("content-length", "")
    if declared.isdecimal() and declared.isascii() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    exchange = exchange_of(http.scope)
    whole = exchange.take_body(http.receive) if exchange is not None else None
    if whole is not None:
        if len(whole) > max_bytes:
            raise _too_large(max_bytes)
        return whole
    parts: list[bytes] = []
    size = 0
    now = asyncio.get_running_loop().time
    end_at = now() + idle_s * TOTAL_SHARE
    async with asyncio.timeout(idle_s) as patience:
        while True:
            message = await http.receive()
            if message["type"] == "http.disconnect":
                raise InvalidRequest("The request body was cut off.")
            part = message.get("body", b"")
            size += len(part)
            if size > max_bytes:
                raise _too_large(max_bytes)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
            patience.reschedule(min(now() + idle_s, end_at))


def _stopped(idle_s: float) -> RequestError:
    return RequestError(
        f"The request body stopped arriving: nothing for {idle_s:g} s, or too little for {idle_s * TOTAL_SHARE:g} s.",
        hint="Send it again, whole.",
        code="request_timeout",
    )


def _unusable() -> InvalidRequest:
    return InvalidRequest(
        "The zstd request body is damaged, cut off, or needs a window above 8 MiB.", hint="Send whole zstd frames."
    )


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(
        f"The request body is larger than {max_bytes} bytes.",
        hint="Raise max_body_bytes in .codex-oss/config.toml, or shorten the conversation.",
        code="request_too_large",
    )
