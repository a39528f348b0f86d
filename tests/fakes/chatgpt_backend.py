"""A rude stand-in for `https://chatgpt.com/backend-api`: what `codex-oss` meets when an account of the user's answers.

    with ChatGptBackend(lambda turn: said("Hello.")) as backend:
        ...                                   # CODEX_OSS_CHATGPT_BASE_URL is backend.url
        backend.next("acc1", used_up(3600))   # the next answer to this account, in front of the script
        assert backend.asked == ["acc1"]

    python -m tests.fakes.chatgpt_backend [--port N] [--record FILE]      # first line: listening on http://…/backend-api

Without a script it is a small agent: it calls the first shell-like tool that is offered, once, and then says what came
of it; without tools it repeats the question.

Rules that hold here, each one seen in public reports of the real one:

1. `store` must be false, `stream` true, `instructions` not empty; a field outside FIELDS is `Unsupported parameter`.
2. Items with an id, item references, system messages, and calls or outputs without their other half are refused.
3. Sealed reasoning opens only for the account that it was given to.
4. A token must be one that nobody revoked, of the account that `chatgpt-account-id` names. Its `exp` counts.
5. Answers have no content type. A stream begins with `codex.rate_limits`, and `x-codex-*` headers say the same.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from codex_oss.accounts.shapes import claims_of, who_of
from tests.fakes.chat_upstream import Answer, ChatUpstream, Hangup, Pause, Request, Send, body
from tests.fakes.chatgpt_catalog import BASE, ChatGptCatalog

FIELDS = frozenset(
    {
        *("model", "instructions", "input", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "store"),
        *("stream", "include", "service_tier", "prompt_cache_key", "text", "client_metadata"),
    }
)
PATH = "/backend-api/codex/responses"
CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
SHELLS = ("exec_command", "shell", "bash", "shell_command")


@dataclass(slots=True)
class Turn:
    """One request that was let in, or not. account: as its header said; status: of the answer, 0 before it."""

    account: str
    token: str
    request: Request
    status: int = 0

    @property
    def body(self) -> dict[str, Any]:
        """The body."""
        value: dict[str, Any] = self.request.json
        return value

    @property
    def text(self) -> str:
        """All that the conversation says, as JSON."""
        return json.dumps(self.body.get("input"))

    @property
    def outputs(self) -> list[Any]:
        """What tools gave."""
        return [item["output"] for item in self.body["input"] if str(item.get("type")).endswith("_call_output")]


@dataclass(slots=True)
class Limits:
    """What an account used of its windows, in percent, and when they reset (epoch seconds)."""

    primary: float = 10.0
    secondary: float = 5.0
    primary_resets_at: float = field(default_factory=lambda: time.time() + 3600)
    secondary_resets_at: float = field(default_factory=lambda: time.time() + 86400)


Script = Callable[[Turn], Answer]


# --- what is answered -----------------------------------------------------------------------------------------


def said(text: str, *, pieces: int = 3) -> Answer:
    """An assistant message behind a sealed thought."""
    return streamed([thought(), message(text)], pieces=pieces)


def called(name: str, arguments: Mapping[str, Any] | str, *, call_id: str = "call_1", **more: Any) -> Answer:
    """A function call behind a sealed thought. more: further keys of the call, e.g. its namespace."""
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": f"fc_{call_id}", "type": "function_call", "status": "completed", "call_id": call_id}
    return streamed([thought(), {**call, "name": name, "arguments": raw, **more}])


def message(text: str) -> dict[str, Any]:
    """An assistant message item."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def thought() -> dict[str, Any]:
    """A reasoning item; the backend seals it for whoever asks."""
    summary = [{"type": "summary_text", "text": "Thinking it over."}]
    return {"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": "SEAL"}


def streamed(items: Sequence[Mapping[str, Any]], *, pieces: int = 3, ending: str = "completed") -> Answer:
    """A streamed answer, one write an event."""
    response = {"id": f"resp_{time.time_ns():x}0backend", "object": "response", "created_at": 1, "model": "gpt-backend"}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {**response, "status": "in_progress"}}]
    for index, item in enumerate(items):
        events += _events_of_item(index, dict(item), pieces)
    usage = {"input_tokens": 200, "input_tokens_details": {"cached_tokens": 128}, "output_tokens": 40}
    usage |= {"output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 240}
    done = {**response, "status": ending, "output": list(items), "usage": usage}
    events.append({"type": f"response.{ending}", "response": done})
    return of_events(events)


def of_events(events: Sequence[Mapping[str, Any]]) -> Answer:
    """These events, numbered, without a content type."""
    steps = (
        Send(f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': n})}\n\n".encode())
        for n, event in enumerate(events)
    )
    return Answer(tuple(steps), content_type=None)


def _events_of_item(index: int, item: dict[str, Any], pieces: int) -> list[dict[str, Any]]:
    place = {"output_index": index, "item_id": item["id"]}
    events: list[dict[str, Any]] = []
    if item["type"] == "message":
        text = item["content"][0]["text"]
        size = max(1, -(-len(text) // pieces))
        events.append({"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}})
        events += [
            {"type": "response.output_text.delta", **place, "content_index": 0, "delta": text[at : at + size]}
            for at in range(0, len(text), size)
        ]
    elif item["type"] == "function_call":
        begun = {**item, "arguments": "", "status": "in_progress"}
        events.append({"type": "response.output_item.added", "output_index": index, "item": begun})
        events.append({"type": "response.function_call_arguments.delta", **place, "delta": item["arguments"]})
    else:
        events.append({"type": "response.output_item.added", "output_index": index, "item": {**item, "summary": []}})
    events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    return events


def refused(status: int, error: Mapping[str, Any] | str = "", *, retry_after: str = "", key: str = "error") -> Answer:
    """A refusal. error: the object below *key* (`error` or `detail`), or a text."""
    answer = replace(body(json.dumps({key: error}), status=status), content_type=None)
    return replace(answer, headers=(("Retry-After", retry_after),)) if retry_after else answer


def used_up(resets_in_s: float | None, *, plan: str = "plus") -> Answer:
    """The limit of a plan is met. resets_in_s: None where the backend does not say."""
    error: dict[str, Any] = {"type": "usage_limit_reached", "message": "The usage limit has been reached"}
    error["plan_type"] = plan
    if resets_in_s is not None:
        error |= {"resets_at": time.time() + resets_in_s, "resets_in_seconds": resets_in_s}
    return refused(429, error)


def challenge() -> Answer:
    """The page of the edge: nothing about the account."""
    page = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
    return replace(body(page, status=403, content_type="text/html"), headers=(("cf-mitigated", "challenge"),))


def failing(code: str, text: str = "scripted", *, after: str = "", **more: Any) -> Answer:
    """A 200 whose stream fails with this code. after: text that is shown before; more: further keys of the error."""
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {"id": "resp_f", "status": "in_progress"}}]
    if after:
        events += _events_of_item(0, message(after), 1)
    error = {"code": code, "message": text, **more}
    failed = {"id": "resp_f", "status": "failed", "error": error, "output": []}
    return of_events([*events, {"type": "response.failed", "response": failed}])


def cut(after: str) -> Answer:
    """A stream that breaks behind this text."""
    return replace(said(after), steps=(*said(after).steps[:6], Hangup()))


def slowly(answer: Answer, pause_s: float) -> Answer:
    """The same with a pause before each event."""
    return replace(answer, steps=tuple(step for one in answer.steps for step in (Pause(pause_s), one)))


def agent(turn: Turn) -> Answer:
    """Call a shell once, then say what came of it; without one, repeat the question."""
    if turn.outputs:
        return said(f"The tool said: {turn.outputs[-1]}")
    offered = {tool.get("name"): tool for tool in turn.body.get("tools", ()) if isinstance(tool, dict)}
    for name in SHELLS:
        if name in offered:
            wanted = offered[name].get("parameters", {}).get("properties", {})
            key = "cmd" if "cmd" in wanted else "command"
            many = wanted.get(key, {}).get("type") == "array"
            arguments: dict[str, Any] = {key: ["echo", "really-ran"] if many else "echo really-ran"}
            return called(name, arguments | ({"description": "Say it."} if "description" in wanted else {}))
    return said(f"You said: {turn.body['input'][-1]}")


# --- the server -----------------------------------------------------------------------------------------------


class ChatGptBackend(ChatUpstream):
    """The server. Everything public may be used from the test's thread."""

    def __init__(self, script: Script = agent, *, port: int = 0, max_requests: int = 1000) -> None:
        super().__init__(port=port, max_requests=max_requests)
        self.turns: list[Turn] = []
        self.every_turn: list[Turn] = []
        """Also those that were forgotten."""
        self.revoked: set[str] = set()
        """Access tokens that are refused as `token_revoked`."""
        self.expired: set[str] = set()
        """Access tokens that are refused as `token_expired`."""
        self.limits: dict[str, Limits] = {}
        self.answers = script
        self.quiet = False
        """Say nothing of limits."""
        self._next: dict[str, list[Answer]] = {}
        self.catalog = ChatGptCatalog()
        """Who answers beside turns: `/codex/models` and the usage endpoints."""
        """Models and usage; usage is not told unless a test says it."""
        self.catalog.usage = {}

    @property
    def url(self) -> str:
        """What CODEX_OSS_CHATGPT_BASE_URL is."""
        return self.base_url.removesuffix("/v1") + "/backend-api"

    @property
    def asked(self) -> list[str]:
        """The account of each turn, in the order of arrival."""
        return [turn.account for turn in self.turns]

    @property
    def answered(self) -> list[str]:
        """The account of each turn that got a 200."""
        return [turn.account for turn in self.turns if turn.status == 200]

    def next(self, account: str, *answers: Answer) -> None:
        """The next answers to this account, before its body is even looked at."""
        self._next.setdefault(account, []).extend(answers)

    def forget(self) -> None:
        """Begin anew: no turn was asked for, nothing is scripted, no limit is near."""
        self.turns, self._next, self.limits, self.quiet = [], {}, {}, False

    def _answer_to(self, request: Request) -> Answer:
        path = request.path.partition("?")[0]
        if len(self.requests) > self._max_requests:
            return refused(500, "the client looped")
        if path != PATH or request.method != "POST":
            return self._beside(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        turn = Turn(request.headers.get("chatgpt-account-id", ""), token, request)
        self.turns.append(turn)
        self.every_turn.append(turn)
        answer = self._refusal_of_token(turn)
        if answer is None and self._next.get(turn.account):
            answer = self._next[turn.account].pop(0)
        answer = answer or refusal_of_body(turn) or self.answers(turn)
        turn.status = answer.status
        return self._dressed(turn, answer)

    def _beside(self, request: Request) -> Answer:
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if request.method != "GET" or not parts.path.startswith(BASE):
            return refused(404, "Not Found", key="detail")
        reply = self.catalog.answer(parts.path.removeprefix(BASE), query, request.headers)
        return Answer((Send(reply.body),), reply.status, None, tuple(reply.headers.items()))

    def _refusal_of_token(self, turn: Turn) -> Answer | None:
        claims = claims_of(turn.token)
        if turn.token in self.revoked:
            return refused(401, {"code": "token_revoked", "message": "Your token was revoked."})
        if turn.token in self.expired or (claims.get("exp") or time.time() + 1) < time.time():
            return refused(401, {"code": "token_expired", "message": "Your token has expired."})
        if not claims:
            return refused(401, "Unauthorized", key="detail")
        if who_of(turn.token).account_id != turn.account:
            return refused(403, {"code": "wrong_account", "message": "Not your account."}, key="detail")
        return None

    def _dressed(self, turn: Turn, answer: Answer) -> Answer:
        """The answer as this account gets it: sealed for it, with what is left of its windows."""
        limits = self.limits.setdefault(turn.account, Limits())
        seal = sealed_for(turn.account).encode()
        steps = [
            Send(step.data.replace(b'"SEAL"', b'"%b"' % seal)) if isinstance(step, Send) else step
            for step in answer.steps
        ]
        told: tuple[tuple[str, str], ...] = (("x-models-etag", self.catalog.etag(turn.account)),)
        if not self.quiet:
            told = (*told, *_limit_headers(limits))
            if answer.status == 200 and answer.content_type is None:
                steps.insert(0, Send(_limit_event(limits)))
        return replace(answer, steps=tuple(steps), headers=(*answer.headers, *told))


def refusal_of_body(turn: Turn) -> Answer | None:
    """Why the backend does not take a body; None when it does."""
    told = turn.request.json
    if not isinstance(told, dict):
        return refused(400, "The body is no object.", key="detail")
    for name in told:
        if name not in FIELDS:
            return refused(400, f"Unsupported parameter: {name}", key="detail")
    if told.get("store") is not False:
        return refused(400, "Store must be set to false", key="detail")
    if told.get("stream") is not True:
        return refused(400, "Stream must be set to true", key="detail")
    if not isinstance(told.get("instructions"), str) or not told["instructions"].strip():
        return refused(400, "Instructions are required", key="detail")
    if not isinstance(told.get("input"), list) or not told["input"]:
        return refused(400, "Input must be a list", key="detail")
    return next((answer for item in told["input"] if (answer := _refusal_of_item(turn, item))), None) or _unpaired(told)


def _refusal_of_item(turn: Turn, item: Any) -> Answer | None:
    if not isinstance(item, dict):
        return refused(400, "An item must be an object", key="detail")
    if "id" in item or item.get("type") == "item_reference":
        text = f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
        return refused(400, {"type": "invalid_request_error", "code": None, "message": text})
    if item.get("role") == "system" and item.get("type", "message") == "message":
        return refused(400, "System messages are not allowed", key="detail")
    sealed = item.get("encrypted_content")
    if item.get("type") == "reasoning" and sealed != sealed_for(turn.account):
        text = f"The encrypted content {str(sealed)[:12]}... could not be verified."
        return refused(400, {"type": "invalid_request_error", "code": "invalid_encrypted_content", "message": text})
    return None


def _unpaired(told: Mapping[str, Any]) -> Answer | None:
    items = [(str(item.get("type")), str(item.get("call_id"))) for item in told["input"]]
    called_ids = {(CALLS[kind], call_id) for kind, call_id in items if kind in CALLS}
    given = {(kind, call_id) for kind, call_id in items if kind in CALLS.values()}
    if missing := called_ids - given:
        return refused(400, {"type": "invalid_request_error", "message": f"No tool output found for {missing}."})
    if missing := given - called_ids:
        return refused(400, {"type": "invalid_request_error", "message": f"No tool call found for {missing}."})
    return None


def sealed_for(account: str) -> str:
    """What this account's reasoning looks like: base64, as Fernet writes it."""
    return "gAAAA" + base64.urlsafe_b64encode(f"thought of {account}".encode()).decode()


def _limit_headers(limits: Limits) -> tuple[tuple[str, str], ...]:
    return (
        ("x-codex-primary-used-percent", f"{limits.primary:g}"),
        ("x-codex-primary-window-minutes", "300"),
        ("x-codex-primary-reset-at", f"{limits.primary_resets_at:.0f}"),
        ("x-codex-secondary-used-percent", f"{limits.secondary:g}"),
        ("x-codex-secondary-window-minutes", "10080"),
        ("x-codex-secondary-reset-at", f"{limits.secondary_resets_at:.0f}"),
        ("x-codex-plan-type", "plus"),
    )


def _limit_event(limits: Limits) -> bytes:
    windows = {
        "primary": (limits.primary, 300, limits.primary_resets_at),
        "secondary": (limits.secondary, 10080, limits.secondary_resets_at),
    }
    told = {
        place: {"used_percent": used, "window_minutes": minutes, "reset_at": int(at)}
        for place, (used, minutes, at) in windows.items()
    }
    event = {"type": "codex.rate_limits", "plan_type": "plus", "rate_limits": {**told, "limit_reached": True}}
    return f"event: codex.rate_limits\ndata: {json.dumps(event)}\n\n".encode()


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--record", type=Path, help="append each turn as one JSON line")
    options = parser.parse_args()

    def script(turn: Turn) -> Answer:
        if options.record is not None:
            with options.record.open("a") as lines:
                lines.write(json.dumps({"account": turn.account, "body": turn.body}) + "\n")
        return agent(turn)

    with ChatGptBackend(script, port=options.port, max_requests=sys.maxsize) as backend:
        sys.stdout.write(f"listening on {backend.url}\n")
        sys.stdout.flush()
        backend.wait()


if __name__ == "__main__":
    main()
