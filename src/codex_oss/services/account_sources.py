"""Where other programs of this user keep their sign-ins with ChatGPT.

Counterparts: `services.account_import` reads such a file, `cli.account_transfer` asks the person before anything is
taken from it. Nothing here opens a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path


def other_sign_ins(environ: Mapping[str, str]) -> list[Path]:
    """The files that are there: Codex CLI, OpenCode, and the account plugins of OpenCode; each once."""
    found: dict[str, Path] = {}
    for path in _places(environ):
        if path.is_file():
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _places(environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME", ""))
    if environ.get("CODEX_HOME", "").startswith("/"):
        yield Path(environ["CODEX_HOME"]) / "auth.json"
    if home.is_absolute():
        yield home / ".codex" / "auth.json"
    for data in _roots(environ, "XDG_DATA_HOME", home / ".local" / "share"):
        yield data / "opencode" / "auth.json"
    for config in _roots(environ, "XDG_CONFIG_HOME", home / ".config"):
        yield config / "opencode" / "codex-accounts.json"
        yield config / "opencode" / "openai-codex-accounts.json"


def _roots(environ: Mapping[str, str], name: str, usual: Path) -> Iterator[Path]:
    """The folder that the environment names, and the usual one: programs differ in which they heed."""
    if environ.get(name, "").startswith("/"):
        yield Path(environ[name])
    if usual.is_absolute():
        yield usual
