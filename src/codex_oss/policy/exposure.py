"""What must not leave the machine in plain text: finding secrets in a text and replacing them.

Counterparts: `policy.held_values` knows what this process holds, `policy.secret_forms` the forms of secrets that are
not ours, `policy.key_blocks` the blocks of private keys. `policy.redacted_stream` does the same for a text that comes
in pieces. `services.tool_host` redacts whatever a tool shows, the mission runner what a model or a log sees.

    held values ─┐
    key blocks  ─┤
    vendor forms ┼─► spans ─► merged ─► cut at placeholders and line ends ─► replaced ─► again, until nothing is found
    context     ─┤
    opaque runs ─┘

Rules that hold here:

1. A replacement is `[REDACTED:<kind>]` with a kind of `KINDS`; anything else in that form is ordinary text.
2. Line ends are never touched: the result has the same lines at the same numbers, because line numbers are evidence.
3. Redacting twice changes nothing: a round is repeated until it finds nothing, and a text that does not settle
   within `MAX_ROUNDS` (no honest text needs more than three) is withheld line by line.
4. Every rule costs linear time: a repetition is bounded or cannot start inside its own run.
5. Recall before precision for the first four layers; the last one is conservative, because digests, commit ids and
   lock files are the evidence of honest reports. No claim that *all* secrets are found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from codex_oss.policy.held_values import HeldValues
from codex_oss.policy.key_blocks import LINE_END, LINE_TEXT, key_blocks
from codex_oss.policy.secret_forms import FORM_KINDS, Span, find_forms, is_named_secret

MAX_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its secrets."""

    text: str
    count: int = 0
    """Number of placeholders that were put in."""
    kinds: tuple[str, ...] = ()
    """Kinds found, sorted, each once."""


class Redactor:
    """Replaces secrets. One instance knows the values that this process holds and may learn more; it is thread-safe."""

    def __init__(self, held: Iterable[str] = ()) -> None:
        """held: secret values as they are; see `HeldValues`."""
        self._held = HeldValues(held)

    def hold(self, *values: str) -> None:
        """Replace *values*, too, from now on; nothing is ever forgotten, because a rotated key is still a key."""
        self._held.hold(*values)

    def redact(self, text: str) -> Redacted:
        """*text* with every found secret replaced; line count and line ends stay. Never raises."""
        found: Counter[str] = Counter()
        for _ in range(MAX_ROUNDS):
            replaced, kinds = self._round(text)
            if not kinds:
                return Redacted(text, found.total(), tuple(sorted(found)))
            text = replaced
            found.update(kinds)
        withheld = LINE_TEXT.sub("[REDACTED:unsettled]", text)
        return Redacted(withheld, found.total(), tuple(sorted({*found, "unsettled"})))

    def spans(self, text: str) -> list[Span]:
        """What one round finds in *text*: merged, in order, placeholders and line ends included."""
        return _merged([*self._held.spans(text), *key_blocks(text), *find_forms(text)])

    def redact_value(self, value: Any) -> Any:
        """A JSON value with every text of it redacted, names of objects included; tuples become lists."""
        match value:
            case str():
                return self.redact(value).text
            case dict():
                return {self.redact_value(name): self._named(name, inner) for name, inner in value.items()}
            case list() | tuple():
                return [self.redact_value(inner) for inner in value]
            case _:
                return value

    def _named(self, name: Any, value: Any) -> Any:
        """A member of an object: its name is context, just as it is where the object is a text."""
        if isinstance(name, str) and isinstance(value, str) and is_named_secret(name, value):
            return "[REDACTED:named-secret]"
        return self.redact_value(value)

    def _round(self, text: str) -> tuple[str, Counter[str]]:
        kept = _without_placeholders(text, self.spans(text))
        pieces: list[str] = []
        kinds: Counter[str] = Counter()
        position = 0
        for start, end, kind in kept:
            pieces += (text[position:start], f"[REDACTED:{kind}]")
            kinds[kind] += 1
            position = end
        return "".join((*pieces, text[position:])), kinds


def count_placeholders(text: str) -> int:
    """How many replacements *text* shows."""
    return len(PLACEHOLDER.findall(text))


# ---------------------------------------------------------------------------------------------- spans


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Overlapping spans become one; the kind that was found first (the surer layer) names it."""
    ranked = sorted(
        ((start, end, rank, kind) for rank, (start, end, kind) in enumerate(spans)), key=lambda one: one[:3]
    )
    merged: list[tuple[int, int, int, str]] = []
    for start, end, rank, kind in ranked:
        if merged and start < merged[-1][1]:
            first_start, first_end, first_rank, first_kind = merged[-1]
            surer = (first_rank, first_kind) if first_rank < rank else (rank, kind)
            merged[-1] = (first_start, max(first_end, end), *surer)
        else:
            merged.append((start, end, rank, kind))
    return [(start, end, kind) for start, end, _, kind in merged]


def _without_placeholders(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """*spans*, in order, without line ends and without what is already replaced."""
    kept = [match.span() for match in _KEPT.finditer(text)]
    index = 0
    for start, end, kind in spans:
        position = start
        while index < len(kept) and kept[index][1] <= start:
            index += 1
        # The next span may begin within the same kept piece, so a second index runs ahead.
        ahead = index
        while ahead < len(kept) and kept[ahead][0] < end:
            if kept[ahead][0] > position:
                yield position, kept[ahead][0], kind
            position = kept[ahead][1]
            ahead += 1
        if end > position:
            yield position, end, kind


KINDS: Final = tuple(sorted({*FORM_KINDS, "held", "private-key", "unsettled"}))
PLACEHOLDER: Final = re.compile(rf"\[REDACTED:(?:{'|'.join(KINDS)})\]")
_KEPT: Final = re.compile(rf"{PLACEHOLDER.pattern}|[{LINE_END}]+")
