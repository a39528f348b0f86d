"""Every picture of a screen: how it comes about, and where it is kept.

Counterparts: `test_pictures.py` compares, `python -m tests.tui.regenerate` draws them anew. Those of DOCUMENTED
stand in docs/pictures, too.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from msgspec import Struct
from textual.pilot import Pilot

from codex_oss.accounts.account import Account
from codex_oss.tui.account_manager import AccountManager
from codex_oss.tui.full_screen import FullScreen
from tests.tui.screen import NARROW, WIDE, picture_of, until, until_shown
from tests.tui.world import ALL, ANN, BEA, CAY, FAY, World, account, book

SNAPSHOTS: Final = Path(__file__).with_name("snapshots")
DOCS: Final = Path(__file__).parents[2] / "docs" / "pictures"
MANY: Final = [account(f"worker-{number:02}@example.org", "team") for number in range(50)]
LONG: Final = account("a-very-long-name-that-goes-on-and-on-for-longer-than-any-screen-is-wide@sub.example.org")
Steps = Callable[[Pilot[Any]], Awaitable[None]]


class Picture(Struct, frozen=True):
    """One picture. open: makes the program; steps: what is done before it is taken."""

    open: Callable[[Path], FullScreen]
    steps: Steps
    size: tuple[int, int] = WIDE
    no_colour: bool = False


def keys(*pressed: str, shows: str = "ChatGPT accounts") -> Steps:
    """Press keys once the accounts are there, then wait for some words."""

    async def go(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, AccountManager)
        await until(pilot, lambda: app._shown is not None)
        await pilot.press(*pressed)
        await until_shown(pilot, shows)

    return go


def manager(
    *accounts: Account, active: Account | None = ANN, pin: Account | None = None
) -> Callable[[Path], FullScreen]:
    """Opens the account manager on these accounts."""
    known = active if active in accounts else None
    return lambda folder: World(folder, book(*accounts, active=known, pin=pin)).manager()


PICTURES: Final[dict[str, Picture]] = {
    "accounts": Picture(manager(*ALL, pin=BEA), keys()),
    "accounts-narrow": Picture(manager(*ALL, pin=BEA), keys("down"), NARROW),
    "accounts-none": Picture(manager(), keys()),
    "accounts-one": Picture(manager(FAY), keys(shows="weekly unknown")),
    "accounts-fifty": Picture(manager(*MANY), keys("end", shows="worker-49@example.org (team) key")),
    "accounts-long-name": Picture(manager(LONG, ANN), keys(), NARROW),
    "accounts-unknown-quota": Picture(manager(*ALL), keys(*["down"] * 3, shows="unknown: this account needs a login")),
    "accounts-disabled": Picture(manager(*ALL), keys("e", shows="ann@example.org (plus) is disabled.")),
    "accounts-refused": Picture(manager(CAY, ANN), keys("u", shows="enable it first")),
    "accounts-delete": Picture(manager(*ALL), keys("d", shows="Delete ann@example.org (plus)")),
    "accounts-help": Picture(manager(*ALL), keys("question_mark", shows="This page")),
    "accounts-add": Picture(manager(*ALL), keys("a", shows="Sign in with a ChatGPT account")),
    "accounts-browser": Picture(manager(*ALL), keys("a", "enter", shows="Or paste the address")),
    "accounts-code": Picture(manager(*ALL), keys("a", "down", "enter", shows="WDJB-MJHT")),
    "accounts-no-colour": Picture(manager(*ALL, pin=BEA), keys("down"), no_colour=True),
}
DOCUMENTED: Final = ("accounts", "accounts-narrow", "accounts-delete", "accounts-add", "accounts-code")


async def taken(name: str) -> str:
    """One picture, taken now."""
    picture = PICTURES[name]
    environ = {**os.environ, "NO_COLOR": "1"}
    if not picture.no_colour:
        del environ["NO_COLOR"]
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, environ, clear=True):
        app = picture.open(Path(folder))
        async with app.run_test(size=picture.size) as pilot:
            await picture.steps(pilot)
            return picture_of(app)
