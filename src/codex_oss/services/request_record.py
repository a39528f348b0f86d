"""One line of the request log: what is known of a request after its end, and nothing of what was said in it.

Counterparts: `server.turn_notes` and `services.agent_requests` fill it, `services.request_log` writes it,
`services.request_history` reads it back.

Rules that hold here:

1. No prompt, no text of an answer, no key. Texts that a client chose (names, ids, its program) are cut at `MAX_CHARS`
   and redacted before they get here; errors are codes.
2. A number that nobody told is null, not 0.
3. A line is one JSON object in one line, whatever its texts hold: line feeds, escapes and direction marks are escaped.
4. Fields are added, not renamed; a reader passes over what it does not know. `attempts` was once a number: that is
   read as `tries`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from codex_oss.policy.printable import printable_json
from codex_oss.wire.events import Usage

SCHEMA: Final = "request.v1"
MAX_CHARS: Final = 200
MAX_LINE_BYTES: Final = 64 * 1024
"""A longer line is none of ours."""


class Tokens(Struct, frozen=True):
    """Tokens as the upstream told them. Cached and written ones are part of the input, reasoning part of the output."""

    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    estimated: bool = False
    """The upstream told nothing, and the bridge counted roughly."""


class CostInputs(Struct, frozen=True):
    """What a price list is applied to: parts of the usage that do not overlap, and whose prices hold."""

    model: str = ""
    """As the upstream calls it."""
    input: int = 0
    """Neither read from the cache nor written to it."""
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0


class Timings(Struct, frozen=True):
    """Seconds from the begin of the request."""

    queued_s: float | None = None
    """What it waited for a slot."""
    first_batch_s: float | None = None
    """Until the first bytes of an answer."""
    total_s: float | None = None


class CacheNote(Struct, frozen=True):
    """What `policy.cache_monitor` says of this turn; empty when it did not look at it."""

    state: str = ""
    """ok, expected or bad."""
    cause: str = ""
    warned: bool = False


class AttemptNote(Struct, frozen=True):
    """One request that a turn made to an account."""

    account: str = ""
    """The key of the account, as in `codex-oss accounts list`."""
    reason: str = ""
    """Why it was made; a code of docs/accounts-lane.md."""
    outcome: str = ""
    """answered, cut, cancelled, or the kind of its failure."""


class RequestRecord(Struct, frozen=True, kw_only=True):
    """One request."""

    schema: str = SCHEMA
    time: str
    """When it ended: UTC, ISO 8601 with milliseconds and `Z`."""
    request_id: str
    """`req_…`, as in the header `x-request-id`."""
    response_id: str = ""
    """`resp_…`; empty for one that was refused before it was a turn."""
    surface: str
    """responses, websocket, chat, or run: the agent of this process."""
    client: str = ""
    """Name and version of the client's program."""
    session: str = ""
    thread: str = ""
    model: str = ""
    """What was asked for."""
    lane: str = ""
    profile_asked: str = ""
    """The profile that the asked name means."""
    profile: str = ""
    """The profile that answered; empty when nobody did."""
    upstream_model: str = ""
    deviation: bool = False
    """Another one answered than was asked for."""
    reason: str = ""
    """Why this one answered; a stable code."""
    attempts: tuple[AttemptNote, ...] | int = ()
    """Requests to accounts, in order. Older lines have their number here."""
    tries: int = 0
    """Requests to upstreams, the answered one included."""
    outcome: str
    """completed, incomplete, failed, refused or cancelled."""
    error_code: str = ""
    """One of docs/errors.md; empty when all went well."""
    tokens: Tokens = Tokens()
    cost_inputs: CostInputs | None = None
    """Null when no tokens were told."""
    timings: Timings = Timings()
    bytes_in: int | None = None
    """Size of the request's body as it came."""
    bytes_out: int | None = None
    dropped_tools: tuple[str, ...] = ()
    """Types of hosted tools that were left out."""
    cache: CacheNote = CacheNote()


def tokens_of(usage: Usage | None) -> Tokens:
    """The tokens of a turn; all unknown when nobody told."""
    if usage is None:
        return Tokens()
    return Tokens(
        input=usage.input_tokens,
        cached=usage.cached_tokens if usage.cached_known else None,
        cache_write=usage.cache_write_tokens or None,
        output=usage.output_tokens,
        reasoning=None if usage.estimated else usage.reasoning_tokens,
        estimated=usage.estimated,
    )


def cost_inputs_of(upstream_model: str, usage: Usage | None) -> CostInputs | None:
    """What a price list is applied to."""
    if usage is None:
        return None
    read = min(usage.cached_tokens, usage.input_tokens)
    return CostInputs(upstream_model, usage.input_tokens - read, read, usage.cache_write_tokens, usage.output_tokens)


def iso_utc(at: float) -> str:
    """An instant (epoch seconds) as a record has it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(RequestRecord)


def encode_record(record: RequestRecord) -> bytes:
    """One line, its line feed included. Texts with half a character lose it."""
    try:
        text = _ENCODER.encode(record).decode()
    except UnicodeEncodeError:
        text = _ENCODER.encode(_whole(msgspec.to_builtins(record))).decode()
    return printable_json(text).encode() + b"\n"


def decode_record(line: bytes) -> RequestRecord | None:
    """The record of a line; None for a torn one and for anything else that is not ours."""
    try:
        record = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(record.attempts, int):
        return msgspec.structs.replace(record, tries=record.attempts, attempts=())
    return record


def _whole(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {key: _whole(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_whole(inner) for inner in value]
        case _:
            return value
