"""What an upstream's error object means for us.

Counterparts: `wire.chat_answer` for errors inside a stream, `services.upstream` for error bodies.

Rules that hold here:

1. Vendors agree on no code, so the words decide too; the first row of `_SIGNS` that fits wins.
2. The message is cut short, and key-like words and whatever steers a terminal are taken out: some servers repeat the
   key that they refuse, and clients print messages as they come.
"""

from __future__ import annotations

import re
from typing import Any, Final

from codex_oss.wire.events import TurnFailed
from codex_oss.wire.loose_json import clean_text, decode_loose

MAX_MESSAGE_CHARS: Final = 400

_SIGNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "context_length_exceeded",
        re.compile(
            r"context[ _-]?(length|window|size)|maximum context|(prompt|input) is too long|too many (input )?tokens"
            r"|reduce the length|exceed_context",
            re.IGNORECASE,
        ),
    ),
    (
        "quota_exhausted",
        re.compile(
            r"insufficient[ _](quota|credit|balance)|billing|usage[ _]limit|quota (was |has been |is )?exceeded"
            r"|exceeded your (current )?quota",
            re.IGNORECASE,
        ),
    ),
    ("rate_limited", re.compile(r"\b429\b|rate[ _-]?limit|too[ _]many[ _]requests|quota", re.IGNORECASE)),
    (
        "upstream_unauthorized",
        re.compile(r"\b401\b|invalid[ _]api[ _]key|incorrect api key|unauthorized", re.IGNORECASE),
    ),
    (
        "upstream_unavailable",
        re.compile(r"\b50[234]\b|overloaded|unavailable|timed?[ _-]?out|at capacity|try again", re.IGNORECASE),
    ),
)
"""Error code by what code, type and message of the upstream contain."""

_KEY_LIKE: Final = re.compile(r"\b(?:(?:sk|key|pk|tok)[-_]|Bearer )[A-Za-z0-9_*-][A-Za-z0-9._*-]{4,}[A-Za-z0-9_*-]")


def classify_chat_error(raw: Any) -> TurnFailed:
    """Turn the `error` value of an upstream (object, string or anything) into a failure of ours.

    The code is `upstream_error` when nothing better fits.
    """
    fields = raw if isinstance(raw, dict) else {"message": raw}
    message = fields.get("message")
    text = message if isinstance(message, str) else ""
    signs = " ".join(str(fields[key])[:200] for key in ("code", "type", "status") if fields.get(key) is not None)
    haystack = f"{signs} {text[:2000]}"
    code = next((code for code, sign in _SIGNS if sign.search(haystack)), "upstream_error")
    return TurnFailed(code, f"The model server reported an error: {_shown(text or signs)}")


def decode_chat_error(body: bytes) -> TurnFailed:
    """Read the body of an upstream's HTTP error: `{"error": …}`, the older vLLM form, or plain text."""
    try:
        value = decode_loose(body, bad_utf8="replace")
    except ValueError:
        return classify_chat_error(body[:2000].decode("utf-8", "replace"))
    if isinstance(value, dict):
        return classify_chat_error(value.get("error") or value)
    return classify_chat_error(value)


def _shown(text: str) -> str:
    visible = "".join(char if char.isprintable() else " " for char in clean_text(text))
    line = " ".join(_KEY_LIKE.sub("[key]", visible).split())
    if not line:
        return "it gave no reason."
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1] + "…"
