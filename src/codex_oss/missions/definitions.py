"""Whether a line of code defines a name, by its shape, in the languages that projects are made of.

Counterpart: `missions.claims` asks for claims of kind definition and usage, `missions.numbers` for counts.

The shapes are generous: a claim is refused only when no cited line has any of them. A claim of usage is refused by the
narrow one alone (`only_declares`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text))


_FUNCTION: Final = _words("def function func fn fun sub proc defun defn defp defmacro macro")
_TYPE: Final = _words("class struct enum interface trait record union protocol object actor")
_BINDING: Final = _words(
    "const let var val static final local export readonly declare type typedef alias newtype data module namespace "
    "package message service rpc resource variable output define table view index domain"
)
_DECLARING: Final = frozenset((*_FUNCTION, *_TYPE, *_BINDING))
_CONTROL: Final = frozenset(
    _words(
        "return await yield if elif else while for in not and or raise throw case switch match assert print del new "
        "import from with except catch delete go defer using require include"
    )
)
_LAST_WORD: Final = re.compile(r"(?P<word>[\w#]+)[\s*&(]*\Z")
_FIRST_WORD: Final = re.compile(
    r"\s*(?:(?:pub|export|async|static|public|private|protected|default|abstract)\b\S*\s+)*(?P<word>[\w#]+)"
)
_ASSIGNED: Final = re.compile(r"\s*(?::[^=:()]{0,200})?(?::|\?|\|\|)?=(?![=>~])|\s*::?=|\s*<-|\s+=>")
_KEY: Final = re.compile(r"[\"'\]]?\s*:(?!:)")
_TYPED: Final = re.compile(r"\A[\s*&<>:,.\w\[\]]*[\w>*&\]]\s+[*&]*\Z")
_AFTER_TYPED: Final = re.compile(r"\s*(?:[;,=(){\[]|\Z)")
_FIELD: Final = re.compile(r"\s+[\w*\[\]]+")
_HEADING: Final = re.compile(r"\s*(?:#+\s|[-*]\s+[`*_]*|\[+)[`*_\w.\s]*\Z")

MAX_BEFORE_CHARS: Final = 200
"""What stands further right is no declaration, and would cost the square of its distance."""

UNITS: Final[dict[str, tuple[str, ...]]] = {
    "func": _FUNCTION,
    "meth": _FUNCTION,
    "rout": _FUNCTION,
    "clas": ("class",),
    "stru": ("struct",),
    "enum": ("enum",),
    "inte": ("interface",),
    "trai": ("trait",),
    "type": (*_TYPE, "type", "typedef"),
    "impo": ("import", "from", "use", "require", "#include", "using"),
}
"""Beginning of a counted noun to the words that begin a line which has one."""
_BOUND: Final = frozenset(_words("sett cons vari keys key fiel entr opti valu assi attr prop"))
"""Beginnings of the nouns for what a line binds to a value or type."""
_BINDS: Final = re.compile(
    r"""\s*(?:(?:export|const|let|var|static|final|public|private)\s+)*["']?[\w.-]+["']?\s*[:=](?!=)"""
)


def defines(line: str, name: str) -> bool:
    """Whether this line gives *name* its meaning. name: as it stands in the line; a dotted name by its last part."""
    last = name.rsplit(".", 1)[-1].removesuffix("()")
    return bool(last) and any(_defines_at(line, start, start + len(last)) for start in _places_of(last, line))


def only_declares(line: str, name: str) -> bool:
    """Whether the line is the head of a function or type of that name and does not use it otherwise."""
    starts = list(_places_of(name, line))
    return len(starts) == 1 and _last_word(line[: starts[0]]) in (*_FUNCTION, *_TYPE)


def count_declared(lines: Iterable[str], unit: str) -> int:
    """How many lines begin a thing of this kind; 0 for a noun that is not in `UNITS`."""
    words = UNITS.get(unit[:4], ())
    if unit[:4] in _BOUND:
        return sum(1 for line in lines if _BINDS.match(line))
    if not words:
        return 0
    return sum(1 for line in lines if (found := _FIRST_WORD.match(line)) and found["word"] in words)


def imports(line: str) -> bool:
    """Whether a line only brings names in from elsewhere."""
    found = _FIRST_WORD.match(line)
    return found is not None and found["word"] in UNITS["impo"]


def count_of(name: str, line: str) -> int:
    """How often a name stands in a line as a whole word."""
    return sum(1 for _ in _places_of(name, line))


def _places_of(name: str, line: str) -> Iterable[int]:
    at = line.find(name) if name else -1
    while at >= 0:
        around = line[at - 1 : at] if at else "", line[at + len(name) : at + len(name) + 1]
        if not any(char.isalnum() or char == "_" for char in around):
            yield at
        at = line.find(name, at + 1)


def _last_word(before: str) -> str:
    found = _LAST_WORD.search(before[-80:])
    return found["word"].casefold() if found else ""


def _defines_at(line: str, start: int, end: int) -> bool:
    before, after = line[:start], line[end:]
    head = _FIRST_WORD.match(line)
    first = head["word"] if head else ""
    if first in _FUNCTION or _last_word(before) in _DECLARING:
        return True  # the function itself, or one of its parameters
    if _ASSIGNED.match(after) or _HEADING.fullmatch(before) or line.lstrip().startswith("#define"):
        return True
    if first.casefold() in _CONTROL or first == "#include":
        return False
    if len(before) > MAX_BEFORE_CHARS:
        return False
    bare = not before.strip(" \t\"'-.@$:")
    if bare and (_KEY.match(after) or _FIELD.match(after) or after.lstrip().startswith(("(", "{"))):
        return not after.rstrip().endswith((")", ");")) or bool(_KEY.match(after))
    return bool(_KEY.match(after) and before.rstrip().endswith(("{", ",", '"', "'"))) or bool(
        _TYPED.match(before) and _AFTER_TYPED.match(after)
    )
