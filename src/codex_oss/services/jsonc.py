"""JSON with comments and trailing commas, read with the place of every member, so that text can be put in between.

Counterpart: `services.opencode_config` edits by these places. Rules that hold here:

1. Nothing is ever written back from a tree: an edit is an insertion or a replacement at offsets of the text.
2. Strict where doubt would be dangerous: an unknown token, a second root or too deep nesting is a JsoncError.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

MAX_DEPTH: Final = 100

_BLANK = re.compile(r"(?:[\s\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")


class JsoncError(ValueError):
    """The text is not JSON with comments. line: 1-based."""

    def __init__(self, text: str, offset: int, expected: str) -> None:
        self.line = text.count("\n", 0, offset) + 1
        super().__init__(f"line {self.line}: expected {expected}")


@dataclass(slots=True)
class Node:
    """One value. start, end: offsets of its first character and behind its last one."""

    start: int
    end: int
    value: Any
    """The plain value; a repeated key keeps its last one."""
    members: list[Member] = field(default_factory=list)
    """Of an object, in the order of the text."""
    trailing_comma: bool = False

    def find(self, key: str) -> list[Member]:
        """Every member with this key; more than one when the text repeats it."""
        return [member for member in self.members if member.key == key]


@dataclass(slots=True)
class Member:
    """One member of an object. start: offset of its key's first quote."""

    key: str
    start: int
    node: Node


def parse_jsonc(text: str) -> Node:
    """The root value. Raises JsoncError."""
    node, offset = _value(text, skip_blank(text, 0), 0)
    if skip_blank(text, offset) != len(text):
        raise JsoncError(text, skip_blank(text, offset), "the end of the file")
    return node


def content_end(text: str, start: int, end: int) -> int:
    """Behind the last character between two offsets that is no white space (the end of a comment counts)."""
    return start + len(text[start:end].rstrip())


def holds_comment(text: str, start: int, end: int) -> bool:
    """Whether a comment stands between two offsets, strings left out."""
    return bool(re.search(r"//|/\*", _STRING.sub('""', text[start:end])))


def skip_blank(text: str, offset: int) -> int:
    """Behind the white space and comments that begin at *offset*."""
    found = _BLANK.match(text, offset)
    return found.end() if found else offset


def _value(text: str, offset: int, depth: int) -> tuple[Node, int]:
    if depth > MAX_DEPTH:
        raise JsoncError(text, offset, f"at most {MAX_DEPTH} levels")
    match text[offset : offset + 1]:
        case "{":
            node = _object(text, offset, depth)
        case "[":
            node = _array(text, offset, depth)
        case _:
            found = _STRING.match(text, offset) or _SCALAR.match(text, offset)
            if found is None:
                raise JsoncError(text, offset, "a value")
            node = Node(offset, found.end(), _plain(text, offset, found.group()))
    return node, node.end


def _object(text: str, start: int, depth: int) -> Node:
    node = Node(start, start, {})
    offset = skip_blank(text, start + 1)
    while text[offset : offset + 1] != "}":
        key = _STRING.match(text, offset)
        if key is None:
            raise JsoncError(text, offset, "a key in quotes or }")
        colon = skip_blank(text, key.end())
        if text[colon : colon + 1] != ":":
            raise JsoncError(text, colon, ":")
        inner, behind = _value(text, skip_blank(text, colon + 1), depth + 1)
        member = Member(_plain(text, offset, key.group()), offset, inner)
        node.members.append(member)
        node.value[member.key] = inner.value
        offset, node.trailing_comma = _next(text, behind, "}")
    node.end = offset + 1
    return node


def _array(text: str, start: int, depth: int) -> Node:
    node = Node(start, start, [])
    offset = skip_blank(text, start + 1)
    while text[offset : offset + 1] != "]":
        inner, behind = _value(text, offset, depth + 1)
        node.value.append(inner.value)
        offset, node.trailing_comma = _next(text, behind, "]")
    node.end = offset + 1
    return node


def _next(text: str, offset: int, closing: str) -> tuple[int, bool]:
    """Where the next entry or the closing bracket stands, and whether a comma came before it."""
    offset = skip_blank(text, offset)
    if text[offset : offset + 1] == ",":
        return skip_blank(text, offset + 1), True
    if text[offset : offset + 1] != closing:
        raise JsoncError(text, offset, f", or {closing}")
    return offset, False


def _plain(text: str, offset: int, token: str) -> Any:
    try:
        return json.loads(token)
    except ValueError:
        raise JsoncError(text, offset, "a valid escape or number") from None
