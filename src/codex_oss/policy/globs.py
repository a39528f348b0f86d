"""Globs over paths: what a search asks for, and what a mission forbids.

Counterpart: `policy.scope`. Patterns of a project's own files are `policy.path_patterns`.
"""

from __future__ import annotations

import unicodedata
from fnmatch import fnmatchcase


def glob_matches(path: str, glob: str) -> bool:
    """Whether a search glob selects *path*: without a `/` it means the file name at any depth, as in ignore files.

    Knows `*`, `?`, `[…]`, `**` (any number of folders) and one level of `{a,b}`.
    """
    compared = compared_form(path)
    return any(
        _glob_parts(tuple(compared.split("/")), tuple(compared_form(_anchored(one)).split("/")))
        for one in _braces(glob)
    )


def is_under_any(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether *path* or a folder above it equals or matches one of *patterns* (plain paths or globs)."""
    parts = path.split("/")
    for pattern in patterns:
        if not any(mark in pattern for mark in "*?["):
            if covers(pattern, path):
                return True
            continue
        wanted = tuple(_anchored(pattern).split("/"))
        if any(_glob_parts(tuple(parts[:depth]), wanted) for depth in range(1, len(parts) + 1)):
            return True
    return False


def covers(root: str, path: str) -> bool:
    """Whether *path* is *root* or lies below it. The whole project covers everything."""
    return root == "." or path == root or path.startswith(root + "/")


def compared_form(path: str) -> str:
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _anchored(glob: str) -> str:
    return glob.removeprefix("./").lstrip("/") if "/" in glob else f"**/{glob}"


def _glob_parts(parts: tuple[str, ...], globs: tuple[str, ...]) -> bool:
    """Match by components; `reached` holds how many of *globs* may be used up, so the cost is their product."""
    reached = _skip_stars({0}, globs)
    for part in parts:
        following = set()
        for index in reached:
            if index < len(globs) and globs[index] == "**":
                following.add(index)
            elif index < len(globs) and fnmatchcase(part, globs[index]):
                following.add(index + 1)
        reached = _skip_stars(following, globs)
    return len(globs) in reached


def _skip_stars(reached: set[int], globs: tuple[str, ...]) -> set[int]:
    closed = set(reached)
    for index in sorted(reached):
        while index < len(globs) and globs[index] == "**":
            index += 1
            closed.add(index)
    return closed


def _braces(glob: str) -> tuple[str, ...]:
    before, opened, rest = glob.partition("{")
    choices, closed, after = rest.partition("}")
    if not opened or not closed or "{" in choices:
        return (glob,)
    return tuple(f"{before}{choice}{after}" for choice in choices.split(",")[:32])
