"""Which model a request body names, read before anyone decodes it: what is relayed is never decoded at all.

Counterpart: `server.gpt_relay`. Rule: it is the name that the decoders of Responses and Chat Completions would find.
"""

from __future__ import annotations

from typing import Any

import msgspec

from codex_oss.wire.loose_json import decode_loose


class _Named(msgspec.Struct):
    model: Any = None


def peek_model(body: bytes) -> str:
    """The `model` of a JSON object; empty when it names none, or when the body is not usable JSON. Never raises.

    body: decompressed.
    """
    model: Any = None
    try:
        model = msgspec.json.decode(body, type=_Named).model
    except (msgspec.MsgspecError, ValueError, RecursionError):
        try:
            obj = decode_loose(body)
        except ValueError:
            return ""
        model = obj.get("model") if isinstance(obj, dict) else None
    return model if isinstance(model, str) else ""
