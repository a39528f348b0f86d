"""Sealed texts: what a client carries for us and may neither read nor change.

Counterparts: `lanes.compaction` seals the summary of a conversation; `server.turn_desk` opens what comes back.

    cxs1.<base64url( nonce 12 bytes | ChaCha20-Poly1305 of the JSON of `Sealed`, tag 16 bytes )>

The key: 32 random bytes in `seal.key` of the user's state folder, of mode 0600, shared by all bridges of the user, so
that a conversation goes on in another project and after a restart.

Rules that hold here:

1. A seal is bound to its version and purpose (`CONTEXT`): a text that was sealed for one cannot be opened as another.
2. There is one spelling of a seal: any changed character is refused, the unused bits of base64 too.
3. The key file is never replaced. Two processes that make it at once use the one that was first; one that is
   damaged or readable by others is refused, because going on with it would hide that.
4. Opening makes no key: without one, nothing was sealed here.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from codex_oss.errors import InvalidRequest, StoreError
from codex_oss.services.state_files import ensure_private_dir, open_plain, sync_folder

PREFIX: Final = "cxs1."
CONTEXT: Final = b"codex-oss/compaction/1"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
KEY_FILE: Final = "seal.key"
MAX_SEALED_CHARS: Final = 4 * 1024 * 1024


class Sealed(Struct, frozen=True):
    """What is inside."""

    text: str
    model: str
    """The name that was asked for it."""
    sealed_at: int
    """Seconds since the epoch."""


class Sealer:
    """Seals and opens with the key of one user. folder: where the key lies; nothing is touched before it is needed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEY_FILE
        self._key: bytes | None = None

    def seal(self, content: Sealed) -> str:
        """Seal *content*; makes the key if there is none. Errors: StoreError."""
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # 20 ms that most bridges never need

        key = self._key_or(make=True)
        assert key is not None
        nonce = secrets.token_bytes(NONCE_BYTES)
        box = ChaCha20Poly1305(key).encrypt(nonce, msgspec.json.encode(content), CONTEXT)
        return PREFIX + base64.urlsafe_b64encode(nonce + box).decode()

    def open(self, sealed: str) -> Sealed:
        """Open what `seal` made. Errors: InvalidRequest `compaction_unreadable`, StoreError for an unusable key."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        if not sealed.startswith(PREFIX):
            raise _unreadable("was sealed by another provider")
        box = _decoded(sealed)
        key = self._key_or(make=False)
        if key is None or len(box) <= NONCE_BYTES:
            raise _unreadable("was sealed with another key, or changed on its way")
        try:
            content = ChaCha20Poly1305(key).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], CONTEXT)
            return msgspec.json.decode(content, type=Sealed)
        except (InvalidTag, msgspec.MsgspecError):
            raise _unreadable("was sealed with another key, or changed on its way") from None

    def _key_or(self, *, make: bool) -> bytes | None:
        if self._key is None:
            self._key = _read_key(self._path)
        if self._key is None and make:
            _make_key(self._path)
            self._key = _read_key(self._path)
            if self._key is None:
                raise StoreError(f"{self._path} is gone right after it was made.")
        return self._key


def _decoded(sealed: str) -> bytes:
    if len(sealed) <= MAX_SEALED_CHARS and sealed.isascii():
        text = sealed[len(PREFIX) :].encode()
        with suppress(binascii.Error):
            box = base64.b64decode(text, altchars=b"-_", validate=True)
            if base64.urlsafe_b64encode(box) == text:
                return box
    raise _unreadable("is damaged")


def _read_key(path: Path) -> bytes | None:
    """The key; None when there is no file. Errors: StoreError for a file that is no key of this user alone."""
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            status, key = os.fstat(file.fileno()), file.read(KEY_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise _unusable(path, f"cannot be read: {exc.strerror}") from exc
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise _unusable(path, "is not private to this user")
    if len(key) != KEY_BYTES:
        raise _unusable(path, "holds no key")
    return key


def _make_key(path: Path) -> None:
    """Put a whole key in place, unless another process was faster. Errors: StoreError."""
    ensure_private_dir(path.parent)
    try:
        fd, name = tempfile.mkstemp(prefix=f".{KEY_FILE}.", dir=path.parent)  # of mode 0600
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(name, path)
        finally:
            os.unlink(name)
        sync_folder(path.parent)
    except OSError as exc:
        raise StoreError(f"{path} cannot be made: {exc.strerror}.") from exc


def _unusable(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"The key {path} {reason}.", hint="Mend it (mode 0600), or move it away: what it sealed is then unreadable."
    )


def _unreadable(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"The compaction {reason}: this bridge cannot open it.",
        hint="Send the conversation itself, or a compaction that this user's bridge made.",
        code="compaction_unreadable",
        param="input",
    )
