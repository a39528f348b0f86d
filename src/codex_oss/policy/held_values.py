"""Secret values that this process holds, in every spelling in which one of them may turn up in a text.

Counterparts: `policy.exposure` looks for them first, because what we hold needs no guessing; `wiring` says what is
held.

Rules that hold here:

1. The set only grows. A key that was rotated is as secret as before: what was written with it lies about somewhere.
2. What is too short to be told from ordinary words is not looked for; of the environment, nothing that could be one.
3. A spelling is found in any text that has it as a substring, also inside a longer base64 text, and where a text was
   cut in the middle of it, if `MIN_PART_CHARS` are left.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Final
from urllib.parse import quote, quote_plus

from codex_oss.policy.secret_forms import Span, lowered

MIN_HELD_CHARS: Final = 6
MIN_ENCODED_BYTES: Final = 8
MIN_PART_CHARS: Final = 10
MAX_HELD_CHARS: Final = 100_000
_TELLING_NAME: Final = re.compile(r"(?i)(?:key|token|secret|passw(?:or)?d|passphrase|credentials?|auth|cookie|dsn)s?$")
_MIN_ENVIRONMENT_CHARS: Final = 12


class HeldValues:
    """The values held by this process. Thread-safe; reading never waits."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lock = Lock()
        self._known: set[str] = set()
        self._forms: tuple[tuple[str, bool], ...] = ()
        self.hold(*values)

    def hold(self, *values: str) -> None:
        """Look for *values* from now on; values shorter than `MIN_HELD_CHARS` are ignored. Cheap when known."""
        if all(value in self._known for value in values):
            return
        with self._lock:
            fresh = [value for value in values if value not in self._known and len(value) <= MAX_HELD_CHARS]
            self._known.update(fresh)
            forms = {**dict(self._forms), **_forms_of(fresh)}
            # The longest first, so that a value is one span and not the sum of its parts.
            self._forms = tuple(sorted(forms.items(), key=lambda item: (-len(item[0]), item[0])))

    def spans(self, text: str) -> Iterator[Span]:
        """Where in *text* a spelling of a held value stands."""
        low = lowered(text)
        for form, any_case in self._forms:
            hay = low if any_case else text
            yield from _cut_off(form, hay)
            start = hay.find(form)
            while start >= 0:
                yield start, start + len(form), "held"
                start = hay.find(form, start + len(form))


def _cut_off(form: str, text: str) -> Iterator[Span]:
    """The beginning of *form* at the end of *text*, and its end at the beginning: somebody cut there."""
    tail, head = text[-MIN_PART_CHARS:], text[:MIN_PART_CHARS]
    if len(tail) < MIN_PART_CHARS:
        return
    if (at := form.find(tail)) >= 0 and text.endswith(form[: at + MIN_PART_CHARS]):
        yield len(text) - at - MIN_PART_CHARS, len(text), "held"
    if (at := form.rfind(head)) >= 0 and text.startswith(form[at:]):
        yield 0, len(form) - at, "held"


def held_in_environment(environ: Mapping[str, str]) -> list[str]:
    """Values of variables whose name says that they are secret and that look like it: long, no path, no plain word."""
    return sorted(
        {
            value.strip()
            for name, value in environ.items()
            if _TELLING_NAME.search(name)
            and _is_no_word(value.strip())
            and not value.strip().startswith(("/", "~", "."))
        }
    )


def _is_no_word(value: str) -> bool:
    if len(value) < _MIN_ENVIRONMENT_CHARS:
        return False
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))


# ---------------------------------------------------------------------------------------------- spellings


def _forms_of(values: Iterable[str]) -> dict[str, bool]:
    """Every spelling to look for, with whether its case does not matter (then it is in lower case)."""
    forms: dict[str, bool] = {}
    for value in values:
        whole = value.strip()
        lines = [line.strip() for line in whole.splitlines() if len(line.strip()) >= 16]
        for secret in (whole, *(lines if len(lines) > 1 else ())):
            if len(secret) < MIN_HELD_CHARS:
                continue
            forms.setdefault(secret, False)
            forms.update(dict.fromkeys(_text_forms(secret) - {secret}, False))
            data = secret.encode("utf-8", "surrogatepass")
            if len(data) >= MIN_ENCODED_BYTES:
                forms.update(dict.fromkeys(_base64_forms(data), False))
                forms.update(dict.fromkeys(_byte_forms(data), True))
                forms[_escaped_throughout(secret)] = True
    return forms


def _text_forms(secret: str) -> set[str]:
    """JSON, HTML and percent-encoding as their usual encoders write them."""
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    escaped |= {form.replace("/", "\\/") for form in escaped}
    # JSON inside JSON: a tool's arguments are a text within a text.
    escaped |= {json.dumps(form, ensure_ascii=False)[1:-1] for form in escaped}
    percent = {
        quoted(secret, safe=safe, errors="surrogatepass") for quoted in (quote, quote_plus) for safe in ("", "/", "/:@")
    }
    lower = {re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in percent}
    return escaped | percent | lower | {html.escape(secret), html.escape(secret, quote=False)}


def _byte_forms(data: bytes) -> set[str]:
    """Two hex digits a byte, plain and with what stands before each in escapes; in lower case."""
    plain = data.hex()
    parted = {before + data.hex(separator).replace(separator, before) for separator, before in _BEFORE_BYTE.items()}
    return {plain, data.hex(":"), data.hex(" "), data.hex("-"), *parted}


_BEFORE_BYTE: Final = {"%": "%", "x": "\\x"}


def _escaped_throughout(secret: str) -> str:
    """Every character as `\\uXXXX`, which JSON allows; in lower case."""
    units = secret.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


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
