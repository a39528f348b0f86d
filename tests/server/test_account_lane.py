"""GPT_MODEL_STRATEGY=accounts behind the real bridge: a rude backend, a rude issuer, accounts on disk."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from openai import OpenAI
from websockets.sync.client import connect

from codex_oss.accounts.account import Switch
from tests.fakes.account_bench import MODEL, AccountBench, account_bench, text_of
from tests.fakes.bridge_process import LOCAL_KEY
from tests.fakes.chat_upstream import Answer, Hangup
from tests.fakes.chatgpt_backend import (
    Limits,
    Turn,
    called,
    challenge,
    cut,
    failing,
    of_events,
    refused,
    said,
    sealed_for,
    slowly,
    used_up,
)

SESSIONS = count()
SHELL: dict[str, Any] = {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}


def hello(turn: Turn) -> Answer:
    """Each account answers with its name."""
    return said(f"hello from {turn.account}")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountBench]:
    """One bridge for all turns; its accounts are seated anew for each test."""
    with account_bench(tmp_path_factory.mktemp("accounts")) as bench:
        yield bench


@pytest.fixture
def bench(shared: AccountBench) -> AccountBench:
    """The bridge with a session of its own and two accounts, the first one active."""
    shared.session = f"session-{next(SESSIONS)}"
    shared.seat("a", "b")
    shared.backend.answers = hello
    return shared


def outcomes(bench: AccountBench) -> list[tuple[str, str, str]]:
    """Account, reason and outcome of each attempt of the last request."""
    return [(one["account"].split("|")[0], one["reason"], one["outcome"]) for one in bench.attempts()[-1]]


# --- the body, the headers ------------------------------------------------------------------------------------


def test_a_turn_is_answered_by_an_account(bench: AccountBench) -> None:
    """The backend takes what the bridge sends, and the client reads a whole answer in the model's name."""
    answer = bench.ask("hi", temperature=0.3, max_output_tokens=99, metadata={"a": "b"}, client_metadata={"x": "y"})
    assert text_of(answer) == "hello from acc-a"
    (turn,) = bench.backend.turns
    assert (turn.body["model"], turn.body["store"], turn.body["stream"]) == (MODEL, False, True)
    headers = turn.request.headers
    assert headers["originator"] == "codex_oss"
    assert headers["user-agent"].startswith("codex-oss/")
    assert headers["session-id"] == headers["thread-id"] == turn.body["prompt_cache_key"] == bench.session
    assert "x-codex-turn-metadata" not in headers
    assert "codex.rate_limits" not in answer.body.decode()
    assert outcomes(bench) == [("acc-a", "initial_attempt", "answered")]


def test_an_unstreamed_turn_gets_the_collected_answer(bench: AccountBench) -> None:
    """The backend only streams; who asked for one object gets one."""
    answer = bench.ask("hi", stream=False)
    assert (answer.status, answer.json["status"], answer.json["model"]) == (200, "completed", MODEL)
    assert answer.json["output"][-1]["content"][0]["text"] == "hello from acc-a"
    assert answer.json["usage"]["input_tokens"] == 200


def test_chat_callers_are_converted(bench: AccountBench) -> None:
    """The official client's Chat Completions reach the backend as Responses, tools and their outputs included."""
    bench.backend.answers = lambda turn: said(f"got {turn.outputs}") if turn.outputs else called("shell", {"a": 1})
    tools: list[Any] = [{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}]
    with OpenAI(base_url=bench.bridge.base_url, api_key=LOCAL_KEY, max_retries=0) as sdk:
        messages: list[Any] = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "go"}]
        first = sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools, temperature=0.1, max_tokens=9)
        call = (first.choices[0].message.tool_calls or [])[0]
        messages += [
            {"role": "assistant", "tool_calls": [call.model_dump()]},
            {"role": "tool", "tool_call_id": call.id, "content": "the output"},
        ]
        streamed = sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    assert text == "got ['the output']"
    assert [turn.body["instructions"] for turn in bench.backend.turns] == ["Be terse."] * 2


def test_a_websocket_turn_goes_on(bench: AccountBench) -> None:
    """Two turns on one connection, the second one continuing the first."""
    url = bench.bridge.base_url.replace("http", "ws") + "/responses"
    with connect(url, additional_headers=bench.bridge.auth) as socket:
        socket.send(json.dumps({"type": "response.create", "model": MODEL, "input": "one"}))
        first = _until_end(socket)
        told = {"type": "response.create", "model": MODEL, "input": "two", "previous_response_id": first["id"]}
        socket.send(json.dumps(told))
        second = _until_end(socket)
    assert second["output"][-1]["content"][0]["text"] == "hello from acc-a"
    assert "one" in bench.backend.turns[1].text
    assert sealed_for("acc-a") in bench.backend.turns[1].text


def _until_end(socket: Any) -> dict[str, Any]:
    while True:
        event = json.loads(socket.recv(timeout=20))
        if event["type"] in ("response.completed", "response.failed", "error"):
            assert event["type"] == "response.completed", event
            response: dict[str, Any] = event["response"]
            return response


def test_a_stored_response_is_continued(bench: AccountBench) -> None:
    """`previous_response_id` is expanded from our own store: the backend gets the whole conversation."""
    first = bench.ask("the first question", store=True, stream=False)
    second = bench.ask("and then", previous_response_id=first.json["id"], stream=False)
    assert second.status == 200, second.body
    last = bench.backend.turns[-1]
    assert "the first question" in last.text
    assert "hello from acc-a" in last.text
    assert "previous_response_id" not in last.body


def test_a_conversation_is_compacted(bench: AccountBench) -> None:
    """`/responses/compact` seals a summary that the account wrote, and the next turn shows it to the account."""
    bench.backend.answers = lambda turn: said("the handover note" if "handover note" in turn.text else "ok")
    items = [{"role": "user", "content": "remember 42"}, {"role": "assistant", "content": "yes"}]
    body = json.dumps({"model": MODEL, "input": items}).encode()
    compacted = bench.bridge.request("POST", "/v1/responses/compact", body, bench.bridge.auth)
    assert compacted.status == 200, compacted.body
    summary = compacted.json["output"]
    assert bench.ask([*summary, {"role": "user", "content": "go on"}]).status == 200
    assert "the handover note" in bench.backend.turns[-1].text


def test_a_background_turn_is_answered(bench: AccountBench) -> None:
    """It runs on its own and is looked at later."""
    begun = bench.ask("hi", background=True, store=True, stream=False)
    path, ends_at = f"/v1/responses/{begun.json['id']}", time.monotonic() + 20
    while (response := bench.bridge.request("GET", path).json)["status"] in ("queued", "in_progress"):
        assert time.monotonic() < ends_at
        time.sleep(0.05)
    assert response["status"] == "completed"


# --- sealed reasoning -----------------------------------------------------------------------------------------


def _with_history(bench: AccountBench, text: str) -> list[dict[str, Any]]:
    """A conversation whose first turn the account a answered."""
    first = bench.ask(text, stream=False)
    return [{"role": "user", "content": text}, *first.json["output"], {"role": "user", "content": "go on"}]


def test_sealed_reasoning_goes_back_to_its_account(bench: AccountBench) -> None:
    """It travels marked to the client and unmarked to whoever made it."""
    items = _with_history(bench, "think")
    (thought,) = [item for item in items if item.get("type") == "reasoning"]
    assert thought["encrypted_content"] != sealed_for("acc-a")
    assert "a@example.com" not in thought["encrypted_content"]
    assert text_of(bench.ask(items)) == "hello from acc-a"
    assert sealed_for("acc-a") in bench.backend.turns[-1].text
    assert [one for one in bench.backend.turns if one.status != 200] == []


def test_sealed_reasoning_is_left_out_on_a_switch(bench: AccountBench) -> None:
    """Another account could not open it, and would refuse the turn; the conversation goes on without."""
    items = _with_history(bench, "think")
    bench.backend.next("acc-a", used_up(3600))
    assert text_of(bench.ask(items)) == "hello from acc-b"
    assert sealed_for("acc-a") not in bench.backend.turns[-1].text
    assert "hello from acc-a" in bench.backend.turns[-1].text
    assert [turn.status for turn in bench.backend.turns] == [200, 429, 200]


def test_reasoning_of_unknown_origin_is_tried_once(bench: AccountBench) -> None:
    """What bears no mark of ours is sent as it is; refused, the turn is repeated without."""
    own = {"type": "reasoning", "summary": [], "encrypted_content": sealed_for("acc-a")}
    tail = [{"role": "assistant", "content": "so"}, {"role": "user", "content": "go"}]
    assert bench.ask([{"role": "user", "content": "q"}, own, *tail]).status == 200
    assert sealed_for("acc-a") in bench.backend.turns[-1].text
    foreign = {**own, "encrypted_content": "gAAAforeign"}
    assert bench.ask([{"role": "user", "content": "q"}, foreign, *tail]).status == 200
    assert outcomes(bench) == [
        ("acc-a", "initial_attempt", "refused"),
        ("acc-a", "retry_same_account_without_reasoning", "answered"),
    ]


# --- limits ---------------------------------------------------------------------------------------------------


def test_the_second_account_goes_on_and_the_first_one_returns(bench: AccountBench) -> None:
    """At the limit of the first the second one answers, the user is told once; after the reset the first returns."""
    before = bench.log().count("another account answers")
    assert text_of(bench.ask("one")) == "hello from acc-a"
    bench.backend.next("acc-a", used_up(12))
    moved = bench.ask("two")
    assert text_of(moved) == "hello from acc-b"
    told = "account=b@example.com (plus); instead_of=a@example.com (plus); reason=retry_switched_account_after_429"
    assert moved.headers["x-codex-oss-route"] == told
    assert outcomes(bench) == [
        ("acc-a", "initial_attempt", "used_up"),
        ("acc-b", "retry_switched_account_after_429", "answered"),
    ]
    again = bench.ask("three")
    assert text_of(again) == "hello from acc-b"
    assert "x-codex-oss-route" not in again.headers
    assert bench.backend.asked == ["acc-a", "acc-a", "acc-b", "acc-b"]
    held = bench.account("a")
    assert held.cooldown.believed
    time.sleep(max(held.cooldown.until_ms / 1000 - time.time(), 0) + 0.05)
    back = bench.ask("four")
    assert text_of(back) == "hello from acc-a"
    assert "x-codex-oss-route" not in back.headers
    assert bench.log().count("another account answers") == before + 1


def test_a_near_reset_is_waited_for(bench: AccountBench) -> None:
    """The account comes back within seconds: nobody else is asked."""
    bench.backend.next("acc-a", used_up(1.2))
    begun = time.monotonic()
    assert text_of(bench.ask("one")) == "hello from acc-a"
    assert time.monotonic() - begun >= 1.0
    assert outcomes(bench) == [
        ("acc-a", "initial_attempt", "used_up"),
        ("acc-a", "retry_same_account_after_429", "answered"),
    ]


def test_a_pinned_account_returns_after_a_long_reset(bench: AccountBench) -> None:
    """The session moves for a long cooldown; a pin stays and wins again as soon as the account can answer."""
    bench.seat("a", "b", pinned="a")
    bench.backend.next("acc-a", used_up(7200))
    assert text_of(bench.ask("one")) == "hello from acc-b"
    bench.change("a", cooldown=None)
    assert text_of(bench.ask("two")) == "hello from acc-a"


def test_all_accounts_are_used_up(bench: AccountBench) -> None:
    """429 with type, code and the nearest reset that the backend named."""
    bench.backend.next("acc-a", used_up(7200))
    bench.backend.next("acc-b", used_up(3600))
    answer = bench.ask("one")
    assert answer.status == 429
    assert (answer.error["type"], answer.error["code"]) == ("usage_limit_reached", "usage_limit_reached")
    assert abs(answer.error["resets_at"] - (time.time() + 3600)) < 60
    assert bench.ask("two").status == 429
    assert bench.backend.asked == ["acc-a", "acc-b"], "nobody who cools is asked"


def test_a_guessed_reset_is_not_told(bench: AccountBench) -> None:
    """A backend that names no reset leaves the client without one."""
    bench.seat("a")
    bench.backend.quiet = True
    bench.backend.next("acc-a", used_up(None))
    answer = bench.ask("one")
    assert answer.status == 429
    assert "resets_at" not in answer.error


def test_a_used_up_window_stands_for_a_reset(bench: AccountBench) -> None:
    """The limit without an instant in its body is that of the window in the headers."""
    bench.seat("a")
    bench.backend.limits["acc-a"] = Limits(primary=100.0, primary_resets_at=float(int(time.time()) + 1800))
    bench.backend.next("acc-a", used_up(None))
    assert bench.ask("one").error["resets_at"] == bench.backend.limits["acc-a"].primary_resets_at


def test_an_exhausted_window_cools_the_account(bench: AccountBench) -> None:
    """An answer that says that nothing is left is the last one until the reset."""
    bench.backend.limits["acc-a"] = Limits(primary=100.0, primary_resets_at=time.time() + 1800)
    assert text_of(bench.ask("one")) == "hello from acc-a"
    assert text_of(bench.ask("two")) == "hello from acc-b"
    assert bench.account("a").cooldown.why == "quota_exhausted"


def test_other_429_switches_and_cools_as_long_as_told(bench: AccountBench) -> None:
    """`Retry-After` of another 429 is the account's pause; a longer cooldown is never shortened."""
    bench.backend.next("acc-a", refused(429, {"code": "rate_limit_exceeded", "message": "slow"}, retry_after="60"))
    assert text_of(bench.ask("one")) == "hello from acc-b"
    left_s = bench.account("a").cooldown.until_ms / 1000 - time.time()
    assert 50 < left_s <= 60


def test_a_short_429_of_the_only_account_is_waited_for(bench: AccountBench) -> None:
    """There is nobody else: the same account after its pause."""
    bench.seat("a")
    bench.backend.next("acc-a", refused(429, "Too many requests", key="detail", retry_after="1"))
    assert text_of(bench.ask("one")) == "hello from acc-a"
    assert outcomes(bench)[-1] == ("acc-a", "retry_same_account_after_429", "answered")


# --- tokens ---------------------------------------------------------------------------------------------------


def test_an_expired_token_is_renewed_before_it_is_sent(bench: AccountBench) -> None:
    """The access token in the store has ended: one refresh, and the turn is answered at the first request."""
    bench.seat(("a", {"expires_ms": 1}))
    before = bench.issuer.refreshes
    assert text_of(bench.ask("one")) == "hello from acc-a"
    assert bench.issuer.refreshes == before + 1
    assert bench.issuer.reuses == []
    assert outcomes(bench) == [("acc-a", "initial_attempt", "answered")]


@pytest.mark.parametrize("code", ["token_expired", "token_revoked"])
def test_a_refused_token_is_renewed_once(bench: AccountBench, code: str) -> None:
    """401 although the token had not ended: a forced refresh, and the same account answers."""
    bench.backend.next("acc-a", refused(401, {"code": code, "message": "no"}))
    assert text_of(bench.ask("one")) == "hello from acc-a"
    assert outcomes(bench)[-1] == ("acc-a", "retry_same_account_after_401", "answered")
    assert bench.backend.turns[0].token != bench.backend.turns[1].token
    assert bench.account("a").credential.generation == 2


def test_a_second_401_moves_on(bench: AccountBench) -> None:
    """The new token is refused as well: it is rejected, the account stays enabled, the next one answers."""
    bench.backend.next("acc-a", *[refused(401, "Unauthorized", key="detail")] * 2)
    assert text_of(bench.ask("one")) == "hello from acc-b"
    assert outcomes(bench)[-1] == ("acc-b", "retry_switched_account_after_401", "answered")
    held = bench.account("a")
    assert (held.rejected_generation, held.needs_login, held.switch.enabled) == (2, False, True)


def test_a_token_revoked_twice_needs_a_login(bench: AccountBench) -> None:
    """Revoked after the refresh, too: only the person can help."""
    bench.backend.next("acc-a", *[refused(401, {"code": "token_invalidated"})] * 2)
    assert text_of(bench.ask("one")) == "hello from acc-b"
    assert bench.account("a").needs_login


def test_a_refresh_that_is_refused_needs_a_login(bench: AccountBench) -> None:
    """Token ended and refresh token dead: the next account answers, and the first one says what it needs."""
    bench.seat(("a", {"expires_ms": 1}), "b")
    bench.issuer.trouble = [(400, "application/json", b'{"error": "invalid_grant"}')]
    assert text_of(bench.ask("one")) == "hello from acc-b"
    assert bench.account("a").needs_login


# --- the other rows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(402, "deactivated_workspace"), (403, "codex_workspace_access_denied")])
def test_a_workspace_that_refuses_is_left_alone(bench: AccountBench, status: int, code: str) -> None:
    """The credential is kept, the account waits for a login, the next one answers."""
    bench.backend.next("acc-a", refused(status, {"code": code, "message": "no"}, key="detail"))
    assert text_of(bench.ask("one")) == "hello from acc-b"
    held = bench.account("a")
    assert (held.workspace.enabled, held.switch.enabled, held.needs_login) == (False, True, False)
    bench.ask("two")
    assert bench.backend.asked == ["acc-a", "acc-b", "acc-b"]


def test_a_page_of_the_edge_costs_no_account_anything(bench: AccountBench) -> None:
    """403 as HTML is no matter of accounts: told clearly, nobody else is asked, nothing is written."""
    before = bench.book
    bench.backend.next("acc-a", challenge())
    answer = bench.ask("one")
    assert (answer.status, answer.error["code"]) == (403, "edge_challenge")
    assert bench.backend.asked == ["acc-a"]
    assert bench.book == before


def test_a_model_of_another_account(bench: AccountBench) -> None:
    """400: this account does not have the model; the other one may."""
    no = "The 'gpt-5.4' model is not supported when using Codex with a ChatGPT account."
    bench.backend.next("acc-a", refused(400, no, key="detail"))
    assert text_of(bench.ask("one")) == "hello from acc-b"
    bench.backend.next("acc-a", refused(400, no, key="detail"))
    bench.backend.next("acc-b", refused(400, no, key="detail"))
    answer = bench.ask("two")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


def test_an_overloaded_backend_is_asked_twice_more_then_the_next_account(bench: AccountBench) -> None:
    """5xx: a bounded back-off on the same account, then the next; no penalty."""
    bench.backend.next("acc-a", refused(503, "busy"), refused(500, "oops"), refused(502, "<html>"))
    assert text_of(bench.ask("one")) == "hello from acc-b"
    assert bench.backend.asked == ["acc-a"] * 3 + ["acc-b"]
    assert bench.account("a").hindrance(int(time.time() * 1000)) is None
    assert [reason for _, reason, _ in outcomes(bench)][-1] == "retry_switched_account_after_5xx"


def test_an_answer_that_is_none_is_told(bench: AccountBench) -> None:
    """200 with a page instead of a stream, and no content type: repeated, then 502; no account pays for it."""
    before = bench.book
    page = replace(challenge(), status=200, content_type=None, headers=())
    for name in ("acc-a", "acc-b"):
        bench.backend.next(name, *[page] * 3)
    answer = bench.ask("one")
    assert (answer.status, answer.error["code"]) == (502, "upstream_protocol_error")
    assert "base_url" not in answer.error["message"]
    assert bench.book == before


def test_a_backend_that_is_away(bench: AccountBench) -> None:
    """Broken connections before any byte: a bounded number of requests, 503, no account pays for it."""
    before = bench.book
    for name in ("acc-a", "acc-b"):
        bench.backend.next(name, *[Answer((), before_head=(Hangup(),))] * 20)
    answer = bench.ask("one")
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    # A connection that broke before a byte is opened once more by the pool, which is no attempt of the turn.
    assert [one["outcome"] for one in bench.attempts(6)[-1]] == ["overloaded"] * 6
    assert bench.book == before


def test_many_turns_at_once_meet_a_limit(bench: AccountBench) -> None:
    """Ended tokens and a limit under a dozen turns: one refresh each, every turn answered, nobody asked who cools."""
    bench.seat(("a", {"expires_ms": 1}), ("b", {"expires_ms": 1}))
    refreshed = bench.issuer.refreshes
    bench.backend.answers = lambda turn: used_up(3600) if turn.account == "acc-a" else hello(turn)
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(bench.ask("hi"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [text_of(answer) for answer in answers] == ["hello from acc-b"] * 12
    assert (bench.issuer.refreshes - refreshed, bench.issuer.reuses) == (2, [])
    asked = len(bench.backend.asked)
    bench.ask("once more")
    assert bench.backend.asked[asked:] == ["acc-b"]


def test_a_redirect_is_not_followed(bench: AccountBench) -> None:
    """It would carry the token elsewhere: 502, one request."""
    moved = refused(307, "moved")
    bench.backend.next("acc-a", replace(moved, headers=(("Location", "http://127.0.0.1:1/x"),)))
    answer = bench.ask("one")
    assert (answer.status, answer.error["code"]) == (502, "upstream_protocol_error")
    assert bench.backend.asked == ["acc-a"]


def test_another_refusal_is_told_as_it_is(bench: AccountBench) -> None:
    """A 400 that is of the request: one request, the backend's words."""
    bench.backend.next("acc-a", refused(400, {"code": "invalid_value", "message": "No such effort."}))
    answer = bench.ask("one")
    assert (answer.status, answer.error["code"]) == (400, "upstream_refused")
    assert "No such effort." in answer.error["message"]
    assert bench.backend.asked == ["acc-a"]


IN_STREAM: list[tuple[str, dict[str, Any], str, Callable[[Any], bool]]] = [
    ("usage_limit_reached", {"resets_in_seconds": 3600}, "used_up", lambda held: held.cooldown.until_ms > 0),
    ("rate_limit_exceeded", {}, "throttled", lambda held: held.cooldown.until_ms > 0),
    ("deactivated_workspace", {}, "workspace", lambda held: not held.workspace.enabled),
]


@pytest.mark.parametrize(("code", "more", "outcome", "holds"), IN_STREAM)
def test_a_stream_that_fails_before_its_first_content_moves_on(
    bench: AccountBench, code: str, more: dict[str, Any], outcome: str, holds: Callable[[Any], bool]
) -> None:
    """200, then `response.failed`: the same rules as for the status that carries this code."""
    bench.backend.next("acc-a", failing(code, **more))
    answer = bench.ask("one")
    assert text_of(answer) == "hello from acc-b"
    assert outcomes(bench)[0] == ("acc-a", "initial_attempt", outcome)
    assert holds(bench.account("a"))
    assert answer.body.count(b"response.created") == 2, "one event, its name in it twice"


@pytest.mark.parametrize("event", ["error", "response.failed"])
def test_an_overload_inside_the_stream_is_repeated(bench: AccountBench, event: str) -> None:
    """`server_is_overloaded` before any content: the same account once more."""
    flat = of_events([{"type": "error", "code": "server_is_overloaded", "message": "busy"}])
    bench.backend.next("acc-a", flat if event == "error" else failing("server_is_overloaded"))
    assert text_of(bench.ask("one")) == "hello from acc-a"
    assert outcomes(bench)[-1] == ("acc-a", "retry_same_account_after_5xx", "answered")


def test_a_failure_behind_the_first_content_passes_through(bench: AccountBench) -> None:
    """Nobody else is asked any more; what it means for the account is written all the same."""
    bench.backend.next("acc-a", failing("usage_limit_reached", after="half an ", resets_in_seconds=3600))
    answer = bench.ask("one")
    assert "half an " in answer.body.decode()
    assert [event["type"] for event in answer.events if event["type"].startswith("response.")][-1] == "response.failed"
    assert bench.backend.asked == ["acc-a"]
    assert outcomes(bench) == [("acc-a", "initial_attempt", "used_up")]
    assert text_of(bench.ask("two")) == "hello from acc-b"


def test_a_cut_stream_says_so(bench: AccountBench) -> None:
    """The connection breaks behind the first content: a failed turn, one request."""
    bench.backend.next("acc-a", cut("a long answer that never ends"))
    answer = bench.ask("one")
    assert answer.events[-1]["type"] == "response.failed"
    assert bench.backend.asked == ["acc-a"]
    assert outcomes(bench) == [("acc-a", "initial_attempt", "cut")]


# --- nobody can -----------------------------------------------------------------------------------------------

OFF = Switch(1, False, "by_person")


@pytest.mark.parametrize(
    ("seated", "status", "code"),
    [
        ([], 401, "no_accounts_configured"),
        ([("a", {"dead_generation": 9}), ("b", {"dead_generation": 9})], 401, "accounts_need_login"),
        ([("a", {"switch": OFF}), ("b", {"switch": OFF})], 403, "no_enabled_accounts"),
        ([("a", {"workspace": OFF})], 503, "accounts_unavailable"),
    ],
)
def test_nobody_can_answer(bench: AccountBench, seated: list[Any], status: int, code: str) -> None:
    """The status says why, and nobody is asked."""
    bench.seat(*seated)
    answer = bench.ask("one")
    assert (answer.status, answer.error["code"]) == (status, code)
    assert bench.backend.asked == []


def test_a_disabled_account_is_neither_asked_nor_refreshed(bench: AccountBench) -> None:
    """Not even when its token has ended and it is the active one."""
    bench.seat(("a", {"switch": OFF, "expires_ms": 1}), "b")
    before = bench.issuer.refreshes
    assert text_of(bench.ask("one")) == "hello from acc-b"
    assert (bench.issuer.refreshes, bench.backend.asked) == (before, ["acc-b"])


def test_no_token_and_no_prompt_reaches_log_or_screen(bench: AccountBench) -> None:
    """Whatever happened in this file: neither the bridge's log nor the request log holds a token."""
    bench.ask("a very private question")
    tokens = {turn.token for turn in bench.backend.every_turn}
    told = bench.log() + bench.request_log()
    assert tokens
    assert not [token for token in tokens if token in told]
    assert "a very private question" not in told
    assert " ERROR " not in bench.log()


def test_a_crossed_threshold_is_one_line(bench: AccountBench) -> None:
    """Window and what remains of it, once; the next turn with the same figures says nothing."""
    before = bench.log().count("quota_threshold")
    bench.backend.limits["acc-a"] = Limits(primary=91.5, primary_resets_at=time.time() + 3000)
    bench.ask("one")
    bench.ask("two")
    (line,) = [line for line in bench.log().splitlines() if "quota_threshold" in line][before:]
    assert line.endswith("quota_threshold account=a@example.com (plus) window=5h remaining_percent=8.5")


def test_a_client_that_leaves_frees_the_backend(bench: AccountBench) -> None:
    """The request is dropped at once, noted as cancelled, and the account is as it was."""
    before = bench.book
    bench.backend.answers = lambda turn: slowly(said("a long answer"), 5.0)
    connection, _ = _begun(bench)
    bench.backend.wait_for_requests(len(bench.backend.requests))
    connection.close()
    assert bench.backend.turns[0].request.client_left.wait(10)
    assert outcomes(bench) == [("acc-a", "initial_attempt", "cancelled")]
    assert bench.book == before


def _begun(bench: AccountBench) -> tuple[Any, bytes]:
    body = json.dumps({"model": MODEL, "input": "hi", "stream": True}).encode()
    connection = bench.bridge.connect()
    connection.request("POST", "/v1/responses", body, {**bench.bridge.auth, "session-id": bench.session})
    while not bench.backend.turns:
        time.sleep(0.02)
    return connection, body


def test_health_counts_accounts_and_names_none(bench: AccountBench) -> None:
    """How many stand how; `/health` needs no key."""
    bench.seat("a", ("b", {"switch": OFF}))
    health = bench.bridge.request("GET", "/health", headers={})
    assert health.json["accounts"] == {"all": 2, "ready": 1, "disabled": 1}
    assert "example.com" not in health.body.decode()


def test_a_damaged_book_is_told(bench: AccountBench) -> None:
    """It is put aside, the turn says so, and the bridge goes on once it is mended."""
    path = bench.folder / "codex-accounts.json"
    good = path.read_bytes()
    path.write_bytes(b"[broken")
    answer = bench.ask("one")
    assert (answer.status, answer.error["code"]) == (500, "accounts_corrupt")
    path.write_bytes(good)
    assert text_of(bench.ask("two")) == "hello from acc-a"
