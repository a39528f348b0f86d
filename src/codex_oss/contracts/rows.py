"""What a row of the contract's tables is.

Counterparts: `contracts.fields` has the table of MissionV1, `contracts.policy_fields` and
`contracts.objective_fields` those of its inner objects; `contracts.reader` reads a raw value by its row,
`contracts.schema` turns rows into JSON Schema, `contracts.reference` into the tables of `docs/mission-contract.md`.

Rules that hold here:

1. A row is the only place where a bound, a word list or a plain default is written down.
2. A default that depends on other fields is `None` in the row, told in `shown`, and filled in by
   `contracts.defaults`.
3. `null` and a blank string mean "not given" for every field, so that encoders which always write every key are
   welcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "text", "word", "flag", "whole", "texts", "words", "scalars", "path", "paths", "argvs", "object", "group"
]


@dataclass(frozen=True, slots=True)
class Field:
    """One row: a field of the contract or of one of its inner objects."""

    name: str
    kind: Kind
    help: str
    """What the field does, in one sentence without its full stop, for the docs and the JSON Schema."""
    default: Any = None
    code: str = "field_type_invalid"
    """Code of a value that does not fit."""
    low: int = 0
    high: int = 0
    """Inclusive bounds of a `whole`."""
    above: str = ""
    """Code of a `whole` above its bound, when it is not `code`."""
    words: tuple[str, ...] = ()
    """Allowed words of a `word` or of each of `words`."""
    fields: tuple[Field, ...] = ()
    """Rows of the object that a `group` is."""
    many: bool = False
    """A `group` that is a list of such objects."""
    short: str = ""
    """For a list of objects: the field that a bare string stands for."""
    missing: str = ""
    """Code when the field is absent; empty for an optional field."""
    hint: str = ""
    """A further sentence for whoever gave a value that does not fit."""
    shown: str = ""
    """What the docs give as default when it depends on other fields."""
    unit: str = ""
    """What a `whole` counts, in the plural."""
