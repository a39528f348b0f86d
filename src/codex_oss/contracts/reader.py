"""Reads one raw JSON value by its row of the contract's tables, and keeps every breach that it meets.

Counterparts: `contracts.rows` says what a row is; `contracts.validation` starts a reader and adds the rules between
fields.

Rules that hold here:

1. Reading never raises, whatever the value: a breach is a `Problem`, and the row's default stands in for the value.
2. One fault gives one problem: `broken` names the top-level fields that failed, so that rules between fields can keep
   quiet about them.
3. Problems are bounded (`MAX_PROBLEMS`), lists too (`MAX_ITEMS`), and a value that is quoted is cut: a hostile
   document costs a bounded answer.
4. `true` is not a number and `1` is not a flag.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from codex_oss.contracts.mission import Problem
from codex_oss.contracts.rows import Field, Kind

MAX_PROBLEMS: Final = 200
MAX_ITEMS: Final = 1000
MAX_DEPTH: Final = 64

_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")


class Reader:
    """Collects the problems of one document."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.broken: set[str] = set()
        """Names of the top-level fields that did not read."""

    def refuse(self, code: str, at: str, message: str) -> None:
        """Record an error at the dotted path *at*."""
        self.broken.add(re.split(r"[.\[]", at, maxsplit=1)[0])
        self._keep(Problem(code, at, message))

    def warn(self, code: str, at: str, message: str) -> None:
        """Record what is allowed but surely not meant."""
        self._keep(Problem(code, at, message, "warning"))

    def read_fields(self, fields: tuple[Field, ...], raw: Mapping[Any, Any], at: str = "") -> dict[str, Any]:
        """Read an object: name to value, absent ones by default; unknown keys are warned about."""
        self._warn_unknown(fields, raw, at)
        return {field.name: self.read(field, raw.get(field.name), _join(at, field.name)) for field in fields}

    def read(self, field: Field, raw: Any, at: str) -> Any:
        """Read one value; returns the row's default when it is absent or does not fit."""
        if raw is None or (isinstance(raw, str) and not raw.strip()) or (field.missing and raw == []):
            if field.missing:
                self.refuse(field.missing, at, f"{_name(at)} is missing; {_expected(field)}.")
            return field.default
        return _READERS[field.kind](self, field, raw, at)

    def _keep(self, problem: Problem) -> None:
        if len(self.problems) < MAX_PROBLEMS or (
            problem.severity == "error" and not any(kept.severity == "error" for kept in self.problems)
        ):
            self.problems.append(problem)

    def _warn_unknown(self, fields: tuple[Field, ...], raw: Mapping[Any, Any], at: str) -> None:
        known = [field.name for field in fields]
        for key in raw:
            if key not in known:
                name = key if isinstance(key, str) and len(key) <= 60 else shown(key)
                near = get_close_matches(name, known, n=1) if len(self.problems) < MAX_PROBLEMS else []
                hint = f" Did you mean {near[0]!r}?" if near else ""
                self.warn("unknown_field", _join(at, name), f"The contract has no field {name!r}; it is ignored.{hint}")


def shown(raw: Any) -> str:
    """A value as a message may quote it: one line, at most 60 characters, encodable."""
    match raw:
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list" if raw else "an empty list"
        case int() if not isinstance(raw, bool) and raw.bit_length() > 64:
            return "a number beyond 64 bits"
        case str():
            text = json.dumps(raw[:61], ensure_ascii=False)
        case bool() | None:
            text = json.dumps(raw)
        case _:
            text = repr(raw)
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= 60 else text[:57] + "..."


def path_fault(path: str) -> str:
    """Say why *path* cannot be a path inside the project; empty when it can. It is not looked up."""
    if not path.strip():
        return "it is blank"
    if text_fault(path):
        return text_fault(path)
    if any(ord(char) < 32 or ord(char) == 127 for char in path):
        return "it holds a control character"
    if path.startswith(("/", "~")) or _DRIVE.match(path):
        return "it must be relative to the project"
    if ".." in path.replace("\\", "/").split("/"):
        return "'..' is not allowed"
    return "it is longer than 1024 characters" if len(path) > 1024 else ""


def text_fault(text: str) -> str:
    """Say why *text* cannot be stored; empty when it can."""
    return "it holds a NUL character" if "\0" in text else _unicode_fault(text)


def _unicode_fault(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it holds half of a surrogate pair"
    return ""


def normal_path(path: str) -> str:
    """`./src//a/` becomes `src/a`, the project itself `.`."""
    return "/".join(part for part in path.split("/") if part not in ("", ".")) or "."


def json_fault(raw: Any, depth: int = 0) -> str:
    """Say why *raw* is not plain JSON that every program reads alike; empty when it is."""
    if depth > MAX_DEPTH:
        return f"it is nested deeper than {MAX_DEPTH}"
    match raw:
        case None | bool():
            return ""
        case str():
            return _unicode_fault(raw)
        case int():
            return "" if raw.bit_length() < 64 else "it holds a number beyond 64 bits"
        case float():
            return "" if raw - raw == 0 else "it holds a number that is not finite"
        case Mapping():
            if not all(isinstance(key, str) for key in raw):
                return "a key is not a string"
            faults = (_unicode_fault(key) or json_fault(value, depth + 1) for key, value in raw.items())
        case list() | tuple():
            faults = (json_fault(value, depth + 1) for value in raw)
        case _:
            return f"it holds {type(raw).__name__}, which JSON does not know"
    return next((fault for fault in faults if fault), "")


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _name(at: str) -> str:
    return at.rpartition(".")[2]


_EXPECTED: Final[dict[Kind, str]] = {
    "text": "expected a text",
    "flag": "expected true or false",
    "texts": "expected a list of texts, or one text with commas",
    "scalars": "expected a list of texts or numbers",
    "path": "expected a path relative to the project",
    "paths": "expected a list of paths relative to the project, or one text with commas",
    "argvs": 'expected a list of commands, each a list of texts such as ["pytest", "-q"]',
    "object": "expected an object",
}


def _expected(field: Field) -> str:
    match field.kind:
        case "word" if len(field.words) == 1:
            return f"expected {field.words[0]!r}"
        case "word":
            return f"expected one of {', '.join(field.words)}"
        case "words":
            return f"expected a list with any of {', '.join(field.words)}"
        case "whole":
            return f"expected a whole number from {field.low} to {field.high}"
        case "group" if field.many:
            return "expected a list of objects or texts"
        case "group":
            return "expected an object"
        case _:
            return _EXPECTED[field.kind]


def _misfit(reader: Reader, field: Field, raw: Any, at: str) -> Any:
    reader.refuse(field.code, at, f"Found {shown(raw)}; {_expected(field)}.")
    return field.default


def _read_text(reader: Reader, field: Field, raw: Any, at: str) -> Any:
    if not isinstance(raw, str):
        return _misfit(reader, field, raw, at)
    if fault := text_fault(raw):
        reader.refuse(field.code, at, f"This text cannot be used: {fault}.")
        return field.default
    return raw.strip()


def _read_word(reader: Reader, field: Field, raw: Any, at: str) -> Any:
    if not isinstance(raw, str):
        return _misfit(reader, field, raw, at)
    word = raw.strip().casefold()
    for allowed in field.words:
        if allowed.casefold() == word:
            return allowed
    near = get_close_matches(word[:60], field.words, n=1)
    hint = field.hint or (f"Did you mean {near[0]!r}?" if near else "")
    reader.refuse(field.code, at, f"Found {shown(raw)}; {_expected(field)}. {hint}".rstrip())
    return field.default


def _read_flag(reader: Reader, field: Field, raw: Any, at: str) -> Any:
    return raw if isinstance(raw, bool) else _misfit(reader, field, raw, at)


def _read_whole(reader: Reader, field: Field, raw: Any, at: str) -> Any:
    if isinstance(raw, bool) or not isinstance(raw, int):
        return _misfit(reader, field, raw, at)
    if raw > field.high and field.above:
        reader.refuse(field.above, at, f"Found {shown(raw)}; nobody may ask for more than {field.high}.")
        return field.default
    return raw if field.low <= raw <= field.high else _misfit(reader, field, raw, at)


def _items(reader: Reader, field: Field, raw: Any, at: str) -> list[tuple[Any, str]] | None:
    """The items of a list field with their paths; None after a problem."""
    if isinstance(raw, str):
        items = [(part.strip(), at) for part in raw.split(",") if part.strip()]
    elif isinstance(raw, list | tuple):
        items = [(item, f"{at}[{index}]") for index, item in enumerate(raw[: MAX_ITEMS + 1])]
    else:
        _misfit(reader, field, raw, at)
        return None
    if len(items) > MAX_ITEMS:
        reader.refuse(field.code, at, f"The list is too long; at most {MAX_ITEMS} entries are accepted.")
        return None
    return items


def _read_each(one: Callable[[Reader, Field, Any, str], Any]) -> Callable[[Reader, Field, Any, str], Any]:
    def read(reader: Reader, field: Field, raw: Any, at: str) -> Any:
        items = _items(reader, field, raw, at)
        if items is None:
            return field.default
        values = [one(reader, field, item, where) for item, where in items]
        return tuple(dict.fromkeys(value for value in values if value is not None))

    return read


def _one_text(reader: Reader, field: Field, raw: Any, at: str) -> str | None:
    if not isinstance(raw, str) or not raw.strip():
        reader.refuse(field.code, at, f"Found {shown(raw)}; expected a text that is not blank.")
    elif fault := text_fault(raw):
        reader.refuse(field.code, at, f"This text cannot be used: {fault}.")
    else:
        return raw.strip()
    return None


def _one_word(reader: Reader, field: Field, raw: Any, at: str) -> str | None:
    if isinstance(raw, str) and raw.strip().casefold() in field.words:
        return raw.strip().casefold()
    near = get_close_matches(raw[:60], field.words, n=1) if isinstance(raw, str) else []
    hint = f" Did you mean {near[0]!r}?" if near else ""
    reader.refuse(field.code, at, f"Found {shown(raw)}; expected one of {', '.join(field.words)}.{hint}")
    return None


def _one_scalar(reader: Reader, field: Field, raw: Any, at: str) -> str | None:
    if isinstance(raw, str) and not json_fault(raw):
        return raw
    if isinstance(raw, bool | int | float) and not json_fault(raw):
        return json.dumps(raw)
    reader.refuse(field.code, at, f"Found {shown(raw)}; expected a text or a number.")
    return None


def _one_path(reader: Reader, field: Field, raw: Any, at: str) -> str | None:
    if not isinstance(raw, str):
        reader.refuse("path_invalid", at, f"Found {shown(raw)}; expected a path relative to the project.")
    elif fault := path_fault(raw):
        reader.refuse("path_invalid", at, f"{shown(raw)} cannot be used as a path: {fault}.")
    else:
        return normal_path(raw)
    return None


def _read_path(reader: Reader, field: Field, raw: Any, at: str) -> Any:
    return _one_path(reader, field, raw, at) or field.default


def _read_argvs(reader: Reader, field: Field, raw: Any, at: str) -> Any:
    if not isinstance(raw, list | tuple):
        return _misfit(reader, field, raw, at)
    commands: list[tuple[str, ...]] = []
    for argv, where in _items(reader, field, raw, at) or ():
        fits = isinstance(argv, list | tuple) and 0 < len(argv) <= MAX_ITEMS
        if not fits or not all(isinstance(part, str) and not text_fault(part) for part in argv) or not argv[0].strip():
            reader.refuse(field.code, where, f"Found {shown(argv)}; expected a command as a list of texts.")
        else:
            commands.append(tuple(argv))
    return tuple(commands)


def _read_object(reader: Reader, field: Field, raw: Any, at: str) -> Any:
    if not isinstance(raw, Mapping):
        return _misfit(reader, field, raw, at)
    if fault := json_fault(raw):
        reader.refuse(field.code, at, f"This object cannot be used: {fault}.")
        return field.default
    return dict(raw)


def _read_group(reader: Reader, field: Field, raw: Any, at: str) -> Any:
    if field.many:
        return _read_groups(reader, field, raw, at)
    return reader.read_fields(field.fields, raw, at) if isinstance(raw, Mapping) else _misfit(reader, field, raw, at)


def _read_groups(reader: Reader, field: Field, raw: Any, at: str) -> Any:
    items = _items(reader, field, raw, at) if isinstance(raw, list | tuple) else _misfit(reader, field, raw, at)
    groups: list[dict[str, Any]] = []
    for item, where in items or ():
        if isinstance(item, str):
            item = {field.short: item}
        if isinstance(item, Mapping):
            groups.append(reader.read_fields(field.fields, item, where))
        else:
            reader.refuse(field.code, where, f"Found {shown(item)}; expected an object or a text.")
    return tuple(groups)


_READERS: Final[dict[Kind, Callable[[Reader, Field, Any, str], Any]]] = {
    "text": _read_text,
    "word": _read_word,
    "flag": _read_flag,
    "whole": _read_whole,
    "texts": _read_each(_one_text),
    "words": _read_each(_one_word),
    "scalars": _read_each(_one_scalar),
    "path": _read_path,
    "paths": _read_each(_one_path),
    "argvs": _read_argvs,
    "object": _read_object,
    "group": _read_group,
}
