"""Where the accounts lie, and whether there are any: two questions that cost no import of weight.

Counterparts: `services.account_store` keeps the book there; `cli.mcp` asks before it offers the tools of accounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

FILE_NAME: Final = "codex-accounts.json"


def accounts_folder(environ: Mapping[str, str]) -> Path | None:
    """`$XDG_CONFIG_HOME/codex-oss`, else `~/.config/codex-oss`; None where there is no home."""
    told = environ.get("XDG_CONFIG_HOME", "")
    if told.startswith("/"):
        return Path(told) / "codex-oss"
    home = environ.get("HOME", "")
    return Path(home) / ".config" / "codex-oss" if home.startswith("/") else None


def has_book(environ: Mapping[str, str]) -> bool:
    """Whether there is a book of accounts, empty or not."""
    folder = accounts_folder(environ)
    try:
        return folder is not None and (folder / FILE_NAME).exists()
    except OSError:
        return False
