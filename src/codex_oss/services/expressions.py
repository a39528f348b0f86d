"""Search expressions that mean the same to every engine.

Counterpart: `services.search`, which hands the original to Python's `re` and `to_rust` of it to `rg`.

Rules that hold here:

1. The language is the part of Python's that a linear engine can match: no look-around, no back reference, no
   possessive or atomic group, no condition.
2. A POSIX class such as `[[:space:]]` is understood, because models write it.
3. Every literal is written to `rg` as a code point, so no character is special to one engine and plain to the other.
"""

from __future__ import annotations

import re
from re import _parser as sre  # type: ignore[attr-defined]  # the only parser of this language; `sre_parse` warns
from typing import Any, Final

MAX_REPEAT: Final = 1_000


class PatternInvalid(Exception):
    """The pattern is no expression, or none that every engine can match. The text is a sentence for the model."""


POSIX_CLASSES: Final = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "word": r"\w",
}

_CATEGORY: Final = {
    "CATEGORY_DIGIT": r"\p{Nd}",
    "CATEGORY_NOT_DIGIT": r"\P{Nd}",
    "CATEGORY_SPACE": r"[\s\x1c-\x1f]",
    "CATEGORY_NOT_SPACE": r"[^\s\x1c-\x1f]",
    "CATEGORY_WORD": r"[\p{L}\p{N}_]",
    "CATEGORY_NOT_WORD": r"[^\p{L}\p{N}_]",
}
_AT: Final = {
    "AT_BEGINNING": "^",
    "AT_BEGINNING_STRING": "^",
    "AT_END": "$",
    "AT_END_STRING": "$",
    "AT_BOUNDARY": r"\b",
    "AT_NON_BOUNDARY": r"\B",
}
_REFUSED: Final = {
    "ASSERT": "look-around",
    "ASSERT_NOT": "look-around",
    "GROUPREF": "back references",
    "GROUPREF_EXISTS": "conditional groups",
    "GROUPREF_IGNORE": "back references",
    "ATOMIC_GROUP": "atomic groups",
    "POSSESSIVE_REPEAT": "possessive repetitions",
}
_SET_OPERATORS: Final = ("--", "&&", "~~", "||")


def parse_expression(pattern: str) -> tuple[str, Any]:
    """*pattern* as Python takes it without a warning, and its parse tree. Errors: PatternInvalid."""
    safe = _plain_sets(pattern)
    try:
        tree = sre.parse(safe)
        re.compile(safe)
    except (re.error, OverflowError, RecursionError, ValueError) as exc:
        raise PatternInvalid(f"The pattern is not a valid expression: {exc}.") from exc
    if tree.state.flags & (re.ASCII | re.LOCALE | re.VERBOSE):
        raise PatternInvalid("The pattern sets a flag that a search does not know; only (?i) is.")
    return safe, tree


def to_rust(tree: Any) -> str:
    """The parse tree of `parse_expression` in the syntax of `rg`. Errors: PatternInvalid."""
    try:
        written = "".join(_node(str(op), argument) for op, argument in tree)
    except RecursionError as exc:
        raise PatternInvalid("The pattern is nested too deeply.") from exc
    return f"(?i:{written})" if tree.state.flags & re.IGNORECASE else written


def _node(op: str, argument: Any) -> str:
    if op in _REFUSED:
        raise PatternInvalid(f"The pattern uses {_REFUSED[op]}, which a search does not know.")
    match op:
        case "LITERAL":
            return _character(argument)
        case "NOT_LITERAL":
            return f"[^{_character(argument)}]"
        case "ANY":
            return "."
        case "AT":
            return _AT[str(argument)]
        case "IN":
            return _set(argument)
        case "BRANCH":
            return "(?:" + "|".join(_sequence(branch) for branch in argument[1]) + ")"
        case "SUBPATTERN":
            _, added, removed, inner = argument
            return f"(?{_flags(added, removed)}:{_sequence(inner)})"
        case "MAX_REPEAT" | "MIN_REPEAT":
            return _repeat(op, *argument)
        case _:
            raise PatternInvalid("The pattern uses syntax that a search does not know.")


def _sequence(nodes: Any) -> str:
    return "".join(_node(str(op), argument) for op, argument in nodes)


def _repeat(op: str, low: Any, high: Any, inner: Any) -> str:
    unbounded = str(high) == "MAXREPEAT"
    if int(low) > MAX_REPEAT or (not unbounded and int(high) > MAX_REPEAT):
        raise PatternInvalid(f"The pattern repeats more than {MAX_REPEAT} times.")
    bounds = f"{{{int(low)},{'' if unbounded else int(high)}}}"
    return f"(?:{_sequence(inner)}){bounds}{'?' if op == 'MIN_REPEAT' else ''}"


def _set(items: Any) -> str:
    negated = bool(items) and str(items[0][0]) == "NEGATE"
    written = "".join(_member(str(op), argument) for op, argument in items[negated:])
    return f"[{'^' if negated else ''}{written}]"


def _member(op: str, argument: Any) -> str:
    match op:
        case "LITERAL":
            return _character(argument)
        case "RANGE":
            return f"{_character(argument[0])}-{_character(argument[1])}"
        case "CATEGORY":
            return _CATEGORY[str(argument)]
        case _:
            raise PatternInvalid("The pattern uses a character class that a search does not know.")


def _character(code: int) -> str:
    if 0xD800 <= code <= 0xDFFF:
        raise PatternInvalid("The pattern contains half of a character.")
    char = chr(code)
    return char if char.isascii() and char.isalnum() else f"\\x{{{code:x}}}"


def _flags(added: int, removed: int) -> str:
    unknown = (added | removed) & ~int(re.IGNORECASE | re.DOTALL | re.MULTILINE)
    if unknown:
        raise PatternInvalid("The pattern sets a flag that a search does not know; only (?i) is.")
    return ("i" if added & re.IGNORECASE else "") + ("-i" if removed & re.IGNORECASE else "")


def _plain_sets(pattern: str) -> str:
    """*pattern* with everything escaped inside `[…]` that some engine reads as a nested set or a set operation."""
    written: list[str] = []
    position, inside, first = 0, False, 0
    while position < len(pattern):
        char = pattern[position]
        size = 1
        if char == "\\":
            size = 2
            written.append(pattern[position : position + 2])
        elif not inside:
            inside = char == "["
            size = 2 if inside and pattern[position + 1 : position + 2] == "^" else 1
            written.append(pattern[position : position + size])
            first = position + size
        elif posix := re.compile(r"\[:([a-z]+):\]").match(pattern, position):
            size = len(posix[0])
            if posix[1] not in POSIX_CLASSES:
                raise PatternInvalid(f"There is no character class {posix[0]}.")
            written.append(POSIX_CLASSES[posix[1]])
        elif char == "[" or pattern[position : position + 2] in _SET_OPERATORS:
            written.append(f"\\{char}")
        else:
            inside = char != "]" or position == first
            written.append(char)
        position += size
    return "".join(written)
