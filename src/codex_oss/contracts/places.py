"""Paths as people write them in a task contract: which are files, which are folders, and which are neither.

Counterparts: `contracts.prose` and `contracts.legacy` read their path lists here.

Rules that hold here:

1. A place is a path or it is refused: no pattern, no sentence, nothing that has to be guessed. What a text leaves open
   never widens a scope.
2. `src/` and `src/**` are folders, `src/a.py` is a file, `Makefile` is whatever bears this name: a root of that very
   name covers the file and the folder alike.
3. Back-ticks or quotes around a path belong to the sentence, and allow a space in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from codex_oss.contracts.reader import normal_path, path_fault, shown

NONE_WORDS: Final = frozenset({"none", "n/a", "-", "--", "nothing"})
"""A whole entry that says that there is none."""
_QUOTES: Final = ("`", '"', "'")


@dataclass(frozen=True, slots=True)
class Places:
    """A read list. faults: one sentence for each entry that is no path."""

    roots: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Files and folders."""
        return self.paths + self.roots


def read_places(entries: Iterable[str]) -> Places:
    """Sort entries into folders and files; `none` and the like are no entry."""
    roots: list[str] = []
    paths: list[str] = []
    faults: list[str] = []
    for entry in entries:
        text = entry.strip()
        if not text or text.casefold().rstrip(".") in NONE_WORDS:
            continue
        plain, quoted = _unquoted(text)
        if fault := _fault(plain, quoted):
            faults.append(f"{shown(text)} is no path: {fault}.")
        elif _is_folder(plain):
            roots.append(normal_path(plain.removesuffix("/**")))
        elif _is_file(plain):
            paths.append(normal_path(plain))
        else:
            roots.append(normal_path(plain))
    return Places(tuple(dict.fromkeys(roots)), tuple(dict.fromkeys(paths)), tuple(faults))


def _unquoted(text: str) -> tuple[str, bool]:
    for mark in _QUOTES:
        if len(text) > 2 and text.startswith(mark) and text.endswith(mark):
            return text[1:-1].strip(), True
    return text, False


def _fault(text: str, quoted: bool) -> str:
    if fault := path_fault(text):
        return fault
    if any(char.isspace() for char in text) and not quoted:
        return "it holds a space; put it in back-ticks if it is one path, on lines of their own if it is several"
    if any(char in text.removesuffix("/**") for char in "*?[]{}<>|"):
        return "it is a pattern; name the folder with a / at its end"
    return ""


def _is_folder(text: str) -> bool:
    return text.endswith(("/", "/**")) or normal_path(text) == "."


def _is_file(text: str) -> bool:
    name = text.rsplit("/", 1)[-1]
    return "." in name[1:]
