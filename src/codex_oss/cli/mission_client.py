"""Hands a mission over and follows it: through the running bridge of the project, or in this process.

Both ways end in the same place: message items, of which the last is the report and the earlier ones are remarks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from codex_oss import wiring
from codex_oss.errors import BridgeError, InvalidRequest, StreamInterrupted, Unavailable, UpstreamError
from codex_oss.services.bridge_process import Running, find_bridge
from codex_oss.wire.events import ItemDone, ItemStarted, MessageStart, TextDelta, TurnFailed
from codex_oss.wire.items import Message, TextPart, TurnRequest
from codex_oss.wire.sse import SseDecoder

Show = Callable[[str], None]
MAX_EVENT_BYTES = 64 * 1024 * 1024


def run_mission(project: Path, model: str, handoff: str, *, timeout_s: float | None, show: Show) -> str:
    """Run a mission and return the text of its report.

    handoff: the user message with the tagged block. show: called with each remark as it comes.
    Raises TimeoutError after *timeout_s*, RequestError when the bridge refuses, UpstreamError when it breaks off.
    """
    # What goes wrong inside is said by the report; log lines between the remarks would only repeat it.
    logging.getLogger("codex_oss").addHandler(logging.NullHandler())
    return asyncio.run(_follow(project, model, handoff, timeout_s, show))


async def _follow(project: Path, model: str, handoff: str, timeout_s: float | None, show: Show) -> str:
    bridge = find_bridge(project)
    settings = wiring.read_settings(project, {}, os.environ)
    if isinstance(bridge, Running):
        messages = _through_bridge(bridge.base_url, settings.config.local_key, model, handoff)
    else:
        messages = _in_process(settings, project, model, handoff)
    last = ""
    async with asyncio.timeout(timeout_s), aclosing(messages):  # type: ignore[type-var]
        async for phase, text in messages:
            if phase == "commentary":
                show(text)
            else:
                last = text
    return last


async def _in_process(
    settings: wiring.Settings, project: Path, model: str, handoff: str
) -> AsyncIterator[tuple[str, str]]:
    bridge = wiring.build(settings, project, os.environ)
    request = TurnRequest("resp_cli", model, (Message("user", (TextPart(handoff),)),), stream=True, store=False)
    await bridge.start()
    try:
        _, lane = bridge.lane_for(request)
        open_items: dict[int, tuple[str, list[str]]] = {}
        async with aclosing(lane(request)) as batches:  # type: ignore[type-var]
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


async def _through_bridge(base_url: str, key: str, model: str, handoff: str) -> AsyncIterator[tuple[str, str]]:
    import aiohttp

    body = {"model": model, "stream": True, "store": False, "input": handoff}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{base_url}/responses", json=body, headers={"Authorization": f"Bearer {key}"}) as answer,
        ):
            if answer.status != 200:
                raise _refusal(answer.status, await answer.read())
            decoder = SseDecoder()
            async for chunk in answer.content.iter_any():
                for payload in decoder.feed(chunk):
                    for message in _messages_in(payload):
                        yield message
    except aiohttp.ClientError as exc:
        raise Unavailable(f"The bridge at {base_url} broke off.", hint="`codex-oss status` says how it is.") from exc


def _messages_in(payload: bytes) -> list[tuple[str, str]]:
    """The finished message of one event, if it is one. Raises StreamInterrupted when the turn failed."""
    if payload == b"[DONE]":
        return []
    event: dict[str, Any] = json.loads(payload)
    if event.get("type") == "response.failed":
        error = event["response"].get("error") or {}
        raise StreamInterrupted(str(error.get("message", "The turn failed.")))
    item = event.get("item", {})
    if event.get("type") != "response.output_item.done" or item.get("type") != "message":
        return []
    text = "".join(part.get("text", "") for part in item.get("content", []))
    return [(item.get("phase") or "final_answer", text)]


def _refusal(status: int, body: bytes) -> BridgeError:
    try:
        error = json.loads(body)["error"]
        message, code = str(error["message"]), str(error.get("code") or "")
    except (ValueError, KeyError, TypeError):
        message, code = f"The bridge answered with status {status}.", ""
    if status in (400, 401, 403, 404, 413):
        return InvalidRequest(message, code=code or "invalid_request")
    return UpstreamError(message, code=code or "upstream_error")
