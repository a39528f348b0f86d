"""Keys that never leave this machine: made once, in the user's state folder, private to the user.

Counterparts: `services.event_log` puts a MAC on each event with one; whoever else needs a local secret names another.

    $XDG_STATE_HOME/codex-oss/<name>.key      32 random bytes as hex and a line feed, mode 0600

Rules that hold here:

1. A key that exists is never written again: what it has signed must stay verifiable.
2. Two processes that make it at once agree: the file appears whole, under its name, for exactly one of them.
3. A key that others may read, that is a link or no key at all is refused, not used and not replaced.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from codex_oss.errors import StoreError
from codex_oss.services.state_files import ensure_private_dir, open_plain

KEY_BYTES: Final = 32
MAX_KEY_FILE_BYTES: Final = 1024
_HEX: Final = re.compile(rb"[0-9a-f]{64}")


def user_state_folder(environ: Mapping[str, str]) -> Path | None:
    """`$XDG_STATE_HOME/codex-oss` or its default; None when the user has no usable home."""
    named = environ.get("XDG_STATE_HOME", "")
    if named and Path(named).is_absolute():
        return Path(named) / "codex-oss"
    home = Path(environ.get("HOME") or "/nonexistent")
    if home.is_absolute() and home.is_dir() and os.access(home, os.W_OK):
        return home / ".local" / "state" / "codex-oss"
    return None


def read_key(path: Path) -> bytes:
    """The key in *path*. Errors: FileNotFoundError; StoreError `key_unusable` for anything that is no private key."""
    try:
        fd = open_plain(path)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise _unusable(path, exc.strerror or "cannot be read") from exc
    with os.fdopen(fd, "rb") as file:
        if stat.S_IMODE(os.fstat(fd).st_mode) & 0o077:
            raise _unusable(path, "others may read it; set its mode to 0600")
        text = file.read(MAX_KEY_FILE_BYTES).strip()
    if not _HEX.fullmatch(text):
        raise _unusable(path, "it does not hold 32 bytes in hex")
    return bytes.fromhex(text.decode())


def open_key(folder: Path, name: str) -> bytes:
    """The key called *name*, made when there is none. Errors: StoreError."""
    path = folder / f"{name}.key"
    with suppress(FileNotFoundError):
        return read_key(path)
    ensure_private_dir(folder)
    _make(path)
    return read_key(path)


def _make(path: Path) -> None:
    """Put a new key under its name, unless another process was faster."""
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
                file.flush()
                os.fsync(fd)
            with suppress(FileExistsError):
                os.link(temporary, path)  # unlike a rename, this cannot replace a key
        finally:
            os.unlink(temporary)
    except OSError as exc:
        raise StoreError(f"The key {path} cannot be made: {exc.strerror}.", code="key_unusable") from exc


def _unusable(path: Path, why: str) -> StoreError:
    return StoreError(f"The key {path} is not usable: {why}.", code="key_unusable")
