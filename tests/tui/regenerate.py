"""`python -m tests.tui.regenerate [NAME …]`: draw the pictures of the screens anew, here and in docs/pictures."""

from __future__ import annotations

import asyncio
import sys

from tests.tui.pictures import DOCS, DOCUMENTED, PICTURES, SNAPSHOTS, taken


async def regenerate(names: list[str]) -> None:
    """Take these pictures, or all, and forget those of pictures that are no more."""
    for name in names or PICTURES:
        svg = await taken(name)
        (SNAPSHOTS / f"{name}.svg").write_text(svg, encoding="utf-8")
        if name in DOCUMENTED:
            (DOCS / f"{name}.svg").write_text(svg, encoding="utf-8")
    for folder, known in ((SNAPSHOTS, tuple(PICTURES)), (DOCS, DOCUMENTED)):
        for path in folder.glob("*.svg"):
            if path.stem not in known:
                path.unlink()


if __name__ == "__main__":
    asyncio.run(regenerate(sys.argv[1:]))
