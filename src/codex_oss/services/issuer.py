"""The HTTP client towards the issuer of tokens: a form or an object out, tokens or a refusal back.

Counterparts: `accounts.oauth` knows the words; `services.token_refresh` and `services.sign_in` ask.

Rules that hold here:

1. No redirects, no cookies, no netrc, no proxy's credentials in a message; each call ends within HTTP_S.
2. A refusal keeps status, code and message of the issuer, never its body, and nothing of ours.
3. Whatever breaks on the way is a Refusal with status 0: nobody knows whether the issuer heard the request.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from typing import Any, Final

from codex_oss import __version__
from codex_oss.accounts.oauth import Refusal, Tokens, exchange_form, refresh_form, tokens_of
from codex_oss.services.upstream import proxy_for

HTTP_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 256 * 1024


class Issuer:
    """One issuer. base: its address, without a slash at the end."""

    def __init__(self, base: str, *, http_s: float = HTTP_S) -> None:
        self.base = base.rstrip("/")
        self._http_s = http_s
        self._session: Any = None
        self._opening = asyncio.Lock()

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def exchange(self, code: str, redirect_uri: str, verifier: str) -> Tokens | Refusal:
        """Turn a code into tokens."""
        return tokens_of(*await self.post("/oauth/token", form=exchange_form(code, redirect_uri, verifier)))

    async def refresh(self, refresh: str) -> Tokens | Refusal:
        """Turn a refresh token into new tokens. It counts as spent, whatever comes back."""
        return tokens_of(*await self.post("/oauth/token", form=refresh_form(refresh)))

    async def post(
        self, path: str, *, form: Mapping[str, str] | None = None, json: Mapping[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """POST below the issuer's address: status and body; (0, b"") when there was no whole answer."""
        session, url = await self._open(), f"{self.base}{path}"
        import aiohttp

        try:
            async with (
                asyncio.timeout(self._http_s),
                session.post(url, data=form, json=json, allow_redirects=False, proxy=proxy_for(url) or None) as answer,
            ):
                body = bytearray()
                # One read is one segment, and the refresh token is spent: half an answer would lose the account.
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        return 0, b""
                return answer.status, bytes(body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return 0, b""

    async def _open(self) -> Any:
        """The session; aiohttp is imported beside the loop, with the first request."""
        async with self._opening:
            if self._session is None:
                aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")
                self._session = aiohttp.ClientSession(
                    cookie_jar=aiohttp.DummyCookieJar(),
                    trust_env=False,
                    headers={"User-Agent": f"codex-oss/{__version__}", "Accept": "application/json"},
                )
            return self._session
