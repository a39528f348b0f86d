"""The accounts on disk: read at any time, changed by one process at a time, never half.

Counterparts: `accounts.book` is what is kept, `accounts.shapes` its form; `services.token_refresh` and `cli/accounts`
change it.

    change ─► lock (codex-accounts.json.lock) ─► read ─► new book ─► differs? ─► write beside it, sync, rename ─► unlock
    read   ─► the file as it stands: the old book or the new one

Rules that hold here:

1. No lock is held across a network call: a change is a pure function of the book that it finds.
2. The kernel frees the lock of a process that dies. Waiting for it is bounded by LOCK_WAIT_S.
3. A file that is no book is put aside (`quarantine/`, the newest KEPT stay) and said so; then there is no account. A
   missing file is an empty book. An empty book stays empty: nothing is imported without being asked for.
4. The folder is 0700 and the file 0600, whatever they were before.
5. What a killed writer left beside the file is swept by the next one: credentials stand in the book and nowhere else.
6. The event loop is imported by those who have one: a verb that only reads the book starts without it.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from codex_oss.accounts.book import Book
from codex_oss.accounts.shapes import ShapeUnknown, decoded, encoded
from codex_oss.errors import StoreError
from codex_oss.services.account_folder import FILE_NAME
from codex_oss.services.account_folder import accounts_folder as accounts_folder
from codex_oss.services.state_files import ensure_private_dir, read_plain, write_atomic

MAX_BYTES: Final = 16 * 1024 * 1024
LOCK_WAIT_S: Final = 20.0
KEPT: Final = 5
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class AccountStore:
    """The book in one folder. Opens nothing before the first call."""

    def __init__(self, folder: Path) -> None:
        # A user may keep his settings elsewhere and link to them; what lies in the folder is no link.
        self.folder = Path(os.path.realpath(folder))
        self.path = self.folder / FILE_NAME

    def read(self) -> Book:
        """The book as it stands. Errors: StoreError, `accounts_corrupt` for a file that is none (it is put aside)."""
        data = self._bytes()
        if data is None:
            return Book()
        try:
            return decoded(data)
        except ShapeUnknown:
            return self._read_locked()

    def change(self, change: Callable[[Book], Book]) -> Book:
        """Replace the book by what *change* makes of it, and return that. Errors: as `read`; what *change* raises."""
        with self._locked():
            book = self._decoded_or_aside()
            changed = change(book)
            if changed != book:
                self._sweep()
                write_atomic(self.path, encoded(changed), mode=0o600)
            return changed

    async def read_soon(self) -> Book:
        """`read`, beside the loop."""
        import asyncio

        return await asyncio.to_thread(self.read)

    async def change_soon(self, change: Callable[[Book], Book]) -> Book:
        """`change`, beside the loop."""
        import asyncio

        return await asyncio.to_thread(self.change, change)

    def _read_locked(self) -> Book:
        with self._locked():
            return self._decoded_or_aside()

    def _decoded_or_aside(self) -> Book:
        data = self._bytes()
        if data is None:
            return Book()
        try:
            return decoded(data)
        except ShapeUnknown:
            aside = self._put_aside()
            raise StoreError(
                f"{self.path} was damaged and holds no accounts; it now lies at {aside}.",
                hint="Sign in again (codex-oss login), or mend that file and move it back.",
                code="accounts_corrupt",
            ) from None

    def _bytes(self) -> bytes | None:
        try:
            return read_plain(self.path, MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise StoreError(f"{self.path} cannot be read: {exc.strerror or exc}.", code="accounts_unreadable") from exc

    def _put_aside(self) -> Path:
        quarantine = self.folder / "quarantine"
        ensure_private_dir(quarantine)
        aside = quarantine / f"{FILE_NAME}.{time.time_ns() // 1_000_000}.quarantine.json"
        try:
            os.replace(self.path, aside)
            os.chmod(aside, 0o600)
        except OSError as exc:
            raise StoreError(f"{self.path} is damaged and cannot be put aside: {exc.strerror}.") from exc
        for old in sorted(quarantine.glob(f"{FILE_NAME}.*.quarantine.json"), key=_instant_of)[:-KEPT]:
            with suppress(OSError):
                old.unlink()
        return aside

    def _sweep(self) -> None:
        """Remove what was never renamed; whoever holds the lock knows that its writer is gone."""
        for left in self.folder.glob(f".{FILE_NAME}.*.tmp"):
            with suppress(OSError):
                left.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        ensure_private_dir(self.folder)
        with exclusive(self.folder / f"{FILE_NAME}.lock", LOCK_WAIT_S):
            yield


@contextmanager
def exclusive(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock of this file. Errors: StoreError `accounts_busy` when somebody else keeps it for *wait_s*."""
    try:
        fd = os.open(path, _LOCK_FLAGS, 0o600)
    except OSError as exc:
        raise StoreError(f"{path} cannot be opened: {exc.strerror}.") from exc
    try:
        _wait_for_lock(fd, path, wait_s)
        yield
    finally:
        os.close(fd)


def _wait_for_lock(fd: int, path: Path, wait_s: float) -> None:
    ends_at = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends_at:
                raise StoreError(
                    f"Another process keeps {path} locked.",
                    hint="Is a codex-oss stopped in a debugger? End it, or wait.",
                    code="accounts_busy",
                ) from None
            # By chance, so that several who wait do not keep meeting.
            time.sleep(random.uniform(0.001, 0.008))  # noqa: S311
        else:
            return


def _instant_of(path: Path) -> int:
    number = path.name.split(".")[-3]
    return int(number) if number.isdecimal() else 0
