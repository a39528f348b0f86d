"""The listener that the browser of a sign-in comes back to: one sign-in, this machine only, then it goes.

Counterparts: `accounts.sign_in` says what each request means, `accounts.sign_in_pages` what is shown;
`services.callback_ports` finds the port; `services.sign_in` opens it and waits for `outcome`.

    GET /auth/callback?code&state ─► ours? ─► redeem (tokens, then the book) ─► page, outcome
    GET /cancel?state             ─► ours? ─► outcome: cancelled
    anything else                 ─► 404

Rules that hold here:

1. A page that says "signed in" is sent after the account lies on disk, never before.
2. Only peers of this machine are answered, and only under a name of this machine: another name that resolves to it is
   somebody's web page trying.
3. What is in an address (state, code) is in no log line.
4. A code is redeemed once, also when the browser that brought it is gone before the answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from msgspec import structs

from codex_oss.accounts.account import Account
from codex_oss.accounts.oauth import CALLBACK_PATH
from codex_oss.accounts.sign_in import Answer, Waiting, on_callback, on_cancel, on_paste, query_of
from codex_oss.accounts.sign_in_failures import login_failed
from codex_oss.accounts.sign_in_pages import HEADERS, content_policy, render_page
from codex_oss.services.callback_ports import bound_sockets

CANCEL_PATH: Final = "/cancel"
CLOSE_S: Final = 2.0
"""How long answers under way may take when the listener goes."""
MAX_WARNINGS: Final = 3
Redeem = Callable[[str, str], Awaitable[Account]]
"""Code and redirect address to the stored account; raises BridgeError."""
log = logging.getLogger(__name__)


class CallbackServer:
    """The listener of one sign-in. state: what the browser has to bring back."""

    def __init__(self, state: str, redeem: Redeem) -> None:
        self.waiting = Waiting(state)
        self.outcome: asyncio.Future[Account] = asyncio.get_running_loop().create_future()
        # Without this a listener that is dropped complains of an outcome that nobody fetched.
        self.outcome.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.redirect_uri = ""
        self._redeem = redeem
        self._port = 0
        self._runner: Any = None
        self._redeeming: asyncio.Task[bool] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(self, ports: Sequence[int]) -> str:
        """Listen on the first port that can be had; the redirect address. Errors: LoginFailed `login_port_busy`."""
        from aiohttp import web

        self._port, sockets = await bound_sockets(ports)
        # `localhost` and no number: that is what the issuer knows.
        self.redirect_uri = f"http://localhost:{self._port}{CALLBACK_PATH}"
        # A logger of its own that says nothing: of a malformed request aiohttp would print the line, code and all.
        silent = logging.Logger("callback", logging.CRITICAL + 1)
        server = web.Server(self._answered, access_log=None, logger=silent, keepalive_timeout=2.0)
        self._runner = web.ServerRunner(server, shutdown_timeout=CLOSE_S)
        await self._runner.setup()
        for one in sockets:
            await web.SockSite(self._runner, one).start()
        return self.redirect_uri

    async def aclose(self) -> None:
        """Let answers under way end, then go. A code that is being redeemed is given up. More than once is fine."""
        if self._closing is not None and self._closing is not asyncio.current_task():
            self._closing.cancel()
        if self._redeeming is not None and not self._redeeming.done():
            self._redeeming.cancel()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def close_later(self, after_s: float) -> asyncio.Task[None]:
        """Stay a while, for the browser that loads a page again; then go."""
        self._closing = asyncio.create_task(self._close_after(after_s))
        return self._closing

    async def paste(self, text: str) -> Answer:
        """What a person pasted instead; as if the browser had brought it."""
        self.waiting, answer = on_paste(self.waiting, text)
        await self._acted(answer)
        return answer

    def expire(self) -> None:
        """Nobody came in time. Does nothing while a code is being redeemed."""
        if self.waiting.phase == "waiting":
            self.waiting = structs.replace(self.waiting, phase="failed")
            code = "login_state_mismatch" if self.waiting.strangers else "login_expired"
            self.outcome.set_exception(login_failed(code))

    async def _close_after(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self.aclose()

    async def _answered(self, request: Any) -> Any:
        """One request, from anybody."""
        try:
            status, text, kind = await self._told(request)
        except asyncio.CancelledError:
            raise
        except Exception:  # a page for the browser, and the sign-in still ends by its own means
            log.exception("the callback listener failed")
            status, text, kind = 500, "The request could not be answered.", "text/plain"
        from aiohttp import web

        headers = {**HEADERS, "Connection": "close", "Server": "codex-oss"}
        if kind == "text/html":
            headers["Content-Security-Policy"] = content_policy()
        if status == 405:
            headers["Allow"] = "GET"
        answer = web.Response(status=status, text=text, content_type=kind, charset="utf-8", headers=headers)
        answer.force_close()
        return answer

    async def _told(self, request: Any) -> tuple[int, str, str]:
        """Status, text and its kind."""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if not _is_loopback(peer[0] if peer else ""):
            return 403, "Only this machine may ask here.", "text/plain"
        if request.headers.get("Host", "").lower() not in self._names():
            return 403, "This name is not one of this machine.", "text/plain"
        path, _, raw = request.raw_path.partition("?")
        if path not in (CALLBACK_PATH, CANCEL_PATH):
            return 404, "There is nothing here.", "text/plain"
        # A HEAD of a link preview must not use up the code.
        if request.method != "GET":
            return 405, "Only GET is answered here.", "text/plain"
        try:
            query = query_of(raw)
        except ValueError:
            query = {}
        if path == CANCEL_PATH:
            self.waiting, answer = on_cancel(self.waiting, query)
        else:
            self.waiting, answer = on_callback(self.waiting, query)
            # A page that tries again and again is not to fill the terminal.
            if answer.page == "wrong_state" and self.waiting.strangers <= MAX_WARNINGS:
                log.warning("a callback with a wrong state was refused; the sign-in goes on waiting")
        done = await self._acted(answer)
        if path == CANCEL_PATH and answer.page == "cancelled":
            return 200, "The sign-in was cancelled.", "text/plain"
        page = answer.page if done else "not_stored"
        status, text = render_page(page, self.waiting.said if page in ("refused", "not_stored") else "")
        return status, text, "text/html"

    async def _acted(self, answer: Answer) -> bool:
        """Do what an answer asks for; False when its code could not be redeemed."""
        if answer.code:
            # A task of its own: the browser may be gone before the answer, the code is spent all the same.
            self._redeeming = asyncio.create_task(self._redeemed(answer.code))
            await asyncio.wait([self._redeeming])
            return self._redeeming.result()
        if answer.failure and not self.outcome.done():
            self.outcome.set_exception(login_failed(answer.failure, self.waiting.said))
        if answer.closes:
            self.close_later(0.0)
        return True

    async def _redeemed(self, code: str) -> bool:
        """Turn the code into a stored account, and say so or why not in `outcome`; whether it went well."""
        try:
            account = await self._redeem(code, self.redirect_uri)
        except asyncio.CancelledError:
            self.outcome.cancel()
            raise
        except Exception as exc:
            self.waiting = structs.replace(self.waiting, phase="failed")
            if not self.outcome.done():
                self.outcome.set_exception(exc)
            return False
        self.waiting = structs.replace(self.waiting, phase="done")
        if not self.outcome.done():
            self.outcome.set_result(account)
        return True

    def _names(self) -> tuple[str, ...]:
        return tuple(f"{name}:{self._port}" for name in ("localhost", "127.0.0.1", "[::1]"))


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
