"""What a sentence states, read by its form: places, code, paths, names, numbers and words.

Counterparts: `missions.cited` indexes the lines that were shown, `missions.claims` and `missions.numbers` hold one
against the other.

Rules that hold here:

1. Read is what is code whatever the sentence around it: `path:LINE`, "line N", back-ticked and double-quoted text,
   `snake_case`, `lowerCamel`, `call()`, paths with a folder, and numbers. Plain words only say what it speaks of.
2. Each kind is taken out of the text before the next one is looked for.
3. A number written as a word is a number where a number is the point (claims of kind value and count); elsewhere only
   from eleven on, because "one of the two" is how people talk.
4. Every pattern here costs a bounded multiple of the text, whatever the text is.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from msgspec import Struct

STEM_CHARS: Final = 4

_BACKTICKED: Final = re.compile(r"(?P<fence>`{1,3})(?P<code>.+?)(?P=fence)", re.DOTALL)
_UNCLOSED: Final = re.compile(r"`(?P<code>[^`\n]+)")
_INFO_STRING: Final = re.compile(r"\A[\w+-]*[ \t]*\n")
_DOUBLE_QUOTED: Final = re.compile(r'"(?P<ascii>[^"\n]{1,400})"|“(?P<curly>[^”\n]{1,400})”')
_PATH_LINE: Final = re.compile(
    r"(?<![\w/.@+-])(?P<path>[\w/.@+-]{1,400})(?::L?|#L|\()(?P<line>\d{1,7})(?:\s?[-–]\s?L?(?P<end>\d{1,7})|:\d+)?"
)
_NAMES_FILE: Final = re.compile(r"/|[\w@+-]\.[A-Za-z0-9_]{1,12}\Z")
"""What makes a word before `:LINE` a path: a folder or an extension. Asked apart: in one pattern `+++…` cost cubes."""
_LINE_WORD: Final = re.compile(
    r"(?:\blines?\b[\s:#]*(?:(?:numbers?|nos?\b\.?)[\s:#]*)?|(?<!\w)L(?=\d))"
    r"(?P<numbers>\d{1,7}(?:\s*(?:[-–—,&]|,?\s*and\b|to\b|through\b|or\b)\s*(?:lines?\s*)?L?\d{1,7}\b)*)",
    re.IGNORECASE,
)
_SPAN: Final = re.compile(r"(?P<first>\d+)(?:\s*(?:[-–—]|to\b|through\b)\s*L?(?P<last>\d+))?", re.IGNORECASE)
_PATH: Final = re.compile(r"(?<![\w/.@:+-])(?:[\w.@+-]+/)+[\w.@+-]*\w\.\w{1,12}(?![\w/])")
_NAME: Final = re.compile(
    r"(?<!\w)(?:(?P<call>[^\W\d]\w*)\(\)|(?P<snake>_*[^\W\d_][^\W_]*_\w+)|(?P<camel>[a-z]{2,}[A-Z]\w*))(?!\w)"
)
_CAMEL: Final = re.compile(r"(?<!\w)(?:[A-Z]+[a-z0-9]+){2,8}(?!\w)")
_NUMBER: Final = re.compile(
    r"(?<![\w.#/-])(?P<number>\d[\d_]*(?:[.,]\d+)*)(?P<suffix>ns|us|ms|s|min|h|[kKMG]i?B|[kx])?(?![\w%])"
    r"(?:\s+(?P<unit>[^\W\d_]{3,40}))?"
)
_ODD_NUMBER: Final = re.compile(
    r"(?<![\w.#/-])(?P<number>0[xX][0-9A-Fa-f]+|0[bB][01]+|\d+(?:\.\d+)?[eE][+-]?\d{1,3})(?!\w)"
)
"""Numbers in notations of programmers."""
_WORD: Final = re.compile(r"[0-9]+|[^\W\d_]{3,}|[A-Z]{2}(?![a-z])|(?<=_)[^\W\d_]{2}|[^\W\d_]{2}(?=_)")
"""Numbers, words of three letters and more, capitals, and the parts of names."""
FUNCTION_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "all and any are been but can does for from has have into its not our out that the then this was were when "
        "which will with you",
    )
)
"""Words that stand in any text, code included, and so say nothing about what a claim speaks of."""

_SMALL_NUMBERS: Final[dict[str, int]] = {
    "zero": 0, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "once": 1, "twice": 2, "thrice": 3,
}  # fmt: skip
_GREAT_NUMBERS: Final[dict[str, int]] = {
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
_TIMES: Final[dict[str, int]] = {"dozen": 12, "hundred": 100, "thousand": 1000}
_DIGIT_OF: Final = {word: value for word, value in _SMALL_NUMBERS.items() if 0 < value < 10} | {"one": 1}


class Place(Struct, frozen=True):
    """Lines that a sentence names. path: empty when it names none."""

    text: str
    path: str
    first: int
    last: int


class Number(Struct, frozen=True):
    """A number with what it counts: the word behind it, or `x`; unit empty when nothing follows."""

    text: str
    unit: str = ""


class Stated(Struct, frozen=True):
    """Everything that one sentence states."""

    places: tuple[Place, ...] = ()
    codes: tuple[str, ...] = ()
    """Back-ticked text, without the ticks."""
    quoted: tuple[str, ...] = ()
    """Text in double quotes."""
    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Names that can only be code."""
    camels: tuple[str, ...] = ()
    """Names like `ValueError`; some of them are just words."""
    numbers: tuple[Number, ...] = ()
    stems: frozenset[str] = frozenset()
    """Beginnings of all its words, those inside code and paths included."""
    plain_stems: frozenset[str] = frozenset()
    """Beginnings of the words outside code, paths and names."""


def read_sentence(text: str, *, words_are_numbers: bool = False) -> Stated:
    """Read a sentence. words_are_numbers: also take "two" and "five" for numbers."""
    places: list[Place] = []
    rest = text
    for found in path_lines(text):
        rest = rest.replace(found[0], " ")
        first, last = int(found["line"]), int(found["end"] or found["line"])
        places.append(Place(found[0], found["path"], first, last))
    for found in _LINE_WORD.finditer(rest):
        places += [Place(found[0], "", first, last) for first, last in _spans_in(found["numbers"])]
    rest = _LINE_WORD.sub(" ", rest)
    codes = [_INFO_STRING.sub("", found["code"]).strip() for found in _BACKTICKED.finditer(rest)]
    rest = _BACKTICKED.sub(" ", rest)
    codes += [found["code"].strip() for found in _UNCLOSED.finditer(rest)]
    rest = _UNCLOSED.sub(" ", rest)
    quoted = [(found["ascii"] or found["curly"]).strip() for found in _DOUBLE_QUOTED.finditer(rest)]
    rest = _DOUBLE_QUOTED.sub(" ", rest)
    paths = _PATH.findall(rest)
    rest = _PATH.sub(" ", rest)
    names = [found["call"] or found["snake"] or found["camel"] for found in _NAME.finditer(rest)]
    numbers = [Number(found["number"], _unit_of(found)) for found in _NUMBER.finditer(rest)]
    numbers += [Number(found["number"]) for found in _ODD_NUMBER.finditer(rest)]
    numbers += _written_numbers(rest, small=words_are_numbers)
    plain = _NAME.sub(" ", rest)
    return Stated(
        places=tuple(places),
        codes=tuple(dict.fromkeys(codes)),
        quoted=tuple(dict.fromkeys(quoted)),
        paths=tuple(dict.fromkeys(paths)),
        names=tuple(dict.fromkeys(names)),
        camels=tuple(dict.fromkeys(_CAMEL.findall(plain))),
        numbers=tuple(dict.fromkeys(numbers)),
        stems=stems_of(text),
        plain_stems=stems_of(plain),
    )


def path_lines(text: str) -> list[re.Match[str]]:
    """Every `path:LINE` of a text."""
    return [found for found in _PATH_LINE.finditer(text) if _NAMES_FILE.search(found["path"])]


def stems_of(text: str) -> frozenset[str]:
    """Beginnings of the words of a text, so that "returns" meets `return`; its numbers as they are."""
    return frozenset(map(_stem_of, set(_WORD.findall(text)))) - {""}


@lru_cache(maxsize=1 << 14)
def _stem_of(word: str) -> str:
    folded = word.casefold()
    if folded in FUNCTION_WORDS:
        return ""
    return folded[:STEM_CHARS] if folded[0].isalpha() else folded


def values_of(token: str) -> frozenset[float]:
    """The readings of a written number: `30_000`, `30,000`, `1.50`; empty for a version."""
    if token[:2].lower() in ("0x", "0b"):
        return frozenset({float(int(token[:60], 0))})
    plain = token.replace("_", "")
    if "e" in plain.lower():
        return frozenset({float(plain)})
    readings = {plain.replace(",", ""), plain.replace(",", ".")}
    return frozenset(float(reading) for reading in readings if reading.count(".") < 2)


def unseen_or_alike(text: str) -> str:
    """The first word or character of a text that a person cannot read for what it is; empty when there is none."""
    if _CONTROLS.search(text):
        return "\N{REPLACEMENT CHARACTER}"
    if text.isascii():
        return ""
    if _RAISED.search(text):
        return "\N{REPLACEMENT CHARACTER}"
    if any(unicodedata.category(char) in _UNSEEN and char not in "\t\n\r" for char in text):
        return "\N{REPLACEMENT CHARACTER}"
    return next((word for word in _ANY_WORD.findall(text) if not word.isascii() and _looks_like_another(word)), "")


_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_RAISED: Final = re.compile(r"\d[⁰¹²³⁴-⁹₀-₉①-⑳⓪\u0300-\u036f\u20d0-\u20ff]")
"""Small, circled or struck digits behind others: a number that is not what it looks like."""
_ANY_WORD: Final = re.compile(r"\w+")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_LOOK_ALIKES: Final = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "FULLWIDTH", "MATHEMATICAL")
_TWINS: Final = frozenset("АВЕЅІЈКМНОРСТУХаеорсухѕіјһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧονιαρχ")
"""Letters of other alphabets that look like a Latin one in every font."""


def _looks_like_another(word: str) -> bool:
    letters = [char for char in word if char.isalpha()]
    foreign = [char for char in letters if char > "\x7f"]
    if not any(unicodedata.name(char, "").startswith(_LOOK_ALIKES) for char in foreign):
        return False
    mixed = sum(char.isascii() for char in letters) >= 2
    disguised = len(letters) >= 2 and all(char.isascii() or char in _TWINS for char in letters)
    return mixed or disguised or unicodedata.normalize("NFKC", word).isascii()


def _spans_in(numbers: str) -> list[tuple[int, int]]:
    return [(int(found["first"]), int(found["last"] or found["first"])) for found in _SPAN.finditer(numbers)]


def _unit_of(found: re.Match[str]) -> str:
    if found["suffix"]:
        return "x" if found["suffix"] == "x" else ""
    unit = (found["unit"] or "").casefold()
    return "" if unit in FUNCTION_WORDS else unit


def _written_numbers(text: str, *, small: bool) -> list[Number]:
    """Numbers in words, with the word behind them. small: also those that people use without counting."""
    words = [word.casefold() for word in _ANY_WORD.findall(text)]
    known = _GREAT_NUMBERS | (_SMALL_NUMBERS | _TIMES if small else {})
    found: list[Number] = []
    at = 0
    while at < len(words):
        value, at, word = known.get(words[at]), at + 1, words[at]
        if value is None:
            continue
        following = words[at] if at < len(words) else ""
        if 20 <= value <= 90 and following in _DIGIT_OF:
            value, at = value + _DIGIT_OF[following], at + 1
        elif small and following in _TIMES and word not in _TIMES:
            value, at = value * _TIMES[following], at + 1
        unit = words[at] if at < len(words) and words[at] not in FUNCTION_WORDS else ""
        found.append(Number(str(value), "x" if word in ("once", "twice", "thrice") else unit))
    return found
