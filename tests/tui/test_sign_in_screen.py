"""Signing in on the screen: three ways, what is shown, how each can end."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from codex_oss.errors import LoginFailed
from tests.tui.managing import manager, running
from tests.tui.screen import text_of, until, until_shown
from tests.tui.world import ANN, World, book


@pytest.mark.parametrize(
    ("way", "keys"), [("browser", ("enter",)), ("device", ("down", "enter")), ("paste", ("down", "down", "enter"))]
)
async def test_a_sign_in_adds_an_account(tmp_path: Path, way: str, keys: tuple[str, ...]) -> None:
    """Each way shows what is needed, ends in the list, and another one can follow."""
    world = World(tmp_path, book(ANN, active=ANN))
    async with running(world) as pilot:
        await pilot.press("a", *keys)
        if way == "paste":
            await until(pilot, lambda: pilot.app.screen.query_one(Input).has_focus)
            pilot.app.screen.query_one(Input).value = "http://localhost:1455/auth/callback?code=c1&state=s1"
            await pilot.press("enter")
        else:
            await until_shown(pilot, "WDJB-MJHT" if way == "device" else "https://auth.example.org/oauth/authorize")
            world.sign_in.agreed.set()
        await until_shown(pilot, "Signed in as new@example.org (plus).")
        assert world.read().active.person == "new@example.org|acc-new"
        assert bool(world.sign_in.opened) is (way == "browser")
        await pilot.press("a")
        await until_shown(pilot, "Sign in with a ChatGPT account")


async def test_a_headless_machine_is_offered_the_code_first(tmp_path: Path) -> None:
    """Enter on the list of ways takes the one with a code."""
    async with running(World(tmp_path, book()), headless=True) as pilot:
        await pilot.press("a", "enter")
        await until_shown(pilot, "WDJB-MJHT")


async def test_giving_up_ends_a_sign_in(tmp_path: Path) -> None:
    """Esc goes back, and what the person agrees to later stores nothing."""
    world = World(tmp_path, book(ANN))
    async with running(world) as pilot:
        await pilot.press("a", "enter")
        await until_shown(pilot, "Open this address and agree there:")
        await pilot.press("escape")
        await until_shown(pilot, "No account was added.")
        world.sign_in.agreed.set()
        await pilot.pause(0.05)
        assert world.read().accounts == (ANN,)


async def test_a_sign_in_that_fails_says_why(tmp_path: Path) -> None:
    """The sentence and the hint stay until the person has read them."""
    world = World(tmp_path, book(ANN))
    world.sign_in.fails = LoginFailed("You declined.", hint="Sign in again if that was a mistake.", code="login_denied")
    async with running(world) as pilot:
        world.sign_in.agreed.set()
        await pilot.press("a", "enter")
        await until_shown(pilot, "You declined. Sign in again if that was a mistake. Nothing was stored.")
        await pilot.press("escape")
        await until_shown(pilot, "No account was added.")


async def test_a_wrong_paste_is_asked_for_again(tmp_path: Path) -> None:
    """What is no address is said to be none, and the next one counts; in the browser's way, too."""
    world = World(tmp_path, book())
    async with running(world) as pilot:
        await pilot.press("a", "enter")
        await until(pilot, lambda: pilot.app.screen.query_one(Input).has_focus)
        await pilot.press(*"nonsense", "enter")
        await until_shown(pilot, "That is no address that a browser comes back with.")
        pilot.app.screen.query_one(Input).value = "http://localhost:1455/auth/callback?code=c1&state=s1"
        await pilot.press("enter")
        await until_shown(pilot, "Signed in as new@example.org (plus).")


async def test_a_pasted_address_is_not_shown(tmp_path: Path) -> None:
    """It holds the code of the sign-in; the field shows dots."""
    async with running(World(tmp_path, book())) as pilot:
        await pilot.press("a", "down", "down", "enter")
        await until(pilot, lambda: pilot.app.screen.query_one(Input).has_focus)
        await pilot.press(*"secret")
        await until_shown(pilot, "••••••")
        assert "secret" not in text_of(manager(pilot))
