"""The model's window: how much of it the conversation fills, and how much a tool may still show.

Counterparts: `missions.decide` asks here before it asks the model or runs a tool, `services.tool_host` keeps to the
bytes that come out, `services.model_call` to the tokens.

    |<- opening ->|<- what was said and shown ->|<- room: observations ->|<- answer ->|<- order ->|<- report ->|

Rules that hold here:

1. Nothing that was said is ever shortened or dropped: the upstream's prefix cache lives from that. When the room is
   gone, the runtime orders the report instead; place for order and report is kept free from the start.
2. Tokens are estimated from bytes, cautiously for code, and by what the upstream counted itself where it counted more.
   An upstream that counts absurdly makes its own missions short, and nothing else.
3. A function of the log: a tool that is run again after a crash may show as much as the first time.
"""

from __future__ import annotations

from typing import Final

from codex_oss.missions.events import MissionOpened
from codex_oss.missions.prompt import opening_bytes
from codex_oss.missions.record import RunRecord

BYTES_PER_TOKEN: Final = 3.0
"""Of UTF-8. Code has a little more; scripts of Asia have about one token a character of three bytes."""
MIN_BYTES_PER_TOKEN: Final = 1.0
"""No tokenizer makes more tokens of a text than it has bytes."""
MESSAGE_TOKENS: Final = 8
"""What a chat template puts around one message or call."""
ORDER_TOKENS: Final = 120
"""The order to report: `decide.FINAL_INSTRUCTION`, or the denial before it."""
MAX_OBSERVATION_BYTES: Final = 100_000
MIN_OBSERVATION_BYTES: Final = 600
"""With less room than this nothing more is looked at: a header and a handful of lines."""
OBSERVATION_SHARE: Final = 6
"""One observation takes at most this part of the window, and half of the room: there shall be several."""
ANSWER_SHARE: Final = 4
"""One answer takes at most this part of the window, whatever the profile allows."""
MIN_ANSWER_TOKENS: Final = 64
"""With less than this for an answer the model is not asked at all."""


def prompt_tokens(record: RunRecord) -> int:
    """Tokens of all that the model would read now, estimated."""
    return _tokens(record, prompt_bytes(record)) + MESSAGE_TOKENS * (
        2 + sum(1 + len(said.calls) for said in record.transcript)
    )


def prompt_bytes(record: RunRecord) -> int:
    """Bytes of all that the model would read now: rules, task, functions, and what was said."""
    return (opening_bytes(record.opened) if record.opened else 0) + record.said_bytes


def answer_tokens(record: RunRecord) -> int:
    """Most that the next answer may be; less than `MIN_ANSWER_TOKENS` (or nothing) when the window is full."""
    if record.opened is None:
        return 0
    return min(_full_answer(record.opened), record.opened.context_tokens - prompt_tokens(record))


def may_ask(record: RunRecord, adding: str = "") -> bool:
    """Whether the model can still be asked. adding: what is said to it first."""
    left = answer_tokens(record) - (_tokens(record, len(adding.encode())) + MESSAGE_TOKENS if adding else 0)
    return left >= MIN_ANSWER_TOKENS


def is_full(record: RunRecord) -> bool:
    """Whether there is no room for another action, what it shows, the order to report, and the report."""
    opened = record.opened
    if opened is None:
        return False
    return _room_tokens(record, opened) < _full_answer(opened) + _tokens(record, MIN_OBSERVATION_BYTES)


def observation_bytes(record: RunRecord) -> int:
    """Most that the next observation may be, its header included; 0 when there is no room for one."""
    opened = record.opened
    if opened is None:
        return 0
    room = int(_room_tokens(record, opened) * _bytes_per_token(record))
    if room < MIN_OBSERVATION_BYTES:
        return 0
    share = int(opened.context_tokens * _bytes_per_token(record)) // OBSERVATION_SHARE
    return max(MIN_OBSERVATION_BYTES, min(MAX_OBSERVATION_BYTES, share, room // 2))


def _room_tokens(record: RunRecord, opened: MissionOpened) -> int:
    kept_free = ORDER_TOKENS + MESSAGE_TOKENS + _full_answer(opened)
    return opened.context_tokens - prompt_tokens(record) - kept_free


def _full_answer(opened: MissionOpened) -> int:
    share = opened.context_tokens // ANSWER_SHARE
    return min(opened.max_output_tokens or share, share)


def _tokens(record: RunRecord, size: int) -> int:
    return -int(-size // _bytes_per_token(record))


def _bytes_per_token(record: RunRecord) -> float:
    """What the upstream's own counts say when they say less than our guess."""
    counted = [
        call.prompt_bytes / call.input_tokens
        for call in record.calls
        if call.prompt_bytes and call.input_tokens > 0 and not call.usage_estimated
    ]
    return max(MIN_BYTES_PER_TOKEN, min([BYTES_PER_TOKEN, *counted]))
