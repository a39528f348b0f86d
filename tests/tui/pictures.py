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
from codex_oss.agent.events import TextDelta
from codex_oss.tui.account_manager import AccountManager
from codex_oss.tui.full_screen import FullScreen
from tests.tui.conversation import BROKEN, CUT, DONE, EDIT, LONG_EDIT, LOOKING, PAST, SHELL, THOUGHT, WAIT, chat_of
from tests.tui.screen import NARROW, WIDE, picture_of, until, until_shown
from tests.tui.world import ALL, ANN, BEA, CAY, FAY, World, account, book

SNAPSHOTS: Final = Path(__file__).with_name("snapshots")
DOCS: Final = Path(__file__).parents[2] / "docs" / "pictures"
MANY: Final = [account(f"worker-{number:02}@example.org", "team") for number in range(50)]
LONG: Final = account("a-very-long-name-that-goes-on-and-on-for-longer-than-any-screen-is-wide@sub.example.org")
TALL: Final = (100, 36)
ACCOUNT: Final = "ann@example.org (plus), 5h 72% left"
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


def typed(prompt: str, *pressed: str, shows: str) -> Steps:
    """Send a prompt, press keys, wait for some words."""

    async def go(pilot: Pilot[Any]) -> None:
        await pilot.press(*prompt, "enter")
        await pilot.press(*pressed)
        await until_shown(pilot, shows)

    return go


def approved(prompt: str, *answers: str, shows: str) -> Steps:
    """Send a prompt, answer each question with a key, wait for some words."""

    async def go(pilot: Pilot[Any]) -> None:
        await pilot.press(*prompt, "enter")
        for answer in answers:
            await until_shown(pilot, "May this be done?")
            await pilot.press(answer)
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
    "accounts-wide": Picture(manager(*ALL, pin=BEA), keys(shows="5h left, full again"), (140, 24)),
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
    "chat": Picture(
        chat_of([*LOOKING, EDIT, SHELL, *DONE], account=ACCOUNT),
        approved("cap the wait", "y", "n", shows="2.1k in · 310 out"),
        TALL,
    ),
    "chat-approval": Picture(
        chat_of([*LOOKING, EDIT], account=ACCOUNT), typed("cap the wait", shows="May this be done?"), TALL
    ),
    "chat-long-diff": Picture(
        chat_of([LONG_EDIT]), typed("more", "pagedown", "pagedown", shows="y yes · n, Enter or Esc no"), NARROW
    ),
    "chat-command": Picture(chat_of([SHELL]), typed("run the tests", shows="in the sandbox (bwrap)"), NARROW),
    "chat-unfolded": Picture(chat_of([*LOOKING, *DONE]), typed("why?", "ctrl+r", shows="10: def wait_s"), TALL),
    "chat-cut": Picture(chat_of([*CUT, BROKEN]), typed("tell me all", shows="did not come to its end")),
    "chat-cancelled": Picture(
        chat_of([THOUGHT, TextDelta("One moment"), WAIT]), typed("go on", "escape", shows="The turn was cancelled.")
    ),
    "chat-narrow": Picture(chat_of([*LOOKING, *DONE]), typed("why?", shows="310 out"), NARROW),
    "chat-resumed": Picture(chat_of(past=PAST), typed("", shows="capped at 30 seconds")),
    "chat-models": Picture(chat_of(), typed("", "ctrl+o", shows="Which model answers")),
    "chat-help": Picture(chat_of(), typed("", "f1", shows="Unfold or fold")),
    "chat-empty": Picture(chat_of(), typed("", shows="session 5f0c2d1e")),
    "accounts-no-colour": Picture(manager(*ALL, pin=BEA), keys("down"), no_colour=True),
}
DOCUMENTED: Final = (
    *("accounts", "accounts-narrow", "accounts-delete", "accounts-add", "accounts-code"),
    *("chat", "chat-approval", "chat-cut"),
)


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
