"""What must not leave the machine in plain text: finding secrets in a text and replacing them.

Counterparts: `policy.secret_forms` knows the forms of secrets that are not ours, `services.tool_host` redacts whatever
a tool shows, the mission runner what a model or a log sees.

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

import base64
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, quote_plus

from codex_oss.policy.secret_forms import FORM_KINDS, Span, find_forms

MAX_ROUNDS: Final = 8
MIN_HELD_CHARS: Final = 6
MIN_ENCODED_BYTES: Final = 8
MAX_KEY_CHARS: Final = 40_000


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its secrets."""

    text: str
    count: int = 0
    """Number of placeholders that were put in."""
    kinds: tuple[str, ...] = ()
    """Kinds found, sorted, each once."""


class Redactor:
    """Replaces secrets. One instance knows the values that this process holds; it is immutable and thread-safe."""

    def __init__(self, held: Iterable[str] = ()) -> None:
        """held: secret values as they are; shorter ones than `MIN_HELD_CHARS` are ignored (they would hit words)."""
        self._held = _held_forms(held)

    def redact(self, text: str) -> Redacted:
        """*text* with every found secret replaced; line count and line ends stay. Never raises."""
        found: Counter[str] = Counter()
        for _ in range(MAX_ROUNDS):
            replaced, kinds = self._round(text)
            if not kinds:
                return Redacted(text, found.total(), tuple(sorted(found)))
            text = replaced
            found.update(kinds)
        withheld = _LINE_TEXT.sub("[REDACTED:unsettled]", text)
        return Redacted(withheld, found.total(), tuple(sorted({*found, "unsettled"})))

    def redact_value(self, value: Any) -> Any:
        """A JSON value with every text of it redacted, names of objects included; tuples become lists."""
        match value:
            case str():
                return self.redact(value).text
            case dict():
                return {self.redact_value(name): self.redact_value(inner) for name, inner in value.items()}
            case list() | tuple():
                return [self.redact_value(inner) for inner in value]
            case _:
                return value

    def _round(self, text: str) -> tuple[str, Counter[str]]:
        spans = [*self._held_spans(text), *_key_blocks(text), *find_forms(text)]
        kept = _without_placeholders(text, _merged(spans))
        pieces: list[str] = []
        kinds: Counter[str] = Counter()
        position = 0
        for start, end, kind in kept:
            pieces += (text[position:start], f"[REDACTED:{kind}]")
            kinds[kind] += 1
            position = end
        return "".join((*pieces, text[position:])), kinds

    def _held_spans(self, text: str) -> Iterator[Span]:
        lowered = text.lower() if text.isascii() else ""
        for form, any_case in self._held:
            # Lower-casing may change the length of other texts; there the exact spellings must do.
            hay = lowered if any_case and lowered else text
            start = hay.find(form)
            while start >= 0:
                yield start, start + len(form), "held"
                start = hay.find(form, start + len(form))


def count_placeholders(text: str) -> int:
    """How many replacements *text* shows."""
    return len(PLACEHOLDER.findall(text))


# ---------------------------------------------------------------------------------------------- held values


def _held_forms(held: Iterable[str]) -> tuple[tuple[str, bool], ...]:
    """Every spelling to look for, the longest first, each with whether its case does not matter."""
    forms: dict[str, bool] = {}
    for value in held:
        whole = value.strip()
        lines = [line.strip() for line in whole.splitlines() if len(line.strip()) >= 16]
        for secret in (whole, *(lines if len(lines) > 1 else ())):
            if len(secret) < MIN_HELD_CHARS:
                continue
            forms.setdefault(secret, False)
            data = secret.encode("utf-8", "surrogatepass")
            for encoded in _text_forms(secret):
                forms.setdefault(encoded, False)
            if len(data) >= MIN_ENCODED_BYTES:
                forms.update(dict.fromkeys(_base64_forms(data), False))
                forms[data.hex()] = True
                forms.setdefault(data.hex().upper(), False)
    return tuple(sorted(forms.items(), key=lambda item: (-len(item[0]), item[0])))


def _text_forms(secret: str) -> set[str]:
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    escaped |= {form.replace("/", "\\/") for form in escaped}
    percent = {
        quoted(secret, safe=safe, errors="surrogatepass") for quoted in (quote, quote_plus) for safe in ("", "/", "/:@")
    }
    lower = {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in percent}
    return escaped | percent | lower


def _base64_forms(data: bytes) -> set[str]:
    """Base64 of *data*, also where it is the inner part of something longer (three alignments, edges cut off)."""
    forms = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + data).decode()
        inner = encoded[(0, 2, 3)[shift] :]
        # The last characters also depend on what follows the value.
        inner = inner[: len(inner) - {0: 0, 1: 3, 2: 2}[(shift + len(data)) % 3]]
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= MIN_ENCODED_BYTES}


# ---------------------------------------------------------------------------------------------- key blocks

_LINE_END: Final = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_LINE_TEXT: Final = re.compile(f"[^{_LINE_END}]+")
_KEY_MARK: Final = re.compile(r"-----? ?(?P<side>BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-?----")
_KEY_RUN: Final = re.compile(r"[A-Za-z0-9+/=]{32}")
_KEY_NEXT: Final = re.compile(rf"[^A-Za-z0-9+/{_LINE_END}]{{0,16}}n?[A-Za-z0-9+/]{{16}}")
_KEY_INLINE: Final = re.compile(r"(?:[A-Za-z0-9+/=\t :,.-]|\\+[nrt])*")
_KEY_LINE: Final = re.compile(
    r"[\s>|+#*\"'0-9:\\n.,;-]{0,24}"
    r"(?:[A-Za-z0-9+/=]{16,}|[A-Za-z0-9+/]{1,16}={0,2}|[A-Z][A-Za-z-]{2,20}: .{0,200})"
    r"[\s\"'\\n,;+]{0,8}"
)


def _key_blocks(text: str) -> Iterator[Span]:
    """Private key blocks: from the begin line through the end line, or through the last line that looks like a key.

    A text that starts within a key shows its end line first; one that stops within a key has no end line.
    """
    marks = list(_KEY_MARK.finditer(text))
    for index, mark in enumerate(marks):
        following = marks[index + 1] if index + 1 < len(marks) else None
        if mark["side"] == "BEGIN":
            end = _end_of_key(text, mark, following)
            if end > mark.end():
                yield mark.start(), end, "private-key"
        elif index == 0:
            begin = _start_of_body(text, mark.start())
            if begin < mark.start():
                yield begin, mark.end(), "private-key"


def _end_of_key(text: str, begin: re.Match[str], following: re.Match[str] | None) -> int:
    """Where the block that starts with *begin* ends; the end of *begin* when no key follows (a mere mention)."""
    limit = following.start() if following else len(text)
    near = limit - begin.end() <= MAX_KEY_CHARS
    rest = _LINE_TEXT.match(text, begin.end(), limit)
    # Two strings of one line are not one key: `["-----BEGIN …", "…-----END …"]` keeps its quotes.
    apart = rest is not None and rest.end() == limit and any(quote in rest[0] for quote in "\"'")
    if following and following["side"] == "END" and near and not apart and _KEY_RUN.search(text, begin.end(), limit):
        return following.end()
    stop = begin.end()
    if rest and _KEY_NEXT.match(text, begin.end(), limit):
        inline = _KEY_INLINE.match(text, begin.end(), limit)
        stop = inline.end() if inline else stop
    for line in _LINE_TEXT.finditer(text, rest.end() if rest else begin.end(), limit):
        if not _KEY_LINE.fullmatch(line[0][:200]):
            break
        stop = line.end()
    return stop


def _start_of_body(text: str, end: int) -> int:
    """Where the lines before *end* that look like a key begin; *end* when there are none."""
    lines = list(_LINE_TEXT.finditer(text, max(0, end - MAX_KEY_CHARS), end))
    begin = end
    for line in reversed(lines):
        if line.end() == end:  # what stands before the mark on its own line
            continue
        if not _KEY_LINE.fullmatch(line[0][:200]):
            break
        begin = line.start()
    return begin


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
_KEPT: Final = re.compile(rf"{PLACEHOLDER.pattern}|[{_LINE_END}]+")
