"""JSON from strangers: one decoder that never recurses too deep and repairs what real peers get wrong.

Counterparts: `wire.responses_request` (clients) and `wire.chat_chunks` (upstreams).

Rules that hold here:

1. The fast path is one `msgspec` call; the standard library is asked only after that failed.
2. A lone surrogate (`"\\ud83d"`, what JavaScript writes after cutting a string inside an emoji) becomes U+FFFD:
   `msgspec` cannot decode it and nothing can encode it again as UTF-8.
3. Whatever is returned can be encoded again: no NaN, no surrogate, at most `MAX_DEPTH` levels.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal

import msgspec

MAX_DEPTH: Final = 128
"""Levels of nesting that are accepted. Real tool schemas stay below 20; Python's own limit is near 1,000."""


def decode_loose(data: bytes, *, bad_utf8: Literal["strict", "replace"] = "strict") -> Any:
    """Decode one JSON document.

    bad_utf8: `replace` turns broken UTF-8 into U+FFFD (upstreams), `strict` refuses it (clients).
    Raises ValueError with a short reason that never quotes the content.
    """
    try:
        value = msgspec.json.decode(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError):
        return _decode_with_repair(data, bad_utf8)
    if _may_be_deep(data) and _is_deep(value):
        raise ValueError("it is nested too deeply")
    return value


def clean_text(text: str) -> str:
    """Return *text* without lone surrogates; two halves that belong together become their character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean_value(value: Any) -> Any:
    """Return *value* (of at most `MAX_DEPTH` levels) with every string cleaned and infinities as null."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [clean_value(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): clean_value(item) for key, item in value.items()}
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return value


def _decode_with_repair(data: bytes, bad_utf8: str) -> Any:
    try:
        value = json.loads(data.decode("utf-8-sig", bad_utf8), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as exc:
        raise ValueError(f"it is not UTF-8 (byte {exc.start})") from None
    except json.JSONDecodeError as exc:
        raise ValueError(f"{exc.msg} at line {exc.lineno} column {exc.colno}") from None
    except ValueError:
        raise ValueError("it holds a number that JSON does not know or that is too long") from None
    if _is_deep(value):
        raise ValueError("it is nested too deeply")
    return clean_value(value)


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _may_be_deep(data: bytes) -> bool:
    """Whether more than MAX_DEPTH arrays and objects open in *data*. Looks no farther than that, in big strides."""
    left = MAX_DEPTH
    for opening in (b"{", b"["):
        at = data.find(opening)
        while at >= 0:
            if not left:
                return True
            left -= 1
            at = data.find(opening, at + 1)
    return False


def _is_deep(value: Any) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        children = (child for node in level for child in (node.values() if isinstance(node, dict) else node))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True
