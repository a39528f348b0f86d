"""The evidence shapes that a mission may ask for: what a line of code looks like when it defines, maps, sets or tests.

Counterparts: `contracts.validation` refuses a shape that does not stand here, `missions.shapes` looks for them in the
lines that were shown.

Rules that hold here:

1. A shape is judged line by line, and proves form only: that a line *defines* a function, not what it does.
2. Repetitions are bounded, and neighbours in a pattern take different characters: the worst line of 2,000 characters
   costs a few milliseconds.
3. With a name asked for, the pattern's group `name` must be that name; a shape without the group needs the name as a
   word on the same line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Shape:
    """What one shape means. patterns: any of them on one line; none for the shapes that only a search can give."""

    help: str
    patterns: tuple[re.Pattern[str], ...] = ()


def _shape(text: str, *patterns: str) -> Shape:
    return Shape(text, tuple(re.compile(pattern) for pattern in patterns))


_WORDS_BEFORE: Final = (
    r"^\s*(?:(?:export|default|public|private|protected|internal|static|async|unsafe|abstract|final|override|inline|"
    r"const|extern|virtual|pub(?:\([a-z]{1,10}\))?)\s+){0,6}"
)
_NOT_A_TYPE: Final = (
    r"(?!\s*(?:return|else|new|throw|await|yield|case|goto|delete|in|not|and|or|if|elif|while|for|switch|print|raise|"
    r"assert|import|from|using|package|typeof|with|match|do|def|fn|func|function)\b)"
)
"""Words after which `word(` is a call, where a type would make it a definition."""

EVIDENCE_SHAPES: Final[dict[str, Shape]] = {
    "function_definition": _shape(
        "a line that defines a function or method",
        _WORDS_BEFORE
        + r"(?:def|fn|func|function|fun|sub)\b\*?\s{0,8}(?:\([^()]{0,200}\)\s{0,8})?(?P<name>[^\W\d][\w$]*)",
        _WORDS_BEFORE + r"(?:let|var)?\s{0,8}(?P<name>[A-Za-z_$][\w$]*)\s{0,8}=\s{0,8}(?:async\s{1,8})?"
        r"(?:function\b|\([^()]{0,400}\)\s{0,8}=>|[\w$]{1,80}\s{0,8}=>)",
        r"^\s{0,80}(?P<name>[A-Za-z_][\w-]*)\s{0,8}\(\)\s{0,8}\{",
        r"^" + _NOT_A_TYPE + r"\s{0,80}(?:[A-Za-z_][\w<>,:.\[\]&*]{0,80}\s{1,8}){1,5}[*&]?(?P<name>[A-Za-z_]\w*)"
        r"\s{0,8}\([^;=]{0,400}$",
    ),
    "class_definition": _shape(
        "a line that defines a class, struct, interface, trait, enum or record",
        _WORDS_BEFORE + r"(?:class|struct|interface|trait|enum|record|protocol|type)\s{1,8}(?P<name>[^\W\d]\w*)",
    ),
    "mapping_assignment": _shape(
        "a line that assigns to a key or a name",
        r"\[\s{0,8}[\"']?(?P<name>[\w.-]+)[\"']?\s{0,8}\]\s{0,8}=(?![=~])",
        _WORDS_BEFORE + r"(?:let|var)?\s{0,8}(?P<name>[\w.-]+)\s{0,8}(?::[^=]{1,200})?=(?![=~>])",
    ),
    "dictionary_entry": _shape(
        "a line with an entry `key: value` or `key => value`",
        r"(?:^|[{,(\s])[\"']?(?P<name>[\w.-]+)[\"']?\s{0,8}(?::(?![:=])|=>)\s{0,8}[^\s,]",
    ),
    "literal_value": _shape(
        "a line with a literal: a number, a quoted text, true, false or null",
        r"(?<![\w.])[-+]?\d[\d_]*(?:\.\d+)?|\"[^\"]{0,400}\"|'[^']{0,400}'|\b(?:[Tt]rue|[Ff]alse|[Nn]one|null|nil)\b",
    ),
    "config_value": _shape(
        "a line that gives a setting its value",
        r"^\s*#\s{0,8}define\s{1,8}(?P<name>\w+)\s{1,8}\S",
        _WORDS_BEFORE + r"(?:let|var|set)?\s{0,8}[\"']?(?P<name>[\w.-]+)[\"']?\s{0,8}"
        r"(?::\s{0,8}[^=:\s][^=:]{0,200})?[:=](?![=:~>]|//)\s{0,8}\S",
    ),
    "flag_parameter": _shape(
        "a line that declares a flag",
        r"(?<![\w-])(?P<name>--[A-Za-z][\w-]*)",
        r"(?<![\w.])(?P<name>[A-Za-z_]\w*)\s{0,8}(?::\s{0,8}bool(?:ean)?\b|=\s{0,8}(?:[Tt]rue|[Ff]alse)\b)",
    ),
    "flag_read": _shape(
        "a line that reads a flag or setting",
        r"\b(?:args|options|opts|flags|config|settings|environ|env|getenv|params)\b[\w.]{0,80}[\[(.]\s{0,8}[\"']?"
        r"(?P<name>[\w-]+)",
        r"\b(?:if|elif|unless|while)\b[\s(!]{1,8}(?:not\s{1,8})?(?:[A-Za-z_]\w{0,80}\.){0,4}(?P<name>[A-Za-z_]\w*)",
    ),
    "behavior_derivation": _shape(
        "a line in which behaviour is decided: a branch, a loop, a return, a raise",
        r"(?<![\w.])(?:if|elif|else|for|while|switch|case|match|return|raise|throw|yield|except|catch|break|continue)\b",
    ),
    "zero_match": _shape("a whole search that found nothing"),
    "grep_zero_match": _shape("a whole search that found nothing"),
    "test_assertion": _shape(
        "a line that asserts something",
        r"(?<![\w.])(?:assert(?:\b|\w{0,40}\s{0,8}[!(])|expect\s{0,8}\()|\b(?:self|t|require|should|chai|Assert)\.(?:assert|expect|Error|Fatal|"
        r"Equal|equal|be|That|Is)\w*",
    ),
    "test_definition": _shape(
        "a line that defines a test",
        r"^\s{0,80}(?:async\s{1,8})?def\s{1,8}(?P<name>test_?\w*)",
        r"^\s{0,80}(?:it|test|describe)(?:\.\w{1,20})?\s{0,8}\(\s{0,8}[\"'`](?P<name>[^\"'`]{0,200})",
        r"^\s{0,80}func\s{1,8}(?P<name>Test\w*)",
        r"^\s{0,80}class\s{1,8}(?P<name>Test\w*)",
        r"^\s{0,80}(?:#\[(?:\w+::)?test\]|@Test\b)",
    ),
    "verification_command": _shape(
        "a line that names a command which tests or checks",
        r"(?<![\w./-])(?:pytest|unittest|tox|nox|ruff|mypy|eslint|jest|vitest|phpunit|rspec|ctest)\b|"
        r"\b(?:cargo|go|npm|pnpm|yarn|bun|make|dotnet|mvn|gradle)\s{1,8}(?:run\s{1,8})?(?:test|check|lint|verify)\b",
    ),
    "source_change": _shape(
        "a line of `git` that tells of a change",
        r"\|\s{1,8}(?:\d{1,9}|Bin)\b",
        r"^(?:diff --git|@@ )",
        r"\b\d{1,9} files? changed\b",
    ),
}
"""Name of a shape to what it is. The rest of what a mission may want to see is the gates' business."""

SEARCH_SHAPES: Final = frozenset({"zero_match", "grep_zero_match"})
