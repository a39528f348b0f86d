"""Sealed texts: what a client carries for us and may neither read nor change.

Counterparts: `lanes.compaction` seals the summary of a conversation; `server.turn_desk` opens what comes back.

    cxs1.<base64url( nonce 12 bytes | ChaCha20-Poly1305 of the JSON of `Sealed`, tag 16 bytes )>

The key is `seal.key` of the user's state folder (`services.local_key`), shared by all bridges of the user, so that a
conversation goes on in another project and after a restart.

Rules that hold here:

1. A seal is bound to its version and purpose (`CONTEXT`): a text that was sealed for one cannot be opened as another.
2. There is one spelling of a seal: any changed character is refused, the unused bits of base64 too.
3. Opening makes no key: without one, nothing was sealed here.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from codex_oss.errors import InvalidRequest, StoreError
from codex_oss.services.local_key import open_key, read_key

PREFIX: Final = "cxs1."
CONTEXT: Final = b"codex-oss/compaction/1"
NONCE_BYTES: Final = 12
KEY_NAME: Final = "seal"
MAX_SEALED_CHARS: Final = 4 * 1024 * 1024


class Sealed(Struct, frozen=True):
    """What is inside."""

    text: str
    model: str
    """The name that was asked for it."""
    sealed_at: int
    """Seconds since the epoch."""


class Sealer:
    """Seals and opens with the key of one user.

    folder: where the key lies, None for a user without one; nothing is touched before it is needed.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
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
        if self._folder is None:
            if make:
                raise StoreError("There is no folder for the user's state, so nothing can be sealed.", hint="Set HOME.")
            return None
        if self._key is None and make:
            self._key = open_key(self._folder, KEY_NAME)
        elif self._key is None:
            with suppress(FileNotFoundError, NotADirectoryError):
                self._key = read_key(self._folder / f"{KEY_NAME}.key")
        return self._key


def _decoded(sealed: str) -> bytes:
    if len(sealed) <= MAX_SEALED_CHARS and sealed.isascii():
        text = sealed[len(PREFIX) :].encode()
        with suppress(binascii.Error):
            box = base64.b64decode(text, altchars=b"-_", validate=True)
            if base64.urlsafe_b64encode(box) == text:
                return box
    raise _unreadable("is damaged")


def _unreadable(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"The compaction {reason}: this bridge cannot open it.",
        hint="Send the conversation itself, or a compaction that this user's bridge made.",
        code="compaction_unreadable",
        param="input",
    )
