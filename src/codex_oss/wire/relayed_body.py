"""The untranslated way in: a Responses client's own body for a Responses upstream, with what must differ.

Counterparts: `wire.codecs` sends it; `wire.responses_relay` is the way back. Decision 0015.
"""

from __future__ import annotations

from typing import Any

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.responses_body import encode_clean
from codex_oss.wire.seals import owner_of, unmarked


def relayed_body(request: TurnRequest, profile: ModelProfile, *, stream: bool) -> bytes:
    """Return the client's own body with what must differ: model, store, stream, and no id of an earlier response."""
    body = {**(request.untranslated or {}), "model": profile.model, "store": False, "stream": stream}
    body.pop("previous_response_id", None)
    items = body.pop("input", None)
    if isinstance(items, list):
        items = [_own_seal(item, profile.name) for item in items]
    return encode_clean({**body, "input": items})


def _own_seal(item: Any, profile: str) -> Any:
    """Take our mark off what this profile sealed, and leave out what another one did."""
    sealed = item.get("encrypted_content") if isinstance(item, dict) else None
    if not isinstance(sealed, str) or not owner_of(sealed):
        return item
    rest = {key: value for key, value in item.items() if key != "encrypted_content"}
    own = unmarked(profile, sealed)
    return {**rest, "encrypted_content": own} if own else rest
