"""One member of ours in an object of a JSON file with comments: read, put in and taken out as text.

Counterparts: `services.jsonc` finds the places; `services.opencode_config` (our provider) and
`services.mcp_registration` (our MCP server) say what stands there. Rules that hold here:

1. Comments, order and formatting stay. Only our member is written; a parent object that is absent is made.
2. The result is parsed again and compared: but for our member it must say what it said before, else EditRefused with
   the snippet to add.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from codex_oss.services.jsonc import JsoncError, Member, Node, content_end, holds_comment, parse_jsonc, skip_blank
from codex_oss.services.marked_block import EditRefused, newline_of

SCHEMA: Final = "https://opencode.ai/config.json"

Merge = Callable[[Any], Mapping[str, Any]]
"""What stands there now (None: nothing) to what should. Raises EditRefused to leave it alone."""


@dataclass(frozen=True, slots=True)
class MemberPlace:
    """Where our member stands: `{parent: {name: …}}`."""

    parent: str
    name: str

    def snippet(self, value: Mapping[str, Any]) -> str:
        """The whole of what to add by hand."""
        return json.dumps({self.parent: {self.name: value}}, indent=2, ensure_ascii=False)


def read_member(text: str, place: MemberPlace) -> Any:
    """Our member as it stands; None when it is absent. Raises EditRefused when the text is no JSON."""
    if not text.strip():
        return None
    found = _ours(_root(text, place, None), place, None)
    return None if found is None else found.node.value


def put_member(text: str, place: MemberPlace, merge: Merge) -> str:
    """*text* with our member as *merge* wants it. An empty text becomes a whole file. Raises EditRefused."""
    if not text.strip():
        whole = {"$schema": SCHEMA, place.parent: {place.name: merge(None)}}
        return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    root = _root(text, place, merge)
    held = _ours(root, place, merge)
    wanted = merge(held.node.value if held else None)
    if held is not None and held.node.value == wanted:
        return text
    if held is not None:
        if holds_comment(text, held.node.start, held.node.end):
            why = f"{place.parent}.{place.name} differs from what is needed and holds comments"
            raise _unsafe(why, place, merge)
        shown = _rendered(wanted, text, _margin(text, held.start))
        edited = text[: held.node.start] + shown + text[held.node.end :]
    elif parents := root.find(place.parent):
        edited = _inserted(text, parents[0].node, place.name, wanted)
    else:
        edited = _inserted(text, root, place.parent, {place.name: wanted})
    _check(root, edited, place, merge, wanted)
    return edited


def strip_member(text: str, place: MemberPlace) -> str:
    """*text* without our member, and without a parent that held nothing else. Raises EditRefused."""
    root = _root(text, place, None)
    if _ours(root, place, None) is None:
        return text
    parent = root.find(place.parent)[0].node
    lonely = len(parent.members) == 1
    edited = _removed(text, root, place.parent) if lonely else _removed(text, parent, place.name)
    _check(root, edited, place, None, None)
    return edited


def _root(text: str, place: MemberPlace, merge: Merge | None) -> Node:
    try:
        root = parse_jsonc(text)
    except JsoncError as exc:
        raise _unsafe(f"it is not valid JSON ({exc})", place, merge) from exc
    if not isinstance(root.value, dict):
        raise _unsafe("it does not hold an object", place, merge)
    return root


def _ours(root: Node, place: MemberPlace, merge: Merge | None) -> Member | None:
    parents = root.find(place.parent)
    if len(parents) > 1 or (parents and not isinstance(parents[0].node.value, dict)):
        raise _unsafe(f"`{place.parent}` is not one object", place, merge)
    found = parents[0].node.find(place.name) if parents else []
    if len(found) > 1:
        raise _unsafe(f"`{place.parent}.{place.name}` stands there twice", place, merge)
    return found[0] if found else None


def _inserted(text: str, parent: Node, key: str, value: Any) -> str:
    """*text* with one more member at the end of *parent*."""
    newline = newline_of(text)
    outer = _margin(text, parent.start)
    margin = _margin(text, parent.members[0].start) if parent.members else outer + "  "
    margin = margin if len(margin) > len(outer) else outer + "  "
    member = f"{newline}{margin}{json.dumps(key)}: {_rendered(value, text, margin)}"
    closing = parent.end - 1
    behind = content_end(text, parent.start + 1, closing)
    tail = text[behind:closing]
    tail = tail if newline in tail else f"{newline}{outer}"
    last = parent.members[-1].node.end if parent.members else behind
    comma = "," if parent.members and not parent.trailing_comma else ""
    return text[:last] + comma + text[last:behind] + member + tail + text[closing:]


def _removed(text: str, parent: Node, key: str) -> str:
    """*text* without one member of *parent*, and without the comma that tied it to its neighbour."""
    place = next(index for index, member in enumerate(parent.members) if member.key == key)
    member = parent.members[place]
    if place + 1 < len(parent.members):
        comma = text.index(",", skip_blank(text, member.node.end))
        return text[: member.start] + text[comma + 1 :].lstrip()
    start = content_end(text, parent.start + 1, member.start)
    if parent.trailing_comma:
        behind = text.index(",", skip_blank(text, member.node.end)) + 1
        return _joined(text[:start], text[behind:])
    if place == 0:
        return _joined(text[:start], text[member.node.end :])
    comma = text.index(",", skip_blank(text, parent.members[place - 1].node.end))
    return _joined(text[:comma] + text[comma + 1 : start], text[member.node.end :])


def _joined(head: str, tail: str) -> str:
    """Head and tail, with a line end between them where the head may end in a line comment."""
    needs = "//" in head.rpartition("\n")[2] and not tail.lstrip(" \t\r").startswith("\n")
    return head + (newline_of(head) if needs else "") + tail


def _margin(text: str, offset: int) -> str:
    """The white space at the beginning of the line that holds *offset*."""
    line = text[text.rfind("\n", 0, offset) + 1 : offset].lstrip("\ufeff")
    return line[: len(line) - len(line.lstrip())]


def _rendered(value: Any, text: str, margin: str) -> str:
    indent = "\t" if margin.startswith("\t") else 2
    return json.dumps(value, indent=indent, ensure_ascii=False).replace("\n", newline_of(text) + margin)


def _check(before: Node, after: str, place: MemberPlace, merge: Merge | None, wanted: Any) -> None:
    """Refuse an edit that changed anything but our member."""
    try:
        found = parse_jsonc(after).value
    except JsoncError as exc:
        raise _unsafe("it is written in an unusual form", place, merge) from exc
    if _split(found, place) != (wanted, _split(before.value, place)[1]):
        raise _unsafe("it is written in an unusual form", place, merge)


def _split(document: dict[str, Any], place: MemberPlace) -> tuple[Any, dict[str, Any]]:
    """(our member or None, everything else); an empty parent counts as none."""
    parent = document.get(place.parent, {})
    others = {key: value for key, value in parent.items() if key != place.name}
    rest = {key: value for key, value in document.items() if key != place.parent}
    return parent.get(place.name), rest | ({place.parent: others} if others else {})


def _unsafe(why: str, place: MemberPlace, merge: Merge | None) -> EditRefused:
    hint = "Correct it by hand." if merge is None else f"Add by hand:\n{place.snippet(merge(None))}"
    return EditRefused(f"It cannot be edited safely: {why}.", hint=hint)
