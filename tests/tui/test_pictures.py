"""The screens look as they are drawn: in the snapshots, and in the docs. No token is on any of them.

After a change that is meant: `python -m tests.tui.regenerate`, then look at what changed.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from tests.tui.pictures import DOCS, DOCUMENTED, PICTURES, SNAPSHOTS, taken
from tests.tui.world import CANARY

PAGE = DOCS.parent / "screens.md"


def words_of(svg: str) -> str:
    """The text of a picture, line by line."""
    rows: dict[str, list[str]] = {}
    for place, text in re.findall(r'<text [^>]*?y="([\d.]+)"[^>]*>(.*?)</text>', svg):
        rows.setdefault(place, []).append(html.unescape(text).replace("\xa0", " "))
    return "\n".join("".join(parts).rstrip() for parts in rows.values())


@pytest.mark.parametrize("name", PICTURES)
async def test_the_screen_looks_as_it_is_drawn(name: str) -> None:
    """Taken anew, the picture is the one that is kept, character by character."""
    svg = await taken(name)
    kept = (SNAPSHOTS / f"{name}.svg").read_text(encoding="utf-8")
    assert words_of(svg) == words_of(kept)
    assert svg == kept, "the same words in another look: python -m tests.tui.regenerate, and look at it"


def test_the_docs_show_these_screens() -> None:
    """Each picture of the docs is a snapshot, stands on the page, and there is no other one."""
    told = re.findall(r"\]\(pictures/([a-z-]+)\.svg\)", PAGE.read_text(encoding="utf-8"))
    assert sorted(told) == sorted(DOCUMENTED)
    assert sorted(path.stem for path in DOCS.glob("*.svg")) == sorted(DOCUMENTED)
    for name in DOCUMENTED:
        assert (DOCS / f"{name}.svg").read_bytes() == (SNAPSHOTS / f"{name}.svg").read_bytes()


def test_every_snapshot_is_one_of_these() -> None:
    """None is left over from a screen that is no more."""
    assert {path.stem for path in SNAPSHOTS.glob("*.svg")} == set(PICTURES)


@pytest.mark.parametrize("path", [*SNAPSHOTS.glob("*.svg"), *DOCS.glob("*.svg")], ids=lambda path: path.name)
def test_no_token_is_on_a_screen(path: Path) -> None:
    """Every token of these accounts holds a canary; none is in a picture. Nor does a picture load anything."""
    svg = path.read_text(encoding="utf-8")
    assert CANARY.lower() not in (svg + words_of(svg)).lower()
    assert "url(http" not in svg


async def test_without_colour_nothing_is_lost() -> None:
    """With NO_COLOR the words are the same, and no colour is left but those of the picture's frame."""
    svg = await taken("accounts-no-colour")
    assert "waits until 15:00" in words_of(svg)
    colours = set(re.findall(r'(?:fill|stroke)[:=] ?"?(#[0-9a-f]{6})', svg))
    assert len(colours) <= 6, colours
