"""A stand-in for the backends of GPT models: the ChatGPT backend, the OpenAI API and the place that refreshes tokens.

    with GptBackend(lambda request: message("Hello.")) as backend:
        ...                     # CODEX_OSS_CHATGPT_BASE_URL is backend.chatgpt_url, …_OPENAI_… backend.base_url
        assert backend.turns[0].headers["authorization"] == f"Bearer {backend.token}"

It is a `ChatUpstream`: the same steps, the same rudeness, the same bound on requests. Rules that hold here:

1. A turn or a list of models without an accepted credential is a 401, in the form of the ChatGPT backend.
2. `POST /oauth/token` takes the refresh token and gives `NEW_TOKEN`, which is accepted from then on.
3. What a bridge must not do with bytes shows in `Request.body` and `Request.headers`, kept as they arrived.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import zstandard

from codex_oss.services.codex_exec import catalog_entry
from tests.fakes.chat_upstream import Answer, ChatUpstream, Request, Send, body, error

GPT_MODEL = "gpt-standin"
ACCOUNT = "acct-standin-0001"
REFRESH_TOKEN = "rt-standin"
MODELS_TAG = '"models-1"'


def stand_in_token(mark: str) -> str:
    """An unsigned token of the form that Codex reads; valid for an hour. mark: tells two of them apart."""
    claims = {
        "email": "someone@example.com",
        "exp": int(time.time()) + 3600,
        "jti": mark,
        "https://api.openai.com/auth": {
            "chatgpt_plan_type": "pro",
            "chatgpt_account_id": ACCOUNT,
            "chatgpt_user_id": "user-standin",
        },
    }
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    head, payload = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{payload}.c2lnbmF0dXJl"


def decoded(request: Request) -> dict[str, Any]:
    """The JSON of a body, whatever way it came."""
    raw = request.body
    if request.headers.get("content-encoding") == "zstd":
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    value: dict[str, Any] = json.loads(raw)
    return value


def responses_answer(items: Sequence[Mapping[str, Any]], *, usage: tuple[int, int] = (100, 20)) -> Answer:
    """A streamed Responses answer, one write an event, with the headers that a native backend sends."""
    total = {
        "input_tokens": usage[0],
        "input_tokens_details": {"cached_tokens": 64},
        "output_tokens": usage[1],
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": sum(usage),
    }
    response = {"id": "resp_native", "object": "response", "created_at": 1, "model": GPT_MODEL, "output": []}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {**response, "status": "in_progress"}}]
    for index, item in enumerate(items):
        begun = {**item, **({"content": []} if "content" in item else {"arguments": ""}), "status": "in_progress"}
        events.append({"type": "response.output_item.added", "output_index": index, "item": begun})
        if "content" in item:
            place = {"output_index": index, "content_index": 0, "item_id": item["id"]}
            events.append({"type": "response.output_text.delta", **place, "delta": item["content"][0]["text"]})
        events.append({"type": "response.output_item.done", "output_index": index, "item": dict(item)})
    done = {**response, "status": "completed", "output": list(items), "usage": total}
    events.append({"type": "response.completed", "response": done})
    steps = (
        Send(f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': n})}\n\n".encode())
        for n, event in enumerate(events)
    )
    headers = (
        ("x-request-id", "req-native-1"),
        ("x-codex-turn-state", "state-of-the-turn"),
        ("x-codex-primary-used-percent", "12.5"),
        ("x-codex-primary-window-minutes", "300"),
        ("x-models-etag", MODELS_TAG),
        ("set-cookie", "__cf=secret; Path=/"),
    )
    return Answer(tuple(steps), headers=headers)


def message(text: str) -> Answer:
    """An assistant message."""
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    return responses_answer([{**item, "content": [{"type": "output_text", "text": text, "annotations": []}]}])


def function_call(name: str, arguments: Mapping[str, Any], *, call_id: str, namespace: str | None = None) -> Answer:
    """One function call, with its namespace."""
    item: dict[str, Any] = {"id": f"fc_{call_id}", "type": "function_call", "status": "completed", "call_id": call_id}
    item |= {"name": name, "arguments": json.dumps(arguments)} | ({"namespace": namespace} if namespace else {})
    return responses_answer([item])


class GptBackend(ChatUpstream):
    """The server. script: the answer to each turn whose credential is accepted."""

    def __init__(self, script: Callable[[Request], Answer] | Sequence[Answer] = (), *, max_requests: int = 60) -> None:
        super().__init__(script, max_requests=max_requests)
        self.token = stand_in_token("first")
        self.new_token = stand_in_token("second")
        self.accepted = {self.token, "sk-own-api-key"}
        self.models: Answer = body(json.dumps({"models": [catalog_entry(GPT_MODEL)], "plan": "pro"}))
        self.models = replace(self.models, headers=(("ETag", MODELS_TAG),))

    @property
    def chatgpt_url(self) -> str:
        """The base of the ChatGPT backend."""
        return self.base_url.replace("/v1", "/backend-api/codex")

    @property
    def turns(self) -> list[Request]:
        """The turns that were asked for, whatever the answer."""
        bases = ("/v1/", "/backend-api/codex/")
        beside = ("/models", "/events")  # Codex tells its analytics below the backend, too
        return [one for one in self.chats if one.path.startswith(bases) and not one.path.endswith(beside)]

    def of(self, path: str) -> list[Request]:
        """The requests to one path, without their query."""
        return [request for request in self.requests if request.path.partition("?")[0] == path]

    def _answer_to(self, request: Request) -> Answer:
        path = request.path.partition("?")[0]
        if len(self.requests) > self._max_requests:
            return error(500, f"the client looped: more than {self._max_requests} requests")
        if path == "/oauth/token":
            return self._refresh(request)
        if not path.startswith(("/v1/", "/backend-api/codex/")):
            return error(404, "no such route")
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.accepted:
            return error(401, "Your authentication token has expired.", code="token_expired")
        if path.startswith("/backend-api/") and request.headers.get("chatgpt-account-id") != ACCOUNT:
            return error(403, "wrong account")
        if path.endswith("/models"):
            known = request.headers.get("if-none-match") == MODELS_TAG
            return replace(self.models, status=304, steps=()) if known else self.models
        if callable(self._script):
            return self._script(request)
        if self._next_answer >= len(self._script):
            return error(500, f"the script has only {len(self._script)} answers")
        self._next_answer += 1
        return self._script[self._next_answer - 1]

    def _refresh(self, request: Request) -> Answer:
        if (request.json or {}).get("refresh_token") != REFRESH_TOKEN:
            return error(401, "unknown refresh token")
        self.accepted = {self.new_token}
        tokens = {"id_token": self.new_token, "access_token": self.new_token, "refresh_token": REFRESH_TOKEN}
        return body(json.dumps(tokens))
