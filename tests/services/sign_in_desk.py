"""A sign-in service with all its collaborators, for tests that open its pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from codex_oss.accounts.account import Account
from codex_oss.errors import LoginFailed
from codex_oss.services.account_store import AccountStore
from codex_oss.services.issuer import Issuer
from codex_oss.services.sign_in import SignIn, Times
from tests.cli.signing_in import parameters, visit


class Desk:
    """A sign-in service, and what it showed."""

    def __init__(self, folder: Path, url: str, times: Times) -> None:
        self.store = AccountStore(folder)
        self.issuer = Issuer(url)
        self.sign_in = SignIn(self.store, self.issuer, times=times)
        self.urls: asyncio.Queue[str] = asyncio.Queue()

    def begin(self, **options: Any) -> asyncio.Task[Account]:
        """A sign-in by browser, on any port unless told."""
        return asyncio.create_task(self.sign_in.by_browser(self.urls.put_nowait, **{"ports": (0,), **options}))


MakeDesk = Callable[..., Desk]


@contextlib.asynccontextmanager
async def desks(folder: Path, url: str) -> AsyncIterator[MakeDesk]:
    """Makes sign-in services on one folder, and closes them."""
    made: list[Desk] = []

    def make(**times: float) -> Desk:
        made.append(Desk(folder, url, Times(**times)))
        return made[-1]

    yield make
    for desk in made:
        await desk.sign_in.aclose()
        await desk.issuer.aclose()


async def open_page(url: str) -> tuple[int, str, Any]:
    """`visit`, beside the loop."""
    return await asyncio.to_thread(visit, url)


async def ask(url: str, text: str) -> str:
    """Send these bytes to the listener of a sign-in; everything that comes back."""
    port = int(parameters(url)["redirect_uri"].split(":")[2].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.replace("PORT", str(port)).encode())
    data = await reader.read()
    writer.close()
    return data.decode()


async def fails(task: asyncio.Task[Account]) -> str:
    """The code that a sign-in ends with."""
    with pytest.raises(LoginFailed) as caught:
        await asyncio.wait_for(task, 30)
    return caught.value.code
