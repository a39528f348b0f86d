"""Leads a person through a sign-in, in three ways, to an account in the book.

Counterparts: `accounts.sign_in` and `accounts.device_sign_in` decide, `services.callback_server` listens,
`services.issuer` speaks with the issuer; `cli/login` and `tui` show what is to be done.

    browser   listen ─► show the address ─► the browser comes back (or its address is pasted) ─┐
    paste     show the address ─► its end is pasted ───────────────────────────────────────────┼► tokens ─► book
    device    ask for a code ─► show it ─► poll ───────────────────────────────────────────────┘

Rules that hold here:

1. Verifier and state are random and used once; the verifier leaves this process with the code only.
2. The account is returned after it was written. Nothing else is written, so a process that is killed leaves nothing.
3. One sign-in at a time in one process. Two processes may sign in beside each other, on two ports.
4. Nothing waits longer than the times in `Times`. They count by a clock that nobody sets.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from msgspec import Struct

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book, signed_in
from codex_oss.accounts.device_sign_in import DeviceCode, Granted, Later, device_code_of, polled
from codex_oss.accounts.oauth import (
    CALLBACK_PATH,
    CLIENT_ID,
    DEVICE_CALLBACK,
    DEVICE_CODE_PATH,
    DEVICE_PAGE,
    DEVICE_POLL_PATH,
    PORTS,
    Refusal,
    authorize_url,
)
from codex_oss.accounts.sign_in import Answer, Waiting, login_of, on_paste
from codex_oss.accounts.sign_in_failures import login_failed, refused
from codex_oss.errors import LoginFailed
from codex_oss.services.account_store import AccountStore
from codex_oss.services.callback_server import CallbackServer
from codex_oss.services.issuer import Issuer

VERIFIER_BYTES: Final = 64
STATE_BYTES: Final = 32
MAX_PASTES: Final = 5
Paste = Callable[[], Awaitable[str]]
"""Gives what a person typed, one line; empty when nothing will come any more."""
COMPLAINTS: Final = {
    "wrong_state": "That address belongs to another sign-in. Use the page that was opened last, and paste its end.",
    "unreadable": "That is no address that a browser comes back with. It begins with http://localhost and has code=.",
}
"""Page of `accounts.sign_in` to what is said of a text that was pasted."""


class Times(Struct, frozen=True):
    """How long is waited, in seconds. ok_grace_s and failed_grace_s: the listener stays, for a page loaded again."""

    wait_s: float = 600.0
    device_s: float = 600.0
    ok_grace_s: float = 2.0
    failed_grace_s: float = 60.0


TIMES_ENV: Final[Mapping[str, tuple[str, int]]] = {
    "CODEX_OAUTH_CALLBACK_TIMEOUT_MS": ("wait_s", 60_000),
    "CODEX_DEVICE_AUTH_TIMEOUT_MS": ("device_s", 1_000),
    "CODEX_OAUTH_SERVER_SHUTDOWN_GRACE_MS": ("ok_grace_s", 0),
    "CODEX_OAUTH_SERVER_SHUTDOWN_ERROR_GRACE_MS": ("failed_grace_s", 0),
}
"""Variable to the time it sets, and its least value in milliseconds; below that it is ignored."""


def times_of(environ: Mapping[str, str]) -> Times:
    """The times, as the environment has them."""
    told = {}
    for name, (field, least_ms) in TIMES_ENV.items():
        text = environ.get(name, "").strip()
        if text.isascii() and text.isdecimal() and len(text) < 12 and int(text) >= least_ms:
            told[field] = int(text) / 1000
    return Times(**told)


class DevicePrompt(Struct, frozen=True):
    """What the person does elsewhere: open this address and type this code."""

    url: str
    user_code: str


class SignIn:
    """The sign-ins of one process. clock: epoch seconds."""

    def __init__(
        self,
        store: AccountStore,
        issuer: Issuer,
        *,
        clock: Callable[[], float] = time.time,
        times: Times = Times(),  # noqa: B008 (a frozen value)
    ) -> None:
        self._store = store
        self._issuer = issuer
        self._clock = clock
        self._times = times
        self._under_way = False
        self._staying: list[CallbackServer] = []

    async def by_browser(
        self,
        show: Callable[[str], None],
        *,
        ports: Sequence[int] = PORTS,
        open_browser: Callable[[str], None] | None = None,
        paste: Paste | None = None,
        complain: Callable[[str], None] | None = None,
    ) -> Account:
        """Sign in through a browser on this machine; the account as it stands in the book.

        show: is given the address once the listener waits. open_browser: opens it, if it can, and may take its time.
        paste: what the person types meanwhile counts as if the browser had brought it; complain: is told when it is
        not usable. Errors: LoginFailed, StoreError.
        """
        async with self._alone():
            verifier, state = secrets.token_urlsafe(VERIFIER_BYTES), secrets.token_urlsafe(STATE_BYTES)
            server = CallbackServer(state, lambda code, uri: self._redeemed(code, uri, verifier))
            try:
                url = authorize_url(self._issuer.base, await server.open(ports), verifier, state)
                show(url)
                beside = [self._pasted_beside(server, paste, complain)] if paste else []
                if open_browser:
                    beside.append(asyncio.to_thread(open_browser, url))
                account = await self._came_back(server, beside)
            except BaseException as exc:
                await self._left(server, stays=isinstance(exc, LoginFailed) and bool(server.redirect_uri))
                raise
            await self._left(server, stays=True)
            return account

    async def by_paste(
        self,
        show: Callable[[str], None],
        paste: Paste,
        *,
        port: int = PORTS[0],
        complain: Callable[[str], None] | None = None,
    ) -> Account:
        """Sign in through a browser that cannot come back here: its last address is pasted. Arguments, errors: above.

        Nothing listens on the port. Up to MAX_PASTES texts that are none are asked for again.
        """
        async with self._alone():
            verifier, state = secrets.token_urlsafe(VERIFIER_BYTES), secrets.token_urlsafe(STATE_BYTES)
            uri, waiting = f"http://localhost:{port}{CALLBACK_PATH}", Waiting(state)
            show(authorize_url(self._issuer.base, uri, verifier, state))
            try:
                async with asyncio.timeout(self._times.wait_s):
                    for _ in range(MAX_PASTES):
                        text = await paste()
                        if not text:
                            break
                        waiting, answer = on_paste(waiting, text)
                        if answer.failure:
                            raise login_failed(answer.failure, waiting.said)
                        if answer.code:
                            return await asyncio.shield(self._redeemed(answer.code, uri, verifier))
                        _complained(answer, complain)
            except TimeoutError:
                raise login_failed("login_expired") from None
            raise login_failed("login_state_mismatch" if waiting.strangers else "login_cancelled")

    async def by_device(self, show: Callable[[DevicePrompt], None]) -> Account:
        """Sign in with a code that the person types on any other device. Errors: LoginFailed, StoreError."""
        async with self._alone():
            device = device_code_of(*await self._issuer.post(DEVICE_CODE_PATH, json={"client_id": CLIENT_ID}))
            if isinstance(device, Refusal):
                raise login_failed("login_device_off") if device.status in (404, 405) else refused(device)
            show(DevicePrompt(f"{self._issuer.base}{DEVICE_PAGE}", device.user_code))
            try:
                async with asyncio.timeout(self._times.device_s):
                    granted = await self._granted(device)
            except TimeoutError:
                raise login_failed("login_expired") from None
            uri = f"{self._issuer.base}{DEVICE_CALLBACK}"
            return await asyncio.shield(self._redeemed(granted.code, uri, granted.verifier))

    async def aclose(self) -> None:
        """Close listeners that only stay for a page loaded again."""
        staying, self._staying = self._staying, []
        for server in staying:
            await server.aclose()

    async def _came_back(self, server: CallbackServer, beside: list[Any]) -> Account:
        """Wait for the outcome, with what goes on beside it."""
        tasks = [asyncio.ensure_future(one) for one in beside]
        try:
            await asyncio.wait([server.outcome], timeout=self._times.wait_s)
            server.expire()
            return await server.outcome
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pasted_beside(
        self, server: CallbackServer, paste: Paste, complain: Callable[[str], None] | None
    ) -> None:
        """Take what is typed while the browser is away, until something fits."""
        while text := await paste():
            answer = await server.paste(text)
            if answer.code or answer.failure:
                return
            _complained(answer, complain)

    async def _granted(self, device: DeviceCode) -> Granted:
        """Ask until the person agreed, or the issuer says that it is over."""
        asked = {"device_auth_id": device.auth_id, "user_code": device.user_code}
        interval_s = device.interval_s
        while True:
            told = polled(*await self._issuer.post(DEVICE_POLL_PATH, json=asked), device, interval_s)
            match told:
                case Granted():
                    return told
                case Refusal():
                    raise refused(told)
                case Later():
                    interval_s = told.interval_s
                    await asyncio.sleep(told.pause_s)

    async def _redeemed(self, code: str, redirect_uri: str, verifier: str) -> Account:
        """The account of a code, written."""
        tokens = await self._issuer.exchange(code, redirect_uri, verifier)
        if isinstance(tokens, Refusal):
            raise refused(tokens)
        login = login_of(tokens, int(self._clock() * 1000))
        if login is None:
            raise login_failed("login_unidentified")
        stored: list[Account] = []

        def put(book: Book) -> Book:
            after, account = signed_in(book, login)
            stored.append(account)
            return after

        await self._store.change_soon(put)
        return stored[-1]

    async def _left(self, server: CallbackServer, *, stays: bool) -> None:
        """The listener is not needed any more: it goes, or stays a while for whoever loads the page again."""
        if not stays:
            await server.aclose()
            return
        ok = server.waiting.phase == "done"
        server.close_later(self._times.ok_grace_s if ok else self._times.failed_grace_s)
        self._staying.append(server)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        if self._under_way:
            raise login_failed("login_under_way")
        self._under_way = True
        try:
            # What still stays of the last one would hold the port of this one.
            await self.aclose()
            # A store that is damaged is said before the person goes through all of it in vain.
            await self._store.read_soon()
            yield
        finally:
            self._under_way = False


def _complained(answer: Answer, complain: Callable[[str], None] | None) -> None:
    if complain and answer.page in COMPLAINTS:
        complain(COMPLAINTS[answer.page])
