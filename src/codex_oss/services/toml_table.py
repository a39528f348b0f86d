"""One table of ours in a TOML file of somebody else: read, put in and taken out as text.

Counterparts: `services.codex_config` (our provider) and `services.mcp_registration` (our MCP server) say what stands in
it. Rules that hold here:

1. Comments, order and foreign keys stay, within our table too. An absent table is appended as text, a present one is
   edited in place, and there only the values that differ.
2. The result is parsed again and compared: but for our table it must say what it said before, else EditRefused.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError

from codex_oss.services.marked_block import EditRefused, newline_of

OURS: Final = "# Written by `codex-oss install`; `codex-oss uninstall` takes it out."
HEADER: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TablePlace:
    """Where our table stands: `[parent.name]`."""

    parent: str
    name: str

    def header(self, *keys: str) -> re.Pattern[str]:
        """Matches the header of the table and of its sub-tables; with *keys* only those sub-tables."""
        begins = rf"""[ \t]*\[[ \t]*{self.parent}[ \t]*\.[ \t]*(["']?){re.escape(self.name)}\1[ \t]*"""
        return re.compile(begins + (rf"\.[ \t]*(?:{'|'.join(keys)})[ \t]*[.\]]" if keys else r"[.\]]"))


def parse_toml(text: str) -> dict[str, Any]:
    """The whole file. Raises EditRefused when the text is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise EditRefused(f"It is not valid TOML: {exc}.", hint="Correct it, then run it again.") from exc


def read_table(text: str, place: TablePlace) -> dict[str, Any] | None:
    """Our table as it stands; None when it is absent. Raises EditRefused when the text is no TOML."""
    parent = parse_toml(text).get(place.parent)
    table = parent.get(place.name) if isinstance(parent, dict) else None
    return table if isinstance(table, dict) else None


def render_table(place: TablePlace, settings: Mapping[str, Any]) -> str:
    """Our table as text, to append or to show."""
    table = tomlkit.table()
    for key, value in settings.items():
        table[key] = _in_line(value)
    return f"[{place.parent}.{place.name}]\n{OURS}\n{table.as_string()}"


def put_table(text: str, place: TablePlace, settings: Mapping[str, Any], dropped: tuple[str, ...] = ()) -> str:
    """*text* with our table saying *settings*, and nothing under the *dropped* keys.

    Other keys of a present table stay. Raises EditRefused when it cannot be done safely.
    """
    held = read_table(text, place)
    wanted = {key: value for key, value in (held or {}).items() if key not in dropped} | dict(settings)
    if held == wanted:
        return text
    if held is None:
        newline = newline_of(text)
        gap = "" if not text else newline if text.endswith("\n") else newline * 2
        edited = text + gap + render_table(place, settings).replace("\n", newline)
    else:
        edited = _edited(text, place, held, settings, dropped)
    _check(text, edited, place, wanted)
    return edited


def strip_table(text: str, place: TablePlace) -> str:
    """*text* without our table, its sub-tables and the blank line before each. Raises EditRefused when unsafe."""
    if read_table(text, place) is None:
        return text
    edited = text
    for start, end in reversed(list(_segments(text, place.header()))):
        edited = _cut(edited, start, end)
    _check(text, edited, place, None)
    return edited


def _edited(
    text: str, place: TablePlace, held: Mapping[str, Any], settings: Mapping[str, Any], dropped: tuple[str, ...]
) -> str:
    """*text* with the values that differ replaced. tomlkit sees our table only: it reorders whole documents."""
    differing = {key: value for key, value in settings.items() if held.get(key) != value}
    if gone := (*dropped, *differing):
        replaced = place.header(*map(re.escape, gone))
        for start, end in reversed(list(_segments(text, place.header()))):
            if replaced.match(text, start):
                text = _cut(text, start, end)
    start, end = next(_segments(text, place.header()), (0, 0))
    try:
        document = tomlkit.parse(text[start:end])
        table: Any = document[place.parent][place.name]
        for key in dropped:
            table.pop(key, None)
        for key, value in differing.items():
            table[key] = _in_line(value)
        return text[:start] + tomlkit.dumps(document) + text[end:]
    except (TOMLKitError, KeyError, TypeError, AttributeError, ValueError) as exc:
        raise _unsafe(place, settings) from exc


def _in_line(value: Any) -> Any:
    """A table as `{ … }`: a header of its own would end ours before the keys behind it."""
    if not isinstance(value, dict):
        return value
    table = tomlkit.inline_table()
    table.update(value)
    return table


def _cut(text: str, start: int, end: int) -> str:
    newline, before = newline_of(text), text[:start]
    return (before.removesuffix(newline) if before.endswith(newline * 2) else before) + text[end:]


def _segments(text: str, ours: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Where our table and its sub-tables stand, each from its header to its last value; what follows is the next's.

    A line within a multi-line string may look like a header; `_check` finds out.
    """
    headers = [match.start() for match in HEADER.finditer(text)]
    for start, end in zip(headers, [*headers[1:], len(text)], strict=True):
        if ours.match(text, start):
            lines = text[start:end].splitlines(keepends=True)
            while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
                lines.pop()
            yield start, start + sum(map(len, lines))


def _check(before: str, after: str, place: TablePlace, wanted: Mapping[str, Any] | None) -> None:
    """Refuse an edit that changed anything but our table."""
    try:
        found = tomllib.loads(after)
    except tomllib.TOMLDecodeError as exc:
        raise _unsafe(place, wanted) from exc
    told = _split(found, place)
    if told[0] != wanted or told[1] != _split(parse_toml(before), place)[1]:
        raise _unsafe(place, wanted)


def _split(document: MutableMapping[str, Any], place: TablePlace) -> tuple[Any, MutableMapping[str, Any]]:
    """(our table or None, everything else); an empty parent counts as none."""
    parent = document.get(place.parent)
    if not isinstance(parent, dict):
        return None, document
    ours = parent.pop(place.name, None)
    if not parent:
        del document[place.parent]
    return ours, document


def _unsafe(place: TablePlace, settings: Mapping[str, Any] | None) -> EditRefused:
    if settings is None:
        return EditRefused("Our table cannot be taken out safely.", hint=f"Remove [{place.parent}.{place.name}].")
    return EditRefused(
        "It is written in a form that cannot be edited safely.",
        hint=f"Add by hand:\n{render_table(place, settings)}",
    )
