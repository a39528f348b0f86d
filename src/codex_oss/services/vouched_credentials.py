"""Credentials that their own backend accepted through this bridge: what a child agent of a GPT parent can show.

An agent that Codex 0.169 spawns has the address and the credential of its parent, and no header of its own choosing. So
a credential with which the parent was just served opens our lanes for its children; see docs/decisions/0014.

Rules that hold here:

1. Never the token: a keyed hash of it, under a key that lives and dies with this process.
2. Bounded in time and number; the one that was accepted longest ago goes first.
3. A refusal by the backend takes the trust away at once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from codex_oss.policy.outbound import Credential

TRUST_S: Final = 12 * 60 * 60
MAX_CREDENTIALS: Final = 64


class VouchedCredentials:
    """The memory, empty at the start. now: seconds of a clock that never goes back."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._key = secrets.token_bytes(32)
        self._accepted_at: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accepted_at)

    def __contains__(self, credential: Credential) -> bool:
        """Whether the backend accepted it within the last 12 hours."""
        accepted_at = self._accepted_at.get(self._digest(credential))
        return accepted_at is not None and self._now() - accepted_at < TRUST_S

    def accept(self, credential: Credential) -> None:
        """The backend answered it with a 2xx."""
        digest = self._digest(credential)
        self._accepted_at[digest] = self._now()
        self._accepted_at.move_to_end(digest)
        while len(self._accepted_at) > MAX_CREDENTIALS:
            self._accepted_at.popitem(last=False)

    def refuse(self, credential: Credential) -> None:
        """The backend answered it with a 401."""
        self._accepted_at.pop(self._digest(credential), None)

    def _digest(self, credential: Credential) -> bytes:
        length = len(credential.account).to_bytes(4, "big")
        return hmac.digest(self._key, length + credential.account + credential.token, hashlib.sha256)
