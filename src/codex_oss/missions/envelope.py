"""One line of the log: an event in its envelope, with its place in the hash chain and its keyed MAC.

Counterparts: `missions.events` is what is inside, `services.event_log` keeps the lines, docs/record.md has thirty lines
of Python that verify them without us.

    {"authority", "created_at", "epoch", "event_hash", "event_id", "event_type", "mac", "mission_id", "payload", …}

Rules that hold here:

1. `event_hash` is the SHA-256 of the canonical JSON (sorted keys, no spaces, UTF-8) of the envelope without
   `event_hash`; `prev_hash` is the hash before it, empty for the first. Source: mission_event.v1.
   A line is that canonical JSON itself, so the hash covers each byte of it: no other spelling is taken for it, and
   nobody needs a JSON writer of ours to make the hash again, since the member can be cut out of the line.
2. `mac` is the HMAC-SHA-256 of the same JSON without `mac` and `event_hash`, under a key that is not in the project.
   The hash covers the `mac`; the MAC covers `prev_hash` and so everything before. Whoever rewrites a log can make every
   hash anew, but no MAC.
3. `epoch` is the number of the writer, from 1; it rises when a run is taken over.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final, get_args

import msgspec
from msgspec import Raw, Struct

from codex_oss.missions.events import LEGACY_TYPES, Known, LegacyEvent, MissionEvent, Recorded, canonical_json

SCHEMA_VERSION: Final = "mission_event.v1"
MODEL_AUTHORED: Final = frozenset({"ModelAnswered", "ActionProposed", "ReportSubmitted"})
"""Types whose content is a model's word; their envelope says `model_narrative`."""
OBSERVED: Final = frozenset({"TranscriptJudged"})
"""Types of a delivery log (`missions.delivery`) whose content a client wrote down."""


class Envelope(Struct, frozen=True, gc=False):
    """One line of the log."""

    run_id: str
    mission_id: str
    event_id: str
    seq: int
    """1-based, without gaps."""
    prev_hash: str
    event_type: str
    source_kind: str
    authority: str
    created_at: str
    """ISO 8601 in UTC with milliseconds, e.g. `2026-11-20T18:40:00.000Z`."""
    payload: Raw
    """The event as canonical JSON, opened by `open_event`: a long log is kept as its own bytes."""
    event_hash: str = ""
    schema_version: str = SCHEMA_VERSION
    epoch: int = 1
    mac: str = ""
    """`hmac-sha256:` and hex; empty when the writer had no key."""


_DECODER: Final = msgspec.json.Decoder(Envelope)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_KINDS: Final = {kind.__name__: msgspec.json.Decoder(kind) for kind in get_args(Known)}
_BEFORE_HASH: Final = b',"event_id":'
"""Sorted, `event_hash` stands before this member; what stands before both holds no text that others chose."""
_BEFORE_MAC: Final = b',"mission_id":'


def provenance_of(event: Struct) -> tuple[str, str]:
    """`source_kind` and `authority` of an event: whose word it is."""
    if type(event).__name__ in MODEL_AUTHORED and getattr(event, "proposer", "model") == "model":
        return "model", "model_narrative"
    if type(event).__name__ in OBSERVED:
        return "desktop_app", "desktop_observed"
    return "runtime", "runtime_authoritative"


def seal(
    event: Struct,
    *,
    run_id: str,
    mission_id: str,
    seq: int,
    prev_hash: str,
    created_at: str,
    epoch: int = 1,
    key: bytes = b"",
) -> tuple[str, bytes]:
    """Wrap an event for its log: one of `Known`, or of `missions.delivery`. key: of the MAC; without it there is none.

    Returns the event's hash and the JSON line (without the line end) to append.
    """
    payload = msgspec.to_builtins(event)
    event_type = payload.pop("event_type")
    source_kind, authority = provenance_of(event)
    line: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "mission_id": mission_id,
        "event_id": f"evt_{seq:06d}",
        "seq": seq,
        "epoch": epoch,
        "prev_hash": prev_hash,
        "event_type": event_type,
        "source_kind": source_kind,
        "authority": authority,
        "created_at": created_at,
        "payload": payload,
    }
    # Encoded once: what a tool showed may be long. Both marks are put where sorting would put them.
    body = canonical_json(line)
    if key:
        body = _put(body, _BEFORE_MAC, b',"mac":"%s"' % _mac(body, key).encode())
    event_hash = _digest(body)
    return event_hash, _put(body, _BEFORE_HASH, b',"event_hash":"%s"' % event_hash.encode())


def unseal(line: bytes, key: bytes = b"") -> Envelope:
    """Decode one log line and verify its own hash and, with a key, its MAC if it has one.

    Raises ValueError with a reason code (`event_json_invalid`, `schema_version_invalid`, `event_hash_mismatch`,
    `event_not_canonical`, `mac_mismatch`). The place in the chain is the reader's to check, and whether a MAC is
    missed.
    """
    try:
        envelope = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError("event_json_invalid") from exc
    if envelope.schema_version != SCHEMA_VERSION:
        raise ValueError("schema_version_invalid")
    bare = _cut(line, b',"event_hash":"')
    if key and envelope.mac and _vouched(envelope, bare, key):
        return envelope
    if _spelled(envelope) != line:
        bare = _respelled(line)
    if envelope.event_hash != _digest(bare):
        raise ValueError("event_hash_mismatch")
    if key and envelope.mac and not _vouched(envelope, bare, key):
        raise ValueError("mac_mismatch")
    return envelope


def claimed(line: bytes) -> Envelope | None:
    """What a line says of itself, nothing of it verified; None when it is no line of a log."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def open_event(envelope: Envelope) -> MissionEvent:
    """The event inside an envelope.

    Raises ValueError (`unsupported_event_type`, `payload_invalid`) for what this version cannot read.
    """
    if envelope.event_type in LEGACY_TYPES:
        payload: dict[str, Any] = msgspec.json.decode(envelope.payload)
        return LegacyEvent(envelope.event_type, payload)
    decoder = _KINDS.get(envelope.event_type)
    if decoder is None:
        raise ValueError("unsupported_event_type")
    try:
        event: Known = decoder.decode(envelope.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError("payload_invalid") from exc
    return event


def record_of(envelope: Envelope) -> Recorded:
    """Open an envelope for folding; raises as `open_event`."""
    return Recorded(envelope.seq, envelope.created_at, open_event(envelope), envelope.event_hash)


def _put(body: bytes, before: bytes, member: bytes) -> bytes:
    """The JSON object with a member more, in front of another one."""
    at = body.index(before)
    return body[:at] + member + body[at:]


def _cut(line: bytes, name: bytes) -> bytes:
    """The line without a member whose value needs no escapes; as it is when the member does not stand in it."""
    at = line.find(name)
    return line if at < 0 else line[:at] + line[line.index(b'"', at + len(name)) + 1 :]


def _vouched(envelope: Envelope, bare: bytes, key: bytes) -> bool:
    """Whether hash and MAC are those of these very bytes: then somebody with the key wrote them, so spelled."""
    made = _mac(_cut(bare, b',"mac":"'), key)
    return envelope.event_hash == _digest(bare) and hmac.compare_digest(envelope.mac.encode(), made.encode())


def _spelled(envelope: Envelope) -> bytes:
    """The envelope as this version writes it. Raises ValueError `event_json_invalid` for a payload that is none."""
    try:
        payload = _OBJECT.decode(envelope.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError("event_json_invalid") from exc
    if canonical_json(payload) != bytes(envelope.payload):
        return b""
    line = canonical_json(envelope)
    return line if envelope.mac else line.replace(b'"mac":"",', b"", 1)


def _respelled(line: bytes) -> bytes:
    """The same for a line that an earlier version or a later one wrote, without `event_hash`. Raises ValueError."""
    members = msgspec.json.decode(line)
    spelled = canonical_json(members)
    told = members.pop("event_hash", "")
    bare = canonical_json(members)
    if spelled != line and told == _digest(bare):
        raise ValueError("event_not_canonical")
    return bare


def _mac(bare: bytes, key: bytes) -> str:
    return "hmac-sha256:" + hmac.digest(key, bare, "sha256").hex()


def _digest(bare: bytes) -> str:
    return "sha256:" + hashlib.sha256(bare).hexdigest()
