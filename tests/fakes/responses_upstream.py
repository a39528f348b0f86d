"""Scripts of a Responses upstream for the server of `fakes.chat_upstream`, canonical and rude.

    with ChatUpstream([said("hello"), called("shell", {"command": "ls"})]) as upstream: ...

An answer is a list of output items; `streamed` writes their canonical events and `rude` takes some of them away.
`Request.json["input"]` is what a script goes by.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from tests.fakes.chat_upstream import Answer, Request, Send, body

ID: Final = "resp_upstream_0001"
MODEL: Final = "upstream-model"
USAGE: Final = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
}
Event = dict[str, Any]
Item = dict[str, Any]
_serial = itertools.count(1)


# --- items ------------------------------------------------------------------------------------------------------


def message(text: str, *, item_id: str = "msg_up", **more: Any) -> Item:
    """An assistant message; more: phase."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": [part], **more}


def function_call(name: str, arguments: Mapping[str, Any] | str, call_id: str = "call_up", **more: Any) -> Item:
    """A function call; more: namespace."""
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    fields = {"call_id": call_id, "name": name, "arguments": raw, "status": "completed"}
    return {"id": f"fc_{call_id}", "type": "function_call", **fields, **more}


def custom_call(name: str, text: str, call_id: str = "call_up", **more: Any) -> Item:
    """A freeform call."""
    fields = {"call_id": call_id, "name": name, "input": text, "status": "completed"}
    return {"id": f"ctc_{call_id}", "type": "custom_tool_call", **fields, **more}


def reasoning(summary: str = "", *, raw: str = "", sealed: str = "", item_id: str = "rs_up") -> Item:
    """Reasoning with a summary, raw text or both."""
    item: Item = {"id": item_id, "type": "reasoning", "summary": []}
    if summary:
        item["summary"] = [{"type": "summary_text", "text": summary}]
    if raw:
        item["content"] = [{"type": "reasoning_text", "text": raw}]
    if sealed:
        item["encrypted_content"] = sealed
    return item


def web_search(query: str) -> Item:
    """A call of a hosted tool, which our event vocabulary has no word for."""
    action = {"type": "search", "query": query}
    return {"id": "ws_up", "type": "web_search_call", "status": "completed", "action": action}


# --- events -----------------------------------------------------------------------------------------------------


def response(status: str, output: Sequence[Item], **more: Any) -> dict[str, Any]:
    """The response object. Its id differs each time, as a real server's does."""
    known = {"id": ID, "object": "response", "created_at": 1, "model": MODEL, "status": status, "output": list(output)}
    return {**known, "error": None, "incomplete_details": None, "store": False, "usage": None, **more}


def events_of(items: Sequence[Item], *, ending: str = "completed", **more: Any) -> list[Event]:
    """The canonical events of an answer, numbered. more: members of the last response object."""
    response_id = f"resp_upstream_{next(_serial):04d}"
    opened = response("in_progress", [], id=response_id)
    events: list[Event] = [
        {"type": "response.created", "response": opened},
        {"type": "response.in_progress", "response": opened},
    ]
    for index, item in enumerate(items):
        events += _item_events(index, item)
    final = response(ending, items, id=response_id, **{"usage": USAGE, **more})
    events.append({"type": f"response.{ending}", "response": final})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _item_events(index: int, item: Item) -> list[Event]:
    place = {"output_index": index, "item_id": item["id"]}
    empty = {**item, "status": "in_progress"} if "status" in item else {**item}
    empty.pop("encrypted_content", None)
    inner: list[Event] = []
    match item["type"]:
        case "message":
            empty["content"] = []
            part, at = item["content"][0], {**place, "content_index": 0}
            inner.append({"type": "response.content_part.added", **at, "part": {**part, "text": ""}})
            inner += _deltas("response.output_text", at, "text", part["text"], logprobs=[])
            inner.append({"type": "response.content_part.done", **at, "part": part})
        case "reasoning":
            empty |= {"summary": []}
            empty.pop("content", None)
            for number, part in enumerate(item["summary"]):
                at = {**place, "summary_index": number}
                inner.append({"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}})
                inner += _deltas("response.reasoning_summary_text", at, "text", part["text"])
                inner.append({"type": "response.reasoning_summary_part.done", **at, "part": part})
            for number, part in enumerate(item.get("content") or ()):
                inner += _deltas("response.reasoning_text", {**place, "content_index": number}, "text", part["text"])
        case "function_call":
            empty["arguments"] = ""
            inner += _deltas("response.function_call_arguments", place, "arguments", item["arguments"])
        case "custom_tool_call":
            empty["input"] = ""
            inner += _deltas("response.custom_tool_call_input", place, "input", item["input"])
        case kind:
            inner.append({"type": f"response.{kind}.in_progress", **place})
    added = {"type": "response.output_item.added", "output_index": index, "item": empty}
    return [added, *inner, {"type": "response.output_item.done", "output_index": index, "item": item}]


def _deltas(kind: str, at: dict[str, Any], key: str, text: str, **more: Any) -> list[Event]:
    half = -(-len(text) // 2)
    pieces = [piece for piece in (text[:half], text[half:]) if piece]
    return [
        *({"type": f"{kind}.delta", **at, "delta": piece, **more} for piece in pieces),
        {"type": f"{kind}.done", **at, key: text, **more},
    ]


# --- answers ----------------------------------------------------------------------------------------------------


def framed(event: Event | str, *, named: bool = True) -> bytes:
    """One SSE frame; named: with its `event:` line. A string goes out as it is (`[DONE]`)."""
    if isinstance(event, str):
        return f"data: {event}\n\n".encode()
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {event['type']}\n" if named and "type" in event else "").encode() + f"data: {data}\n\n".encode()


def bytes_of(events: Iterable[Event | str], *, named: bool = True) -> bytes:
    """All frames."""
    return b"".join(framed(event, named=named) for event in events)


def streamed(items: Sequence[Item], *, done: bool = True, **more: Any) -> Answer:
    """A streamed answer, one write an event; JSON for a request that asks for no stream."""
    return of_events(events_of(items, **more), done=done)


def of_events(events: Sequence[Event], *, done: bool = True, named: bool = True) -> Answer:
    """An answer of these events, whatever they are."""
    frames = [framed(event, named=named) for event in events] + ([framed("[DONE]")] if done else [])
    plain = json.dumps(events[-1].get("response")).encode() if events else None
    return Answer(tuple(Send(data) for data in frames), plain=plain)


def said(text: str, **more: Any) -> Answer:
    """A text answer."""
    return streamed([message(text)], **more)


def called(name: str, arguments: Mapping[str, Any] | str, **more: Any) -> Answer:
    """One function call."""
    return streamed([function_call(name, arguments)], **more)


def rude(items: Sequence[Item], keep: Callable[[Event], bool], **more: Any) -> Answer:
    """The canonical events without those that *keep* refuses, and without `[DONE]`."""
    return of_events([event for event in events_of(items, **more) if keep(event)], done=False)


def whole(items: Sequence[Item], **more: Any) -> Answer:
    """JSON although a stream was asked for."""
    return body(json.dumps(response("completed", items, usage=USAGE, **more)))


def last_text(request: Request) -> str:
    """The text of the last item of the input that has one; "" for none."""
    items = request.json["input"]
    if isinstance(items, str):
        return items
    for item in reversed(items):
        content = item.get("content", item.get("output"))
        if isinstance(content, str):
            return content
        if isinstance(content, list) and content:
            return str(content[-1].get("text", ""))
    return ""


def outputs(request: Request) -> list[str]:
    """What the client's tools returned, as the upstream saw it."""
    items = request.json["input"]
    items = [] if isinstance(items, str) else items
    return [str(item["output"]) for item in items if str(item.get("type", "")).endswith("_call_output")]
