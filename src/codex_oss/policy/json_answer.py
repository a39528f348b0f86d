"""Find and judge the JSON value in the text of an answer.

Counterpart: `policy.answer_rules` asks for it when a request wants JSON.

    text ─► the whole text │ a fenced block │ the first value in the prose that fits ─► against the schema ─► found

Rules that hold here:

1. What is found is a piece of the text as the model wrote it: numbers and the order of keys stay.
2. A schema never makes this read anything (`$ref` to elsewhere is refused) and never runs away (patterns have a
   bound on backtracking; at most `MAX_STARTS` places of the prose are tried).
3. Problems name the place in the value and the rule, for the model also the words of the validator; these quote the
   answer, so they never go into an error or a log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from codex_oss.errors import InvalidRequest
from codex_oss.wire.items import TextFormat
from codex_oss.wire.loose_json import decode_loose

if TYPE_CHECKING:
    from jsonschema_rs import Validator

MAX_STARTS: Final = 64
MAX_WORDS: Final = 300
BACKTRACK_LIMIT: Final = 100_000
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
        """Return the JSON of *text* that fits, or what is wrong with the first one found."""
        first: JsonAnswer | None = None
        for piece, value in _candidates(text):
            answer = self._judged(piece, value)
            if not answer.problem:
                return answer
            first = first or answer
        none = "it holds no JSON value"
        return first or JsonAnswer(problem=none, advice=f"{none} that can be read")

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


def _candidates(text: str) -> Iterator[tuple[str, Any]]:
    """Give the pieces of *text* that are JSON, the likely ones first, each with its value."""
    stripped = text.strip()
    for piece in (stripped, *(match[1].strip() for match in _FENCE.finditer(stripped))):
        try:
            yield piece, decode_loose(piece.encode())
        except ValueError:
            continue
    for number, start in enumerate(re.finditer(r"[{\[]", stripped)):
        if number == MAX_STARTS:
            return
        end = _end_of_value(stripped, start.start())
        if end:
            piece = stripped[start.start() : end]
            yield piece, decode_loose(piece.encode())


def _end_of_value(text: str, start: int) -> int:
    """Return where the JSON value that begins at *start* ends; 0 when there is none."""
    depth, quoted, at = 0, False, start
    for match in _MARKS.finditer(text, start):
        mark = match[0]
        if mark == '"':
            quoted = not quoted
        elif not quoted and mark in "{[":
            depth += 1
        elif not quoted and mark in "}]":
            depth -= 1
            if depth == 0:
                at = match.end()
                break
    if at == start:
        return 0
    try:
        msgspec.json.decode(text[start:at].encode())
        decode_loose(text[start:at].encode())
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return 0
    return at


_MARKS: Final = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
