"""Find and judge the JSON value in the text of an answer.

Counterpart: `policy.answer_rules` asks for it when a request wants JSON.

    text ─► all of it │ the values in its prose │ a fenced block ─► against the schema ─► the one that fits

Rules that hold here:

1. What is found is a piece of the text as the model wrote it: numbers and the order of keys stay. Where two different
   values fit, none is chosen.
2. A schema never makes this read anything (`$ref` to elsewhere is refused) and never runs away (patterns have a
   bound on backtracking), nor does a text (`MAX_STARTS`, `MAX_MARKS`).
3. Problems name the place in the value and the rule, for the model also the words of the validator; these quote the
   answer, so they never go into an error or a log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from codex_oss.errors import InvalidRequest
from codex_oss.wire.items import TextFormat
from codex_oss.wire.loose_json import decode_loose

if TYPE_CHECKING:
    from jsonschema_rs import Validator

MAX_STARTS: Final = 64
MAX_MARKS: Final = 100_000
"""Brackets and quotes that are looked at in the prose of one answer."""
MAX_WORDS: Final = 300
BACKTRACK_LIMIT: Final = 100_000
_NONE: Final = "it holds no JSON value"
_SEVERAL: Final = "it holds several JSON values that fit"
_FENCE: Final = re.compile(r"```[A-Za-z0-9_+-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL)


class JsonAnswer(Struct, frozen=True):
    """What was found in an answer. text: the JSON alone; empty when there is a problem."""

    text: str = ""
    problem: str = ""
    """What is wrong, for the client and the log: no word of the answer in it."""
    advice: str = ""
    """The same for the model that wrote it."""


class JsonJudge:
    """Judges answers against one text format, `json_object` or `json_schema`."""

    def __init__(self, form: TextFormat, *, param: str = "text.format.schema") -> None:
        """Raises InvalidRequest for a schema that is none."""
        self._validator: Validator | None = None
        if form.kind == "json_schema" and form.schema:
            self._validator = _validator(form.schema, param)

    def find(self, text: str) -> JsonAnswer:
        """Return the one JSON value of *text* that fits, or what is wrong with it."""
        judged = [self._judged(piece, value) for piece, value in _candidates(text)]
        fitting = {answer.text for answer in judged if not answer.problem}
        if len(fitting) == 1:
            return JsonAnswer(fitting.pop())
        if fitting:
            return JsonAnswer(problem=_SEVERAL, advice=_SEVERAL)
        return judged[0] if judged else JsonAnswer(problem=_NONE, advice=_NONE)

    def _judged(self, piece: str, value: Any) -> JsonAnswer:
        if self._validator is None:
            if isinstance(value, dict):
                return JsonAnswer(piece)
            return JsonAnswer(problem="it is not a JSON object", advice="it is not a JSON object")
        for error in self._validator.iter_errors(value):
            place = "/".join(["", *map(str, error.schema_path)])
            advice = f"at {'/'.join(map(str, error.instance_path)) or 'the top'}: {error.message[:MAX_WORDS]}"
            return JsonAnswer(problem=f"it breaks the schema's rule {place[:MAX_WORDS]}", advice=advice)
        return JsonAnswer(piece)


def _validator(schema: dict[str, Any], param: str) -> Validator:
    # 20 ms and 3 MB that most bridges never need.
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(
            schema,
            offline=True,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACK_LIMIT),
        )
    except (ValueError, TypeError, RecursionError):
        raise InvalidRequest(
            f"`{param}` is not a usable JSON Schema.", param=param, hint="References must point into the schema."
        ) from None


def _candidates(text: str) -> list[tuple[str, Any]]:
    """Return the pieces of *text* that are JSON, each with its value: all of it, else those in the prose, else fenced
    ones. A value inside of another one is no candidate: it would be an answer that the model did not give."""
    stripped = text.strip()
    return (
        _decoded([stripped]) or _in_prose(stripped) or _decoded(match[1].strip() for match in _FENCE.finditer(stripped))
    )


def _decoded(pieces: Iterable[str]) -> list[tuple[str, Any]]:
    found = []
    for piece in pieces:
        try:
            found.append((piece, decode_loose(piece.encode("utf-8", "replace"))))
        except ValueError:
            continue
    return found


def _in_prose(text: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    marks, after = MAX_MARKS, 0
    for number, start in enumerate(_OPENING.finditer(text)):
        if number == MAX_STARTS or marks <= 0:
            break
        if start.start() < after:
            continue
        end, marks = _closing(text, start.start(), marks)
        value = _decoded([text[start.start() : end]]) if end else []
        if value:
            found += value
            after = end
    return found


def _closing(text: str, start: int, marks: int) -> tuple[int, int]:
    """Return where the bracket at *start* closes (0: nowhere), and how many of *marks* are left to look at."""
    depth, quoted = 0, False
    for match in _MARKS.finditer(text, start):
        marks -= 1
        mark = match[0]
        if mark == '"':
            quoted = not quoted
        elif not quoted and mark in "{[":
            depth += 1
        elif not quoted and mark in "}]":
            depth -= 1
            if depth == 0:
                return match.end(), marks
        if marks <= 0:
            break
    return 0, marks


_OPENING: Final = re.compile(r"[{\[]")
_MARKS: Final = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
