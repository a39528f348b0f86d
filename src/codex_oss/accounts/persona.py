"""Building a personality: a few fields or a text about somebody, made into instructions that keep the work sound.

Counterparts: `cli.persona` writes the file, `services.instruction_sets` reads it.

    fields ─┐
            ├─► lines ─► unsafe ones replaced by a rule ─► bounded by the style's size ─► contract, voice, rules ─► text
    source ─┘

Rules that hold here:

1. Every personality holds CONTRACT, all five lines, whatever its source says. The voice comes second.
2. A line that tells the model never to ask, always to sound sure, always to agree, to hide or to skip checks is not
   kept: the rule that answers it stands in its place, once, and the answer says which lines these were.
3. The same input gives the same text. Nothing is invented: a short source makes a short personality.

Source: chatgpt-accounts contract §14 (fields, five lines, sizes); the words are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

CHARS_PER_TOKEN: Final = 4
Style = Literal["lean", "mid", "friendly-sized"]
Domain = Literal["coding", "audit", "research", "general"]
BANDS: Final[dict[str, tuple[int, int]]] = {"lean": (250, 450), "mid": (500, 800), "friendly-sized": (1100, 1400)}
"""Tokens from, to, by style. The upper one is a bound; below the lower one the answer only says so."""
MAX_SOURCE_CHARS: Final = 200_000
MIN_RULES: Final = 3

CONTRACT: Final = (
    "You are a coding agent: the work in the user's project comes first, the voice second.",
    "Correctness and safety win over style, speed and courtesy.",
    "Never invent output, files, results or sources; what was not seen is said to be unseen.",
    "Work in small steps, and verify each with something that can fail.",
    "Work with the user: ask where a wrong guess would cost, say what you decided, report honestly.",
)
RULES: Final = (
    "Say how sure you are, and what would change your mind.",
    "Ask one short question where a wrong guess would cost work.",
    "Disagree when the facts do, and say why.",
    "Report failures at once, with what you saw.",
    "Keep code, commands and quotations free of the voice.",
    "Leave the voice out where somebody is in trouble or in a hurry.",
)
"""Rules of the protocol, the most important ones first; how many are added is the strictness."""
DOMAINS: Final[dict[str, str]] = {
    "coding": "Prefer the smallest change that solves the problem, in the style of the code around it.",
    "audit": "Give each finding its place, its evidence and its weight; no finding is a result, too.",
    "research": "Keep apart what a source says, what follows from it, and what you suppose.",
    "general": "Lead with the answer; add the reasons that help to check it.",
}


class Unsafe(Struct, frozen=True):
    """A kind of directive that is not kept. rule: what stands in its place."""

    code: str
    pattern: re.Pattern[str]
    rule: str


def _says(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_NEVER: Final = r"\b(?:never|don'?t|do not|must not|avoid|without|no need to|refuse to)\b"
_ALWAYS: Final = r"\b(?:always|must|at all times|in every case|only ever)\b"
UNSAFE: Final = (
    Unsafe(
        "never_asks",
        _says(_NEVER + r"[^.;]{0,40}\b(?:ask|asking|question|questions|clarif\w*)", r"\bno questions\b"),
        RULES[1],
    ),
    Unsafe(
        "always_sure",
        _says(
            _ALWAYS + r"[^.;]{0,40}\b(?:sure|certain|confident|confidence|certainty|right)\b",
            _NEVER + r"[^.;]{0,40}\b(?:doubt|uncertain\w*|hedg\w*|unsure|admit)",
        ),
        RULES[0],
    ),
    Unsafe(
        "always_agrees",
        _says(
            _ALWAYS + r"[^.;]{0,40}\b(?:agree\w*|obey\w*|say yes)\b",
            _NEVER + r"[^.;]{0,40}\b(?:disagree\w*|contradict\w*|push back|refus\w*|criticis\w*|criticiz\w*)",
        ),
        RULES[2],
    ),
    Unsafe(
        "hides",
        _says(
            r"\b(?:hide|conceal|cover up|make up|invent|fabricate|pretend)\b",
            _NEVER + r"[^.;]{0,40}\b(?:mention|reveal|report|tell)\w*",
        ),
        RULES[3],
    ),
    Unsafe(
        "skips_checks",
        _says(r"\b(?:skip|ignore|bypass|disable)\b", _NEVER + r"[^.;]{0,40}\b(?:test|verif\w*|check)\w*"),
        CONTRACT[3],
    ),
)


class Fields(Struct, frozen=True, kw_only=True):
    """What a person says of the personality; every one may be empty."""

    inspiration: str = ""
    tone: str = ""
    collaboration_style: str = ""
    code_style: str = ""
    constraints: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


class Source(Struct, frozen=True, kw_only=True):
    """A text to make a personality of. The two ratios are from 0 to 1."""

    text: str
    voice_fidelity: float = 0.85
    """How much of the text's lines is kept, from its beginning."""
    competence_strictness: float = 0.95
    """How many of RULES are added, at least MIN_RULES."""
    domain: Domain = "coding"


class Persona(Struct, frozen=True):
    """A personality."""

    text: str
    tokens: int
    """An estimate: four characters each."""
    band: tuple[int, int]
    neutralised: tuple[tuple[str, str], ...]
    """Code and line of each directive that was replaced."""
    left_out: int
    """Lines that did not fit the size or the fidelity."""

    @property
    def in_band(self) -> bool:
        """Whether the size is what the style promises."""
        return self.band[0] <= self.tokens <= self.band[1]


def persona_of_fields(name: str, fields: Fields, style: Style = "mid") -> Persona:
    """A personality of what was said in the fields."""
    told = {
        "Inspiration": _lines(fields.inspiration),
        "Tone": _lines(fields.tone),
        "Working together": _lines(fields.collaboration_style),
        "Code": _lines(fields.code_style),
        "Limits": _lines("\n".join(fields.constraints)),
        "Examples": _lines("\n".join(fields.examples)),
    }
    return _built(name, told, RULES, style, left_out=0)


def persona_of_source(name: str, source: Source, style: Style = "mid") -> Persona:
    """A personality of a text about somebody."""
    lines = _lines(source.text[:MAX_SOURCE_CHARS])
    kept = lines[: round(len(lines) * _ratio(source.voice_fidelity))]
    rules = RULES[: max(MIN_RULES, round(len(RULES) * _ratio(source.competence_strictness)))]
    told = {"Voice": kept, "Work": [DOMAINS[source.domain]]}
    return _built(name, told, rules, style, left_out=len(lines) - len(kept))


def with_contract(text: str) -> str:
    """The text with every line of CONTRACT that it lacks, in front of it."""
    present = {line.strip().removeprefix("- ") for line in text.splitlines()}
    missing = [line for line in CONTRACT if line not in present]
    return f"## Core contract\n\n{_bullets(missing)}\n\n{text}" if missing else text


def _built(name: str, told: dict[str, list[str]], rules: Sequence[str], style: Style, *, left_out: int) -> Persona:
    neutralised: list[tuple[str, str]] = []
    safe = {title: list(_neutral(lines, neutralised)) for title, lines in told.items()}
    text = _rendered(name, safe, rules)
    while len(text) > BANDS[style][1] * CHARS_PER_TOKEN and any(safe.values()):
        longest = max(safe, key=lambda title: len(safe[title]))
        safe[longest].pop()
        left_out += 1
        text = _rendered(name, safe, rules)
    return Persona(text, -(-len(text) // CHARS_PER_TOKEN), BANDS[style], tuple(neutralised), left_out)


def _neutral(lines: Iterable[str], met: list[tuple[str, str]]) -> Iterable[str]:
    for line in lines:
        unsafe = [one for one in UNSAFE if one.pattern.search(line)]
        if not unsafe:
            yield line
        for one in unsafe:
            if one.rule not in CONTRACT and one.code not in {code for code, _ in met}:
                yield one.rule
            met.append((one.code, line))


def _rendered(name: str, told: dict[str, list[str]], rules: Sequence[str]) -> str:
    said = {line for lines in told.values() for line in lines}
    parts = [f"## {title}\n\n{_bullets(dict.fromkeys(lines))}" for title, lines in told.items() if lines]
    parts.append(f"## Always\n\n{_bullets(rule for rule in rules if rule not in said)}")
    return f"# {name}\n\n" + with_contract("\n\n".join(parts)) + "\n"


def _lines(text: str) -> list[str]:
    """One directive each: lines, and the sentences of a line, without marks of lists and headings."""
    found = []
    for line in text.splitlines():
        plain = re.sub(r"^[\s#>*+-]+|^\s*\d+[.)]\s+", "", line).strip()
        found += [part.strip() for part in re.split(r"(?<=[.!?])\s+(?=[A-Z])", plain) if part.strip()]
    return found


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _ratio(value: float) -> float:
    return min(1.0, max(0.0, value))
