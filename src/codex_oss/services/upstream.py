"""The HTTP client towards model servers: send bytes, read bytes.

Counterparts: `lanes.oss` uses it, `wire.codecs` makes and reads the bytes, `services.upstream_pool` keeps
the connections. Rules that hold here:

1. One read of the socket is one chunk: nothing is collected, split or decoded on the way.
2. No byte of HTTP is known here: that is the duty of `services.upstream_connection`.
3. Three deadlines: first byte, silence between bytes, and the whole. One timer serves all of a stream; a chunk only
   notes the time (in its connection).
4. Leaving `post` closes an unfinished connection at once, also on cancellation.
5. No redirects (they would carry the key elsewhere), no cookies, no netrc, no decompression. The key is read by the
   name of its variable at the moment of the request and appears in no message.
6. Every foreign exception and every status but 200 becomes one of our errors (`error_for_status`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol
from urllib.parse import urlsplit

from codex_oss import __version__
from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import StreamInterrupted, Unavailable, UpstreamError, UpstreamProtocolError, UpstreamRefused
from codex_oss.policy.key_trust import LOOPBACK
from codex_oss.services.upstream_connection import Connection, ConnectionBroken
from codex_oss.services.upstream_errors import error_for_status
from codex_oss.services.upstream_pool import CannotConnect, ConnectionPool, TlsFailed

ERROR_BODY_BYTES: Final = 16 * 1024
ERROR_BODY_WAIT_S: Final = 5.0
PLAIN_CODINGS: Final = (("content-encoding", "identity"), ("transfer-encoding", "chunked"))
"""Headers of an answer that may be absent, and the only value they may have."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. total counts from the request to the last byte."""

    first_byte_s: float = 30.0
    idle_s: float = 30.0
    total_s: float = 900.0

    def within(self, total_s: float | None) -> Deadlines:
        """These deadlines, for a request that has only *total_s* left."""
        return self if total_s is None or total_s >= self.total_s else replace(self, total_s=max(total_s, 0.0))


class UpstreamAnswer:
    """A 200 whose body is still to be read. content_type: lower case, without parameters, empty when absent."""

    def __init__(self, connection: Connection, watch: Watch) -> None:
        self.content_type = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.connection = connection
        self.watch = watch

    async def read(self) -> bytes:
        """What arrived of the body, at least one byte; b"" at its end.

        Raises Unavailable when a deadline passes, StreamInterrupted when the connection breaks.
        """
        try:
            return await self.connection.read()
        except ConnectionBroken as exc:
            self.watch.raise_if_expired(exc)
            raise StreamInterrupted("The upstream broke the connection in the middle of its answer.") from exc

    async def pump(self, take: Callable[[bytes], bool]) -> None:
        """Hand each chunk to *take* as it arrives, until that returns False or nothing comes any more; see `read`."""
        await self.connection.pump(take)


class UpstreamClient:
    """One connection pool for all upstreams.

    key_of: value of an upstream key by the name of its variable, empty when unset. may_hold_key: whether a base URL
    may be sent a key.
    """

    def __init__(
        self, key_of: Callable[[str], str], deadlines: Deadlines, *, may_hold_key: Callable[[str], bool]
    ) -> None:
        self._key_of = key_of
        self._may_hold_key = functools.lru_cache(64)(may_hold_key)
        self._deadlines = deadlines
        self._pool = ConnectionPool()

    async def aclose(self) -> None:
        """Close every idle connection; one that is in use closes with its `post`."""
        self._pool.close()

    def post(
        self,
        profile: ModelProfile,
        body: bytes,
        *,
        stream: bool,
        path: str = "/chat/completions",
        total_s: float | None = None,
    ) -> Posting:
        """Send *body* to *path* below the base URL of *profile*: a context whose value is the 200 answer.

        total_s: what is left of the turn's time; a shorter deadline of this client stands.
        Entering raises UpstreamRefused `upstream_key_missing` before anything is sent when the key is unset;
        Unavailable, RateLimited, UpstreamRefused, ContextWindowExceeded or UpstreamProtocolError for any other failure.
        """
        return Posting(self, profile, body, stream, path, total_s)

    async def begin(
        self, profile: ModelProfile, body: bytes, stream: bool, path: str, total_s: float | None
    ) -> UpstreamAnswer:
        """Send a request and return its 200 answer, which is given back with `end`; see `post`."""
        headers = self._headers(profile, stream=stream)
        deadlines = self._deadlines.within(total_s)
        watch = Watch(deadlines)
        connection = await self._send(profile, f"{profile.base_url}{path}", body, headers, deadlines)
        answer = UpstreamAnswer(connection, watch)
        try:
            watch.guard(connection, connection.abort)
            if connection.status != 200:
                raise await self._refusal(profile, connection)
            if any(connection.headers.get(name, plain).lower() != plain for name, plain in PLAIN_CODINGS):
                raise UpstreamProtocolError("The upstream compressed its answer although it was asked not to.")
        except BaseException:
            self.end(answer)
            raise
        return answer

    def end(self, answer: UpstreamAnswer) -> None:
        """Let go of an answer; its connection is kept when it was read to its end, and closed at once when not."""
        answer.watch.end()
        self._pool.release(answer.connection)

    def _headers(self, profile: ModelProfile, *, stream: bool) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if stream else "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"codex-oss/{__version__}",
        }
        if profile.key_env:
            headers["Authorization"] = f"Bearer {self._key(profile)}"
        return headers

    def _key(self, profile: ModelProfile) -> str:
        """The key of a profile; raises UpstreamRefused when there is none, or none that may be sent."""
        name = profile.key_env
        key = self._key_of(name)
        if not key:
            raise UpstreamRefused(
                f"The upstream key is missing: {name} is not set.",
                hint=f"Set {name} and start the bridge again, "
                f'or set key_env = "" for profile {profile.name!r} if its server needs no key.',
                code="upstream_key_missing",
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise UpstreamRefused(
                f"The value of {name} cannot be a key: it holds blanks or characters beyond ASCII.",
                hint=f"Set {name} again and start the bridge again.",
                code="upstream_key_missing",
            )
        if not self._may_hold_key(profile.base_url):
            raise UpstreamRefused(
                f"{name} is not sent to {place_of(profile.base_url)}: only this project's files name that address.",
                hint="If you trust it, set UPSTREAM_BASE, or place the profile in ~/.config/codex-oss/models.toml.",
                code="upstream_key_withheld",
            )
        return key

    async def _send(
        self, profile: ModelProfile, url: str, body: bytes, headers: Mapping[str, str], deadlines: Deadlines
    ) -> Connection:
        place = place_of(profile.base_url)
        proxy = proxy_for(profile.base_url)
        way = f" through the proxy at {place_of(proxy)}" if proxy else ""
        try:
            async with asyncio.timeout(min(deadlines.first_byte_s, deadlines.total_s)):
                return await self._pool.post(url, headers, body, proxy=proxy)
        except TlsFailed as exc:
            raise _final(f"The TLS connection to {place} failed.", f"Check the certificate of {place}.") from exc
        except CannotConnect as exc:
            hint = f"Is the server running? The address comes from UPSTREAM_BASE or profile {profile.name!r}."
            raise _final(f"Cannot connect to the upstream at {place}{way}.", hint) from exc
        except TimeoutError as exc:
            raise Unavailable(f"The upstream at {place} did not answer in time.") from exc
        except (ConnectionBroken, ValueError) as exc:
            raise Unavailable(f"The upstream at {place} closed the connection without an answer.") from exc

    async def _refusal(self, profile: ModelProfile, connection: Connection) -> UpstreamError:
        excerpt = b""
        with contextlib.suppress(ConnectionBroken, TimeoutError):
            async with asyncio.timeout(ERROR_BODY_WAIT_S):
                while len(excerpt) < ERROR_BODY_BYTES and (chunk := await connection.read()):
                    excerpt += chunk
        return error_for_status(
            connection.status,
            excerpt[:ERROR_BODY_BYTES],
            profile=profile,
            place=place_of(profile.base_url),
            retry_after=connection.headers.get("retry-after", ""),
            secret=self._key_of(profile.key_env) if profile.key_env else "",
        )


class Posting:
    """A request from entering to leaving. A class of its own: a generator as context costs more than the request."""

    __slots__ = ("_answer", "_body", "_client", "_path", "_profile", "_stream", "_total_s")

    def __init__(
        self,
        client: UpstreamClient,
        profile: ModelProfile,
        body: bytes,
        stream: bool,
        path: str,
        total_s: float | None,
    ) -> None:
        self._client = client
        self._profile = profile
        self._body = body
        self._stream = stream
        self._path = path
        self._total_s = total_s

    async def __aenter__(self) -> UpstreamAnswer:
        body, self._body = self._body, b""  # once it is sent, an open stream does not hold its request
        self._answer = await self._client.begin(self._profile, body, self._stream, self._path, self._total_s)
        return self._answer

    async def __aexit__(self, *_: object) -> None:
        self._client.end(self._answer)


class Heard(Protocol):
    """What a watch looks at: an answer that arrives."""

    spoke: bool
    """Whether a byte of its body arrived."""
    silent_since: float | None
    """Since when a read waits for more of it, by the loop's clock; None while none does."""


class Watch:
    """The deadlines of one answer. When one passes, the connection is dropped, which wakes its reader.

    Silence counts only while a read waits: a client that takes its time must not look like a silent upstream.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines
        self._begun_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._heard: Heard | None = None
        self._drop: Callable[[], object] | None = None
        self._expired = ""

    def guard(self, heard: Heard, drop: Callable[[], object]) -> None:
        """From now on a passed deadline calls *drop*, which closes the connection of *heard*."""
        self._heard = heard
        self._drop = drop
        self._check()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def raise_if_expired(self, cause: Exception) -> None:
        if self._expired:
            raise Unavailable(self._expired) from cause

    def _check(self) -> None:
        """Drop the connection if a deadline passed; else look again when the nearest one can have passed."""
        now = self._loop.time()
        ends_at, sentence = self._next_deadline(now)
        if now < ends_at:
            self._timer = self._loop.call_at(ends_at, self._check)
        elif self._drop is not None:
            self._expired = sentence
            self._drop()

    def _next_deadline(self, now: float) -> tuple[float, str]:
        allowed = self._deadlines
        total_ends_at = self._begun_at + allowed.total_s
        heard = self._heard
        if heard is not None and heard.spoke:
            since = now if heard.silent_since is None else heard.silent_since
            quiet_ends_at = since + allowed.idle_s
            sentence = f"The upstream fell silent for {allowed.idle_s:g} s in the middle of its answer."
        else:
            quiet_ends_at = self._begun_at + allowed.first_byte_s
            sentence = f"The upstream sent nothing within {allowed.first_byte_s:g} s."
        if total_ends_at < quiet_ends_at:
            return total_ends_at, f"The upstream did not finish within {allowed.total_s:g} s."
        return quiet_ends_at, sentence


def place_of(base_url: str) -> str:
    """`host:port` for messages."""
    parts = urlsplit(base_url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


@functools.lru_cache(maxsize=64)
def proxy_for(base_url: str) -> str:
    """The proxy that the environment names for *base_url*, or empty; loopback always goes direct. Looked up once."""
    parts = urlsplit(base_url)
    if parts.hostname in LOOPBACK:
        return ""
    from urllib.request import getproxies, proxy_bypass

    return "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")


def _final(message: str, hint: str) -> Unavailable:
    """An unreachable server: trying again at once is useless, another model's server may answer."""
    error = Unavailable(message, hint=hint)
    error.retryable = False
    return error
