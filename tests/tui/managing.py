"""The account manager under way in a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from codex_oss.tui.account_manager import AccountManager
from tests.tui.screen import WIDE, until
from tests.tui.world import World


@asynccontextmanager
async def running(world: World, size: tuple[int, int] = WIDE, **how: bool) -> AsyncIterator[Pilot[None]]:
    """The account manager, after its first look."""
    async with world.manager(**how).run_test(size=size) as pilot:
        await until(pilot, lambda: manager(pilot)._shown is not None)
        yield pilot


def manager(pilot: Pilot[None]) -> AccountManager:
    """The program."""
    assert isinstance(pilot.app, AccountManager)
    return pilot.app
