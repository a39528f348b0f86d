"""A small file that is read often and written seldom: read again only when it changed.

Counterparts: `services.account_pool` and `services.affinity_store` look at their files before every turn.

    stat ─► as last time, and not written a moment before that read? ─► what was read then
              └─ else ─► read

Rules that hold here:

1. A file counts as unchanged by device, inode, size and both times. One that was written within RACY_S before it was
   read may have been written again within the same tick of the file system's clock, so it is read once more.
2. A file that is gone is a state like any other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

RACY_S: Final = 0.1
T = TypeVar("T")


class SeenFile(Generic[T]):
    """What *read* makes of one file."""

    def __init__(self, path: Path, read: Callable[[], T]) -> None:
        self._path = path
        self._read = read
        self._mark: tuple[int, ...] | None = None
        self._held: T | None = None

    def fresh(self) -> T | None:
        """What was read, if that is what stands there now; None when it must be read. A stat and nothing else."""
        return self._held if self._mark is not None and self._mark == self._marked() else None

    def read(self) -> T:
        """What stands there now. Raises what *read* raises."""
        held = self.fresh()
        if held is not None:
            return held
        mark, read_at = self._marked(), time.time()
        value = self._read()
        settled = mark is not None and mark == self._marked() and mark[-1] / 1e9 < read_at - RACY_S
        self._held, self._mark = value, mark if settled else None
        return value

    def _marked(self) -> tuple[int, ...] | None:
        try:
            told = os.stat(self._path)
        except OSError:
            return None
        return (told.st_dev, told.st_ino, told.st_size, told.st_ctime_ns, told.st_mtime_ns)
