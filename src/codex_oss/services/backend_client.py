"""The HTTP client towards the ChatGPT backend: one POST with an account's token, any status back.

Counterparts: `policy.outbound` says where it may go, `lanes.account_request` makes the request and reads the answer.
It shares its connections' code with `services.upstream`, which asks servers whose key is ours.

Rules that hold here:

1. No redirect is followed (it would carry the token elsewhere): one is an answer like any other status.
2. No cookies, no netrc; headers are those that are given and nothing else. Neither they nor a body enter a message.
3. Leaving `post` closes an unfinished connection at once; the deadlines are those of `services.upstream`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from codex_oss.errors import Unavailable
from codex_oss.services.upstream import Deadlines, UpstreamAnswer, Watch, place_of, proxy_for
from codex_oss.services.upstream_connection import Connection, ConnectionBroken
from codex_oss.services.upstream_pool import CannotConnect, ConnectionPool, TlsFailed

EXCERPT_BYTES: Final = 64 * 1024
EXCERPT_WAIT_S: Final = 5.0


class BackendAnswer(UpstreamAnswer):
    """An answer of any status whose body is still to be read. headers: names in lower case."""

    @property
    def status(self) -> int:
        """The status."""
        return self.connection.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        return self.connection.headers

    async def excerpt(self) -> bytes:
        """The begin of the body, of what is no answer; whatever came within EXCERPT_WAIT_S."""
        seen = b""
        with contextlib.suppress(ConnectionBroken, TimeoutError):
            async with asyncio.timeout(EXCERPT_WAIT_S):
                while len(seen) < EXCERPT_BYTES and (chunk := await self.connection.read()):
                    seen += chunk
        return seen[:EXCERPT_BYTES]


class BackendClient:
    """One connection pool for the backend."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._pool = ConnectionPool()

    async def aclose(self) -> None:
        """Close every idle connection."""
        self._pool.close()

    @contextlib.asynccontextmanager
    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, total_s: float | None = None
    ) -> AsyncIterator[BackendAnswer]:
        """Send one request and yield its answer. total_s: what is left of the turn's time. Raises Unavailable."""
        deadlines = self._deadlines.within(total_s)
        watch = Watch(deadlines)
        connection = await self._send(url, headers, body, deadlines)
        del body  # sent: an open stream does not hold its request
        try:
            watch.guard(connection, connection.abort)
            yield BackendAnswer(connection, watch)
        finally:
            watch.end()
            self._pool.release(connection)

    async def _send(self, url: str, headers: Mapping[str, str], body: bytes, deadlines: Deadlines) -> Connection:
        place = place_of(url)
        try:
            async with asyncio.timeout(min(deadlines.first_byte_s, deadlines.total_s)):
                return await self._pool.post(url, headers, body, proxy=proxy_for(url))
        except TlsFailed as exc:
            raise Unavailable(f"The TLS connection to {place} failed.", hint="Is a proxy in between?") from exc
        except CannotConnect as exc:
            raise Unavailable(
                f"Cannot connect to the ChatGPT backend at {place}.", hint="Is this machine online?"
            ) from exc
        except TimeoutError as exc:
            raise Unavailable(f"The ChatGPT backend at {place} did not answer in time.") from exc
        except (ConnectionBroken, ValueError) as exc:
            raise Unavailable(f"The ChatGPT backend at {place} closed the connection without an answer.") from exc
