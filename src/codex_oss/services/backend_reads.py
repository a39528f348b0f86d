"""Reading from the ChatGPT backend with an account's token: a GET of one of few fixed paths, any status back.

Counterparts: `services.quota_poll` and `services.account_catalog` read; `policy.outbound` says where a token may go;
turns are `services.backend_client`.

Rules that hold here:

1. The address is the backend's, or one on this machine: nothing that anybody answers places it. No redirect is
   followed, no cookie kept, no netrc read.
2. Whatever breaks on the way is a status 0. Neither tokens nor bodies enter a message or a log.
3. Each read ends within its time and MAX_BYTES, decompressed.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from codex_oss import __version__
from codex_oss.accounts.account import Account
from codex_oss.policy.outbound import AccountBackend
from codex_oss.services.upstream import proxy_for

BackendPath = Literal["wham/usage", "codex/usage", "codex/models"]
MAX_BYTES: Final = 8 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024


class Identity(Struct, frozen=True):
    """Who asks. Honest unless the user chose otherwise."""

    originator: str = "codex_oss"
    user_agent: str = f"codex-oss/{__version__}"


class BackendRead(Struct, frozen=True):
    """An answer. status: 0 when there was no whole one; headers: names in lower case."""

    status: int = 0
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def object(self) -> dict[str, Any] | None:
        """The body as a JSON object, whatever its content type; None when it is none."""
        try:
            raw = msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return raw if isinstance(raw, dict) else None


class BackendReads:
    """One backend."""

    def __init__(self, places: AccountBackend, identity: Identity | None = None) -> None:
        self._places = places
        self.identity = identity or Identity()
        self._session: Any = None
        self._opening = asyncio.Lock()

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(
        self,
        path: BackendPath,
        account: Account,
        timeout_s: float,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> BackendRead:
        """Read *path* with the account's access token. headers: what is sent beside the account and who asks."""
        session = await self._open()
        import aiohttp

        url = self._places.url(path)
        try:
            async with (
                asyncio.timeout(timeout_s),
                session.get(
                    url,
                    params=query,
                    headers={**self._headers(account), **(headers or {})},
                    allow_redirects=False,
                    proxy=proxy_for(url) or None,
                ) as answer,
            ):
                body = bytearray()
                async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                    body += chunk
                    if len(body) > MAX_BYTES:
                        return BackendRead()
                return BackendRead(
                    answer.status, {name.lower(): value for name, value in answer.headers.items()}, bytes(body)
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return BackendRead()

    def _headers(self, account: Account) -> dict[str, str]:
        known = {"ChatGPT-Account-Id": account.account_id} if account.account_id else {}
        return {
            "Authorization": f"Bearer {account.credential.access}",
            **known,
            "Accept": "application/json",
            "originator": self.identity.originator,
            "User-Agent": self.identity.user_agent,
        }

    async def _open(self) -> Any:
        """The session; aiohttp is imported beside the loop, with the first request."""
        async with self._opening:
            if self._session is None:
                aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")
                self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
            return self._session
