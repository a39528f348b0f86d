"""A screen in a test: running, waited for, read as text, taken as a picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

from codex_oss.tui.full_screen import FullScreen

WIDE, NARROW = (100, 28), (60, 20)
_ID = re.compile(r"terminal-\d+-")
_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def text_of(app: FullScreen) -> str:
    """What the screen shows, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def picture_of(app: FullScreen) -> str:
    """The screen as SVG, the same text for the same screen: no fonts from elsewhere, no ids made of hashes."""
    svg = app.export_screenshot(simplify=True)
    lines = _ID.sub("screen-", _FONTS.sub("", svg)).splitlines()
    return "\n".join(line.rstrip() for line in lines if line.strip()) + "\n"


async def until(pilot: Pilot[Any], holds: Callable[[], object]) -> None:
    """Let the program go on until something holds; AssertionError with the screen when it never does."""
    for _ in range(500):
        if holds():
            await pilot.pause()
            return
        await pilot.pause(0.01)
    assert isinstance(pilot.app, FullScreen)
    raise AssertionError(f"it never came to that:\n{text_of(pilot.app)}")


async def until_shown(pilot: Pilot[Any], words: str) -> None:
    """Let the program go on until these words stand on the screen; white space is as good as any other."""
    app = pilot.app
    assert isinstance(app, FullScreen)
    await until(pilot, lambda: words in " ".join(re.sub("[│╭╮╰╯─]", " ", text_of(app)).split()))
