"""The HTTP client that relays: sends a client's request to its own backend and reads the answer, bytes untouched.

Counterparts: `server.gpt_relay` makes the request, `policy.outbound` says where it may go and which headers go along.
`services.upstream` is the client for model servers whose key is ours; this one holds no key at all.

Rules that hold here:

1. The body goes out as it came in, compressed if it was, and the answer is read as it comes: one read, one chunk,
   nothing decompressed. No header is added but `Host` and `Content-Length`.
2. No redirects (they would carry the credential elsewhere), no cookies, no netrc, no retry.
3. The deadlines are those of `services.upstream`; leaving `open` closes an unfinished connection at once.
4. Every status of a backend is an answer. Only a connection that fails becomes one of our errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from codex_oss.errors import StreamInterrupted, Unavailable
from codex_oss.policy.outbound import Headers
from codex_oss.services.upstream import Deadlines, Watch, place_of, proxy_for

if TYPE_CHECKING:
    import aiohttp

MAX_HEADER_BYTES: Final = 64 * 1024
"""One header of a backend; Codex' turn state and rate limits come in headers."""
AUTOMATIC: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""What aiohttp would add by itself."""


class RelayedAnswer:
    """An answer whose body is still to be read. headers: as on the wire, all of them."""

    def __init__(self, response: aiohttp.ClientResponse, watch: Watch, foreign: tuple[type[Exception], ...]) -> None:
        self.status = response.status
        self.headers: Headers = response.raw_headers
        self._response = response
        self._watch = watch
        self._foreign = foreign
        self._loop = asyncio.get_running_loop()
        self.spoke = False
        self.silent_since: float | None = None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives. Raises Unavailable when a deadline passes, StreamInterrupted when it is cut."""
        content = self._response.content
        try:
            while True:
                self.silent_since = self._loop.time()
                chunk = await content.readany()
                self.silent_since, self.spoke = None, True
                if not chunk:
                    return
                yield chunk
        except self._foreign as exc:
            self._watch.raise_if_expired(exc)
            raise StreamInterrupted("The backend broke the connection in the middle of its answer.") from exc


class RelayClient:
    """One connection pool for the backends of GPT models."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._aiohttp: Any = None

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @contextlib.asynccontextmanager
    async def open(self, method: str, url: str, headers: Headers, body: bytes | None) -> AsyncIterator[RelayedAnswer]:
        """Send one request and yield its answer, whatever its status.

        headers: those that travel; a value that is not UTF-8 is left out. Raises Unavailable.
        """
        await self._start()
        watch = Watch(self._deadlines)
        response = await self._send(method, url, headers, body)
        del body  # a stream may be open for long, and a conversation is large
        try:
            answer = RelayedAnswer(response, watch, (self._aiohttp.ClientError, OSError))
            watch.guard(answer, response.close)
            yield answer
        finally:
            watch.end()
            response.close()

    async def _start(self) -> None:
        """Import aiohttp beside the running loop and open the pool with the first request."""
        async with self._opening:
            if self._session is not None:
                return
            self._aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")
            self._session = self._aiohttp.ClientSession(
                connector=self._aiohttp.TCPConnector(limit=0),
                cookie_jar=self._aiohttp.DummyCookieJar(),
                timeout=self._aiohttp.ClientTimeout(total=None, sock_connect=min(30.0, self._deadlines.first_byte_s)),
                skip_auto_headers=AUTOMATIC,
                auto_decompress=False,
                trust_env=False,
                max_field_size=MAX_HEADER_BYTES,
            )

    async def _send(self, method: str, url: str, headers: Headers, body: bytes | None) -> aiohttp.ClientResponse:
        from yarl import URL

        assert self._session is not None
        place = place_of(url)
        try:
            async with asyncio.timeout(self._deadlines.first_byte_s):
                return await self._session.request(
                    method,
                    URL(url, encoded=True),
                    data=body,
                    headers=_texts(headers),
                    allow_redirects=False,
                    proxy=proxy_for(url) or None,
                )
        except self._aiohttp.ClientConnectorError as exc:
            raise Unavailable(f"Cannot connect to the backend at {place}.") from exc
        except TimeoutError as exc:
            raise Unavailable(f"The backend at {place} did not answer in time.") from exc
        except (self._aiohttp.ClientError, OSError, ValueError) as exc:
            raise Unavailable(f"The backend at {place} closed the connection without an answer.") from exc


def _texts(headers: Headers) -> list[tuple[str, str]]:
    """Headers as aiohttp takes them; it writes UTF-8."""
    texts = []
    for name, value in headers:
        with contextlib.suppress(UnicodeDecodeError):
            texts.append((name.decode("ascii"), value.decode()))
    return texts
