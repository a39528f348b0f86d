"""The specification's side of the compliance suite: its schema, and how its tester talks to a server.

Counterpart: `tests/compliance/test_cases.py` holds the cases. The schema comes from the package `openresponses-types`
(Apache-2.0), which mozilla.ai generates from the OpenAPI document of Open Responses 2026-04-24.

Rules that hold here:

1. Every event of a stream is read with the schema's model of its type; a type that the schema does not list fails,
   and so does any missing key or wrong type (strict mode, from JSON as it came over the wire).
2. What a case sends over WebSocket is itself held against the schema, as the specification's own tester does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, get_args

import openresponses_types as spec
from pydantic import BaseModel, TypeAdapter
from websockets.sync.client import connect

from tests.fakes.bridge_process import LOCAL_KEY, BridgeProcess

SPEC_VERSION: Final = "2026-04-24"
STATUSES: Final = {"completed", "failed", "in_progress", "cancelled", "queued", "incomplete"}
ENDS: Final = {"response.completed": "completed", "response.failed": "failed", "response.incomplete": "incomplete"}

Create = dict[str, Any]
Step = Create | Callable[[Sequence["Turn"]], Create]


@dataclass(slots=True)
class Turn:
    """One answered create. events: empty when it was answered by one JSON object."""

    events: list[dict[str, Any]] = field(default_factory=list)
    response: dict[str, Any] | None = None
    """The response object of the terminal event, or the body."""
    error_code: str | None = None
    """`error.code` of an error frame, or of a failed response."""

    @property
    def id(self) -> str:
        """The id that the next turn may continue."""
        assert self.response is not None
        return str(self.response["id"])

    @property
    def types(self) -> list[str]:
        """The types of the events, in order."""
        return [event["type"] for event in self.events]


@cache
def event_models() -> dict[str, type[BaseModel]]:
    """The model of each streaming event of the schema, by its `type`."""
    models = [value for name, value in vars(spec).items() if name.endswith("StreamingEvent")]
    return {str(next(iter(_type_of(model)))): model for model in models}


def _type_of(model: type[BaseModel]) -> tuple[Any, ...]:
    annotation = model.model_fields["type"].annotation
    values = get_args(annotation) or [member.value for member in annotation]  # type: ignore[union-attr]
    return tuple(values)


def check(model: type[BaseModel], value: Any) -> None:
    """Raise pydantic's ValidationError unless *value* is what the schema says."""
    TypeAdapter(model).validate_json(json.dumps(value), strict=True)


def check_response(response: Any) -> None:
    """Hold a response object against `ResponseResource`, whose `status` the schema leaves open."""
    check(spec.ResponseResource, response)
    assert response["status"] in STATUSES


def check_event(event: dict[str, Any]) -> None:
    """Hold one event against the schema's model of its type."""
    assert event["type"] in event_models(), f"the specification has no event {event['type']}"
    check(event_models()[event["type"]], event)
    if event["type"].startswith("response.output_text.d"):
        # The document requires it, the package lets it be absent.
        assert isinstance(event.get("logprobs"), list)


def ask_json(bridge: BridgeProcess, create: Create) -> Turn:
    """POST without `stream`; the answer must be a valid response object."""
    answer = bridge.post(create)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].startswith("application/json")
    check_response(answer.json)
    return Turn(response=answer.json)


def ask_sse(bridge: BridgeProcess, create: Create) -> Turn:
    """POST with `stream`; every event must be valid, `event:` equal to `type`, and `[DONE]` the last."""
    answer = bridge.post({**create, "stream": True})
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].startswith("text/event-stream")
    *frames, done, rest = answer.body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    names = [frame.split(b"\n")[0].removeprefix(b"event: ").decode() for frame in frames]
    turn = Turn(answer.events)
    assert names == turn.types
    _close(turn)
    return turn


def ask_websocket(bridge: BridgeProcess, create: Create) -> Turn:
    """One create on a connection of its own."""
    return converse(bridge, [create])[0]


def converse(bridge: BridgeProcess, steps: Sequence[Step], *, check_requests: bool = True) -> list[Turn]:
    """Several creates on one connection, each sent when the one before has ended; a step may look at those before."""
    turns: list[Turn] = []
    url = bridge.base_url.replace("http://", "ws://") + "/responses"
    headers = {"Authorization": f"Bearer {LOCAL_KEY}"}
    with connect(url, additional_headers=headers, open_timeout=10, close_timeout=5) as connection:
        for step in steps:
            create = {"type": "response.create", **(step(turns) if callable(step) else step)}
            if check_requests:
                check(spec.WebSocketResponseCreateEvent, create)
            connection.send(json.dumps(create))
            turn = Turn()
            while True:
                event = json.loads(connection.recv(timeout=20))
                turn.events.append(event)
                if event["type"] == "error" and "status" in event:
                    check(spec.WebSocketErrorEvent, event)
                    turn.error_code = event["error"]["code"]
                    break
                if event["type"] in ENDS:
                    _close(turn)
                    break
            turns.append(turn)
    return turns


def _close(turn: Turn) -> None:
    """Check a whole stream and note how it ended."""
    for event in turn.events:
        check_event(event)
    numbers = [event["sequence_number"] for event in turn.events]
    assert numbers == list(range(len(numbers)))
    assert [kind in ENDS for kind in turn.types].count(True) == 1
    turn.response = turn.events[-1]["response"]
    check_response(turn.response)
    assert turn.response is not None
    assert turn.response["status"] == ENDS[turn.types[-1]]
    if turn.response["error"]:
        turn.error_code = turn.response["error"]["code"]
