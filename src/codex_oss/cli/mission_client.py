"""Hands a mission over and follows it: through the running bridge of the project, or in this process.

Both ways end in the same place: message items, of which the last is the report. What happens in between is shown from
the log of the run, which lies in the project in both cases (`cli.mission_viewer`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from codex_oss.cli.mission_progress import ProgressDisplay
from codex_oss.cli.mission_viewer import cli_handover, showing_next_run
from codex_oss.config import LOOPBACK_HOSTS, Config
from codex_oss.errors import (
    BridgeError,
    InvalidRequest,
    StreamInterrupted,
    Unavailable,
    UpstreamError,
    UpstreamProtocolError,
)
from codex_oss.lanes.mission import LEVEL_KEY
from codex_oss.services.bridge_process import Running, find_bridge
from codex_oss.services.handover import Handover
from codex_oss.services.mission_store import MissionStore
from codex_oss.services.settings import Settings, read_settings
from codex_oss.services.upstream_connection import Connection, ConnectionBroken
from codex_oss.services.upstream_pool import CannotConnect, ConnectionPool
from codex_oss.wire.events import ItemDone, ItemStarted, MessageStart, TextDelta, TurnFailed, batches_of
from codex_oss.wire.items import Message, TextPart, TurnRequest
from codex_oss.wire.sse import SseDecoder
from codex_oss.wiring.bridge import build

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_REFUSAL_BYTES = 64 * 1024


class Errand(Struct, frozen=True):
    """A mission to hand over."""

    model: str
    mission_id: str
    handoff: str
    """The user message with the tagged block."""
    commentary: str | None = None
    """Level of its commentary; None for what the settings say."""
    timeout_s: float | None = None

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of its turn."""
        return {LEVEL_KEY: self.commentary} if self.commentary else {}


def run_mission(project: Path, errand: Errand, *, quiet: bool) -> str:
    """Run a mission, show it unless quiet, and return the text of its report.

    Raises TimeoutError after `timeout_s`, RequestError when the bridge refuses, UpstreamError when it breaks off.
    """
    # What goes wrong inside is said by the report; log lines between the remarks would only repeat it.
    logging.getLogger("codex_oss").addHandler(logging.NullHandler())
    return asyncio.run(_follow(project, errand, ProgressDisplay(quiet=quiet)))


def is_ours(bridge: Running, config: Config) -> bool:
    """Whether key and mission may go there: the record lies in the project, which may be somebody else's clone."""
    return bridge.record.host in {*LOOPBACK_HOSTS, config.host}


async def _follow(project: Path, errand: Errand, display: ProgressDisplay) -> str:
    bridge = find_bridge(project)
    settings = read_settings(project, {}, os.environ)
    if isinstance(bridge, Running) and is_ours(bridge, settings.config):
        messages = _through_bridge(bridge.base_url, settings.config.local_key, errand)
    else:
        messages = _in_process(settings, project, errand)
    store, last = MissionStore(project), ""

    def handover_of(run_id: str) -> Handover:
        return cli_handover(project, store, run_id, errand.mission_id)

    show = showing_next_run(store, errand.mission_id, display, handover_of)
    viewing = nullcontext() if display.mode == "quiet" else show
    async with asyncio.timeout(errand.timeout_s), viewing, aclosing(messages):
        async for phase, text in messages:
            if phase != "commentary":
                last = text
    return last


async def _in_process(settings: Settings, project: Path, errand: Errand) -> AsyncGenerator[tuple[str, str], None]:
    bridge = build(settings, project, os.environ)
    said = (Message("user", (TextPart(errand.handoff),)),)
    # In the background, as far as the lane is concerned: nobody is handed this answer, only its report is used. What is
    # shown is read from the log, and noted where it is shown.
    echo = {"metadata": errand.metadata}
    request = TurnRequest("resp_cli", errand.model, said, store=False, background=True, echo=echo)
    try:
        _, lane = bridge.lane_for(request)
        open_items: dict[int, tuple[str, list[str]]] = {}
        async with aclosing(batches_of(lane, request)) as batches:
            async for batch in batches:
                for event in batch:
                    match event:
                        case ItemStarted(index=index, item=MessageStart(phase=phase)):
                            open_items[index] = (phase or "final_answer", [])
                        case TextDelta(index=index, text=text) if index in open_items:
                            open_items[index][1].append(text)
                        case ItemDone(index=index) if index in open_items:
                            phase_name, parts = open_items.pop(index)
                            yield phase_name, "".join(parts)
                        case TurnFailed(code=code, message=message):
                            raise BridgeError(message, code=code)
                        case _:
                            pass
    finally:
        await bridge.aclose()


async def _through_bridge(base_url: str, key: str, errand: Errand) -> AsyncGenerator[tuple[str, str], None]:
    asked = {"model": errand.model, "stream": True, "store": False, "input": errand.handoff}
    body = msgspec.json.encode({**asked, "metadata": errand.metadata})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    pool = ConnectionPool(max_idle=0)
    connection = None
    try:
        connection = await pool.post(f"{base_url}/responses", headers, body)
        if connection.status != 200:
            raise refusal_of(connection.status, await _start_of(connection, MAX_REFUSAL_BYTES))
        decoder, received = SseDecoder(), 0
        while chunk := await connection.read():
            received += len(chunk)
            if received > MAX_ANSWER_BYTES:
                raise _nonsense()
            for payload in decoder.feed(chunk):
                for message in _messages_in(payload):
                    yield message
    except (ConnectionBroken, CannotConnect) as exc:
        raise Unavailable(f"The bridge at {base_url} broke off.", hint="`codex-oss status` says how it is.") from exc
    finally:
        if connection is not None:
            pool.release(connection)


async def _start_of(connection: Connection, max_bytes: int) -> bytes:
    """The body, or its first *max_bytes*."""
    start = b""
    while len(start) < max_bytes and (chunk := await connection.read()):
        start += chunk
    return start[:max_bytes]


class _Part(Struct):
    text: str = ""


class _Item(Struct):
    type: str = ""
    phase: str | None = None
    content: list[_Part] = []


class _Error(Struct):
    message: str = "The turn failed."


class _Failure(Struct):
    error: _Error | None = None


class _Event(Struct):
    type: str = ""
    item: Raw = Raw(b"{}")
    response: Raw = Raw(b"{}")


def _messages_in(payload: bytes) -> list[tuple[str, str]]:
    """The finished message of one event, if it is one.

    Raises StreamInterrupted when the turn failed, UpstreamProtocolError when this is no event of a bridge.
    """
    if payload == b"[DONE]":
        return []
    try:
        event = msgspec.json.decode(payload, type=_Event)
        if event.type == "response.failed":
            failure = msgspec.json.decode(event.response, type=_Failure)
            raise StreamInterrupted((failure.error or _Error()).message)
        if event.type != "response.output_item.done":
            return []
        item = msgspec.json.decode(event.item, type=_Item)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise _nonsense() from exc
    return (
        [(item.phase or "final_answer", "".join(part.text for part in item.content))] if item.type == "message" else []
    )


def _nonsense() -> UpstreamProtocolError:
    return UpstreamProtocolError(
        "What answers there does not speak like a bridge.", hint="`codex-oss status` says what listens on that port."
    )


def refusal_of(status: int, body: bytes) -> BridgeError:
    """The error that a bridge answered with."""
    try:
        error = json.loads(body)["error"]
        message, code = str(error["message"]), str(error.get("code") or "")
    except (ValueError, KeyError, TypeError):
        message, code = f"The bridge answered with status {status}.", ""
    if status in (400, 401, 403, 404, 409, 413):
        return InvalidRequest(message, code=code or "invalid_request")
    return UpstreamError(message, code=code or "upstream_error")
