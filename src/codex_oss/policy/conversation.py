"""What a conversation is called towards a backend: the same from its first turn to its last, whoever answers.

Counterparts: `lanes.chatgpt` sends it as `session-id`, `thread-id` and cache key; `accounts.affinity` binds by it.

    the client's session ─┬─ fits a header ─► as it is
    or its cache key      └─ does not ──────► a UUID made of it
    neither ──────────────────────────────► a UUID made of instructions and first message, which no turn changes

Rule: only a name that the client gave (`told`) is remembered; two one-shot questions may look alike.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec
from msgspec import Struct

from codex_oss.wire.items import Message, TurnRequest

SAFE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""A name that travels as it is; 64 is the longest cache key."""


class Conversation(Struct, frozen=True):
    """The names. session: of the whole; thread: of the agent in it; told: by the client, empty when it named none."""

    session: str
    thread: str
    told: str = ""


def conversation_of(request: TurnRequest) -> Conversation:
    """The names of a turn's conversation."""
    told = request.session_id or request.prompt_cache_key or ""
    session = _safe(told) if told else _made_of(_begin(request))
    return Conversation(session, _safe(request.thread_id) if request.thread_id else session, session if told else "")


def _safe(name: str) -> str:
    return name if SAFE.fullmatch(name) else _made_of(name.encode("utf-8", "replace"))


def _begin(request: TurnRequest) -> bytes:
    """Everything up to the first thing that the user said."""
    users = (at for at, item in enumerate(request.items) if isinstance(item, Message) and item.role == "user")
    begin = request.items[: next(users, 0) + 1]
    try:
        return request.instructions.encode("utf-8", "replace") + msgspec.json.encode(begin)
    except UnicodeEncodeError:
        return repr(begin).encode("utf-8", "replace")


def _made_of(data: bytes) -> str:
    """A UUID of version 8, of a hash."""
    text = hashlib.sha256(data).hexdigest()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-a{text[17:20]}-{text[20:32]}"
