"""What the official `openai` package says of the things that this bridge emits: events, chunks, response objects.

Counterparts: `tests.official.tap` collects what the encoders emit, `tests/conftest.py` holds it against this file.

Rules that hold here:

1. Validation is strict: a missing required key, a wrong type and an unknown event are problems. The package itself
   is lenient (`construct`), so that a client would meet a broken event as an AttributeError much later.
2. Each event is read with the model of its `type`, not with the union of all: a union may find another member that
   happens to fit, and costs fifty times as much.
3. Two deviations from the package are on purpose, and checked by hand:
   - `error` inside a stream has the nested form of Open Responses (both clients read it); the package knows the flat
     one. It is read with the type of `openresponses-types` instead.
   - `response.error.code` may be one of `EXTRA_ERROR_CODES`, by which Codex 0.169 stops instead of asking again.
"""

from __future__ import annotations

import json
import typing
from functools import cache
from typing import Any, Final

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openresponses_types import ErrorStreamingEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

from codex_oss.errors import RESPONSES_CODE

TERMINAL: Final = ("response.completed", "response.incomplete", "response.failed")
KNOWN_BY_PACKAGE: Final = frozenset(("server_error", "rate_limit_exceeded", "invalid_prompt"))
EXTRA_ERROR_CODES: Final = frozenset(RESPONSES_CODE.values()) - KNOWN_BY_PACKAGE


@cache
def event_models() -> dict[str, type[BaseModel]]:
    """The model of each event by its `type`, as the package lists them in `ResponseStreamEvent`."""
    union = typing.get_args(ResponseStreamEvent)[0]
    models = {typing.get_args(model.model_fields["type"].annotation)[0]: model for model in typing.get_args(union)}
    return {**models, "error": ErrorStreamingEvent}


@cache
def _adapter(model: type[BaseModel]) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def problem_of_event(event: Any) -> str:
    """What is wrong with one event of a Responses stream; empty when nothing is."""
    if not isinstance(event, dict):
        return f"an event must be an object: {event!r:.200}"
    model = event_models().get(str(event.get("type")))
    if model is None:
        return f"the package knows no event of type {event.get('type')!r}"
    if isinstance(event.get("response"), dict):
        event = {**event, "response": _with_known_code(event["response"])}
    return _problem(model, event)


def problem_of_response(response: Any) -> str:
    """What is wrong with one `response` object; empty when nothing is."""
    return _problem(Response, _with_known_code(response) if isinstance(response, dict) else response)


def problem_of_chunk(chunk: Any) -> str:
    """What is wrong with one chunk of a chat stream; empty when nothing is.

    A stream that failed ends with an object that holds only `error`, which the package raises as APIError.
    """
    if isinstance(chunk, dict) and list(chunk) == ["error"]:
        wrong = sorted(chunk["error"]) != ["code", "message", "param", "type"]
        return f"the error of a chunk has other keys: {chunk!r:.200}" if wrong else ""
    return _problem(ChatCompletionChunk, chunk)


def problem_of_completion(completion: Any) -> str:
    """What is wrong with one `chat.completion`; empty when nothing is. A turn under way has no finish_reason yet."""
    choices = completion.get("choices") if isinstance(completion, dict) else None
    if choices and choices[0].get("finish_reason") is None:
        completion = {**completion, "choices": [{**choices[0], "finish_reason": "stop"}]}
    return _problem(ChatCompletion, completion)


def _with_known_code(response: dict[str, Any]) -> dict[str, Any]:
    error = response.get("error")
    if isinstance(error, dict) and error.get("code") in EXTRA_ERROR_CODES:
        return {**response, "error": {**error, "code": "server_error"}}
    return response


def _problem(model: type[BaseModel], value: Any) -> str:
    try:
        if model is ErrorStreamingEvent:
            # Its generated enumerations take a string from JSON only, in strict mode.
            _adapter(model).validate_json(json.dumps(value), strict=True)
        else:
            _adapter(model).validate_python(value, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[:3]
        where = "; ".join(f"{'.'.join(str(place) for place in each['loc'])}: {each['msg']}" for each in first)
        return f"{model.__name__}: {where} in {value!r:.400}"
    return ""
