"""Where the user's upstream keys may travel.

A project's files are somebody else's words: whoever clones a repository also clones its `.codex-oss/models.toml`. They
may choose models and budgets, but not send the user's key to an address of their own.

Rule: a key goes to loopback, and to an origin (scheme, host, port) that the user placed: by flag, environment, user
configuration, or as the package's default. Counterparts: `wiring` collects the origins, `services.upstream` asks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def may_hold_key(base_url: str, trusted_bases: Collection[str]) -> bool:
    """Say whether a key may be sent to *base_url*, given the base URLs that the user placed."""
    if urlsplit(base_url).hostname in LOOPBACK:
        return True
    return origin_of(base_url) in {origin_of(trusted) for trusted in trusted_bases}


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; the port filled in."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
