"""Where instruction sets come from: the texts of this package, checked by their hashes, and the user's personalities.

Counterparts: `accounts.instructions` adds them, `accounts.persona` writes a personality, `cli.instructions` shows them.

    $XDG_CONFIG_HOME/codex-oss/personalities/KEY.md ─► else data/instructions/KEY.md of the package

Rules that hold here:

1. Nothing is fetched. A shipped text whose hash is not the manifest's is refused: somebody changed it by mistake.
2. The user's file wins, its name compared without case; an empty one counts as missing. A project has none: whoever
   clones a repository would get its author's words into every conversation.
3. A key is a plain name. Only a file of the folder itself is read, never a link.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

from codex_oss.accounts.instructions import InstructionSet
from codex_oss.errors import ConfigInvalid
from codex_oss.services.settings import user_folder
from codex_oss.services.state_files import read_plain

KEY: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MAX_BYTES: Final = 64 * 1024
FOLDER: Final = "personalities"
NONE: Final = "none"
"""A name that stands for nothing, so that a stronger source can switch a weaker one's set off."""


def read_sets(names: Sequence[str], environ: Mapping[str, str]) -> tuple[InstructionSet, ...]:
    """The sets of these names, in their order; `none` is left out. Raises ConfigInvalid for one that does not exist."""
    return tuple(read_set(name, environ) for name in names if name != NONE)


def read_set(name: str, environ: Mapping[str, str]) -> InstructionSet:
    """One set. Raises ConfigInvalid: no such name, a damaged text."""
    key = check_key(name)
    if own := _own(personality_folder(environ), key):
        return own
    shipped = manifest()
    if key not in shipped:
        known = ", ".join(sorted(one.name for one in all_sets(environ)))
        raise ConfigInvalid(f"There is no instruction set {name!r}.", hint=f"Known ones: {known}.")
    if problem := shipped_problem(key):
        raise ConfigInvalid(f"The instruction set {key!r} cannot be used: {problem}.", hint="Install codex-oss again.")
    return InstructionSet(key, shipped[key]["kind"], _shipped_text(key), "codex-oss", shipped[key]["about"])


def all_sets(environ: Mapping[str, str]) -> list[InstructionSet]:
    """Every set that could be named, each once: the user's first, then what is shipped."""
    found: dict[str, InstructionSet] = {}
    folder = personality_folder(environ)
    for file_name in _names(folder):
        key = file_name.lower().removesuffix(".md")
        if KEY.fullmatch(key) and key not in found and (own := _own(folder, key)):
            found[key] = own
    for key, row in manifest().items():
        if key not in found:
            found[key] = InstructionSet(key, row["kind"], _shipped_text(key), "codex-oss", row["about"])
    return list(found.values())


def check_key(name: str) -> str:
    """The key of a name, in lower case. Raises ConfigInvalid for what is no plain name."""
    key = name.strip().lower()
    if not KEY.fullmatch(key):
        raise ConfigInvalid(f"{name!r} is no name: use letters, digits, `-` and `_`.")
    return key


def personality_folder(environ: Mapping[str, str]) -> Path:
    """Where the user's personalities lie."""
    return user_folder(environ) / FOLDER


def manifest() -> dict[str, dict[str, Any]]:
    """What is shipped: name to kind, about and sha256."""
    return tomllib.loads(_shipped().joinpath("manifest.toml").read_text(encoding="utf-8"))


def shipped_problem(key: str) -> str:
    """Why a shipped text is not what was shipped; empty when it is."""
    try:
        data = _shipped().joinpath(f"{key}.md").read_bytes()
    except OSError:
        return "its text is missing"
    return "" if hashlib.sha256(data).hexdigest() == manifest()[key]["sha256"] else "its text was changed"


def _shipped() -> Any:
    return resources.files("codex_oss").joinpath("data/instructions")


def _shipped_text(key: str) -> str:
    try:
        return str(_shipped().joinpath(f"{key}.md").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""


def _own(folder: Path, key: str) -> InstructionSet | None:
    for file_name in _names(folder):
        if file_name.lower() == f"{key}.md":
            try:
                text = read_plain(folder / file_name, MAX_BYTES).decode("utf-8", "replace")
            except OSError:
                continue
            if text.strip():
                return InstructionSet(key, "personality", text, str(folder / file_name))
    return None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
