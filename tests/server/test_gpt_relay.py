"""GPT traffic through a real bridge: who is relayed where, what arrives, who may come in, and how it ends."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.fakes.bridge_process import LOCAL_KEY, UPSTREAM_KEY, Answer, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer as Scripted
from tests.fakes.chat_upstream import (
    ChatUpstream,
    Hangup,
    Request,
    Reset,
    Send,
    Stall,
    body,
    cut,
    error,
    held,
    html,
    mute,
    payload_of,
    text,
)
from tests.fakes.gpt_backend import ACCOUNT, GPT_MODEL, MODELS_TAG, GptBackend, message

OWN = {"Authorization": "Bearer sk-own-api-key", "Content-Type": "application/json"}
OSS = {"model": "ocg-kimi-k2.6", "input": "hi"}
GPT = {"model": GPT_MODEL, "input": "hi"}


@contextmanager
def passing(
    tmp_path: Path, backend: GptBackend, upstream: ChatUpstream | None = None, **extra: str
) -> Iterator[BridgeProcess]:
    """A bridge with the strategy `passthrough`."""
    placed = {"CODEX_OSS_OPENAI_BASE_URL": backend.base_url, "CODEX_OSS_CHATGPT_BASE_URL": backend.chatgpt_url}
    base = None if upstream is None else upstream.base_url
    settings = {"GPT_MODEL_STRATEGY": "passthrough", **placed, **extra}
    with running_bridge(tmp_path / "project", upstream=base, **settings) as bridge:
        yield bridge


def post(
    bridge: BridgeProcess, value: Mapping[str, Any], headers: Mapping[str, str], path: str = "/v1/responses"
) -> Answer:
    """One POST of JSON."""
    return bridge.request("POST", path, json.dumps(value).encode(), headers)


def account(backend: GptBackend) -> dict[str, str]:
    """Who is signed in with ChatGPT."""
    return {"Authorization": f"Bearer {backend.token}", "ChatGPT-Account-Id": ACCOUNT}


def test_each_credential_reaches_its_own_backend(tmp_path: Path) -> None:
    """An account reaches the ChatGPT backend, an API key the OpenAI API; chat completions and compaction as well."""
    with GptBackend(lambda _: message("x")) as backend, passing(tmp_path, backend) as bridge:
        post(bridge, GPT, account(backend))
        post(bridge, GPT, OWN)
        post(bridge, GPT, OWN, "/responses")
        post(bridge, GPT, OWN, "/v1/chat/completions?a=b%20c")
        post(bridge, GPT, account(backend), "/v1/responses/compact")
    assert [request.path for request in backend.requests] == [
        "/backend-api/codex/responses",
        "/v1/responses",
        "/v1/responses",
        "/v1/chat/completions?a=b%20c",
        "/backend-api/codex/responses/compact",
    ]


def test_bytes_go_both_ways_untouched(tmp_path: Path) -> None:
    """A compressed body, odd spacing and header bytes arrive as sent; so do status, headers and body of the answer."""
    native = message("héllo \U0001f600")
    plain = b'{ "input" : "\\ud83d",\n"model":"gpt-standin" , "model":"gpt-standin"}'
    raw = zstandard.ZstdCompressor().compress(plain)
    headers = {**OWN, "Content-Encoding": "zstd", "session-id": "s", "Cookie": "a=b", "X-Codex-Oss-Key": LOCAL_KEY}
    with GptBackend([native]) as backend, passing(tmp_path, backend) as bridge:
        answer = bridge.request("POST", "/v1/responses", raw, {**headers, "x-codex-window-id": "t:0"})
    (arrived,) = backend.requests
    assert arrived.body == raw
    assert {
        "content-encoding": "zstd",
        "session-id": "s",
        "x-codex-window-id": "t:0",
    }.items() <= arrived.headers.items()
    assert not {"cookie", "x-codex-oss-key"} & set(arrived.headers)
    assert LOCAL_KEY not in json.dumps(arrived.headers)
    assert answer.body == payload_of(native)
    assert answer.headers["x-codex-turn-state"] == "state-of-the-turn"
    assert answer.headers["x-codex-primary-used-percent"] == "12.5"
    assert answer.headers["x-request-id"] == "req-native-1"
    assert answer.headers["x-codex-oss-request-id"].startswith("req_")
    assert "set-cookie" not in answer.headers


REFUSALS: list[Scripted] = [
    replace(error(429, "limit"), headers=(("Retry-After", "86400"), ("x-codex-primary-used-percent", "100"))),
    error(400, "bad"),
    error(403, "no"),
    error(500, "down"),
    html(502),
    Scripted((), status=307, headers=(("Location", "https://evil.example/"),)),
]


def test_a_refusal_of_the_backend_is_relayed(tmp_path: Path) -> None:
    """Its status, headers and words, untouched; asked once, and not taken for an acceptance."""
    with GptBackend(REFUSALS) as backend, passing(tmp_path, backend) as bridge:
        answers = [post(bridge, GPT, OWN) for _ in REFUSALS]
        assert post(bridge, OSS, OWN).error["code"] == "credential_not_vouched"
        assert len(backend.requests) == len(REFUSALS)
    for refusal, answer in zip(REFUSALS, answers, strict=True):
        assert (answer.status, answer.body) == (refusal.status, payload_of(refusal))
        assert {name.lower(): value for name, value in refusal.headers}.items() <= answer.headers.items()


def test_a_cut_is_a_cut(tmp_path: Path) -> None:
    """A stream that breaks at the backend breaks here, at the same byte and without an invented end."""
    native, offsets = message("some text"), (0, 1, 150, 700)
    cuts = [cut(native, at, how) for at in offsets for how in (Reset(), Hangup())]
    with GptBackend(cuts) as backend, passing(tmp_path, backend) as bridge:
        for at in offsets:
            for _ in range(2):
                status, got, whole = read_raw(bridge, GPT)
                assert not whole
                assert payload_of(native)[:at].startswith(got)
                assert status in (200, 503)
        log = bridge.log.read_text()
    assert log.count(" passthrough ") == 8
    assert "Traceback" not in log


def without_end(answer: Scripted) -> Scripted:
    """The same stream, ended politely before its terminal event."""
    return replace(answer, steps=answer.steps[:-1])


CUT_SAID = "uvicorn.error ASGI callable returned without completing response."
ENDS: list[tuple[Scripted, str]] = [
    (message("x"), "completed"),
    (without_end(message("x")), "failed stream_interrupted"),
    (replace(message("x"), steps=(Send(b"event: response.failed\ndata: {}\n\n"),)), "failed upstream_error"),
    (replace(message("x"), steps=(Send(b"event: response.incomplete\ndata: {}\n\n"),)), "incomplete"),
    (cut(message("x"), 200), "failed stream_interrupted"),
    (body(b'{"object": "response"}'), "completed"),
    (error(429), "refused rate_limited"),
    (error(401), "refused upstream_unauthorized"),
    (error(404), "refused upstream_refused"),
    (error(503), "refused upstream_unavailable"),
    (mute(Reset()), "refused upstream_unavailable"),
]


def test_the_log_tells_how_a_relayed_turn_ended(tmp_path: Path) -> None:
    """Outcome and code stand in the log although nobody decoded the answer."""
    with GptBackend([answer for answer, _ in ENDS]) as backend, passing(tmp_path, backend) as bridge:
        for _ in ENDS:
            read_raw(bridge, GPT)
        while bridge.request("GET", "/health").json["in_flight"]:
            time.sleep(0.01)
        lines = [line for line in bridge.log.read_text().splitlines() if f" passthrough {GPT_MODEL} " in line]
        noise = [line for line in bridge.log.read_text().splitlines() if "ERROR" in line]
    told = [re.sub(r"[0-9.]+s ?", "", line.partition(f"{GPT_MODEL} ")[2]).strip() for line in lines]
    assert told == [end for _, end in ENDS]
    assert [line.partition("ERROR ")[2] for line in noise] == [CUT_SAID], "for the one answer that is cut"


def read_raw(bridge: BridgeProcess, value: Mapping[str, Any]) -> tuple[int, bytes, bool]:
    """Status, body as far as it came, and whether it ended as HTTP says."""
    connection = bridge.connect()
    try:
        connection.request("POST", "/v1/responses", json.dumps(value), OWN)
        response = connection.getresponse()
        got = bytearray()
        try:
            while piece := response.read1(65536):
                got += piece
        except (OSError, ValueError, IncompleteRead):
            return response.status, bytes(got), False
        return response.status, bytes(got), response.status == 200
    finally:
        connection.close()


def test_a_backend_that_cannot_be_reached(tmp_path: Path) -> None:
    """One of our errors, which names the address."""
    with GptBackend() as backend:
        gone = {"CODEX_OSS_OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
        with passing(tmp_path, backend, None, **gone) as bridge:
            answer = post(bridge, GPT, OWN)
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    assert "127.0.0.1:9" in answer.error["message"]


def test_a_client_that_leaves_closes_the_backend(tmp_path: Path) -> None:
    """At once, also before the head; the slots are free again."""
    script = [held(message("x"), "never"), mute(), message("after")]
    with GptBackend(script) as backend, passing(tmp_path, backend, MAX_GLOBAL_UPSTREAM_CONCURRENCY="1") as bridge:
        for count in (1, 2):
            connection = bridge.connect()
            connection.request("POST", "/v1/responses", json.dumps(GPT), OWN)
            backend.wait_for_requests(count)
            linger = struct.pack("ii", 1, 0)
            assert connection.sock is not None
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
            assert backend.requests[count - 1].client_left.wait(10)
        assert post(bridge, GPT, OWN).status == 200


def test_relayed_turns_count_under_the_caps(tmp_path: Path) -> None:
    """A second turn waits for the slot of its model and gets it when the first one ends."""
    with (
        GptBackend([held(message("one"), "one"), message("two")]) as backend,
        passing(tmp_path, backend, MODEL_CONCURRENCY_JSON=json.dumps({GPT_MODEL: 1})) as bridge,
    ):
        first, second = bridge.connect(), bridge.connect()
        first.request("POST", "/v1/responses", json.dumps(GPT), OWN)
        backend.wait_for_requests(1)
        second.request("POST", "/v1/responses", json.dumps(GPT), OWN)
        while bridge.request("GET", "/health").json["in_flight"] < 2:
            time.sleep(0.01)
        assert len(backend.requests) == 1
        backend.release("one")
        assert first.getresponse().read() == payload_of(message("one"))
        assert second.getresponse().read() == payload_of(message("two"))
        first.close()
        second.close()
        while bridge.request("GET", "/health").json["in_flight"]:
            time.sleep(0.01)
        metrics = bridge.request("GET", "/metrics").body.decode()
    assert 'codex_oss_requests_total{lane="passthrough",outcome="completed"} 2.0' in metrics
    labels = 'gen_ai_operation_name="chat",gen_ai_request_model="other",gen_ai_response_model="other"'
    assert f'gen_ai_client_token_usage_sum{{{labels},gen_ai_token_type="input"}} 200.0' in metrics


def test_a_shutdown_cuts_what_does_not_end(tmp_path: Path) -> None:
    """An open relayed stream does not keep the bridge from ending, and the client sees a cut."""
    open_ended = replace(message("x"), steps=(*message("x").steps[:1], Stall()))
    with (
        GptBackend([open_ended]) as backend,
        passing(tmp_path, backend, BRIDGE_SHUTDOWN_DRAIN_SECONDS="0") as bridge,
    ):
        connection = bridge.connect()
        connection.request("POST", "/v1/responses", json.dumps(GPT), OWN)
        response = connection.getresponse()
        assert response.status == 200
        assert bridge.stop() == 0
        with pytest.raises((IncompleteRead, OSError)):
            response.read()
        connection.close()


# --- who may come in ------------------------------------------------------------------------------------------


def test_a_credential_is_vouched_for_by_its_backend(tmp_path: Path) -> None:
    """Our lanes open for the very credential that a backend accepted, and close again with its refusal."""
    with (
        GptBackend(lambda _: message("x")) as backend,
        ChatUpstream(lambda _: text("ok")) as upstream,
        passing(tmp_path, backend, upstream) as bridge,
    ):
        signed_in = account(backend)
        before = post(bridge, OSS, signed_in)
        assert (before.status, before.error["code"]) == (401, "credential_not_vouched")
        assert "x-codex-oss-key" in before.error["message"]
        assert bridge.request("GET", "/v1/models", headers=signed_in).status == 200
        assert post(bridge, OSS, signed_in).status == 401, "a list of models vouches for nobody"
        assert post(bridge, GPT, signed_in).status == 200
        compressed = zstandard.ZstdCompressor().compress(json.dumps(OSS).encode())
        child = bridge.request("POST", "/v1/responses", compressed, {**signed_in, "Content-Encoding": "zstd"})
        assert child.json["output"][0]["content"][0]["text"] == "ok"
        chat = {"model": "ocg-kimi-k2.6", "messages": [{"role": "user", "content": "hi"}]}
        assert post(bridge, chat, signed_in, "/v1/chat/completions").status == 200
        for stranger in (
            {**signed_in, "ChatGPT-Account-Id": "acct-other"},
            {"Authorization": signed_in["Authorization"]},
            {**signed_in, "Authorization": signed_in["Authorization"] + "x"},
            OWN,
        ):
            assert post(bridge, OSS, stranger).status == 401
        backend.accepted = set()
        assert post(bridge, GPT, signed_in).status == 401
        assert post(bridge, OSS, signed_in).error["code"] == "credential_not_vouched"
        assert {request.headers["authorization"] for request in upstream.chats} == {f"Bearer {UPSTREAM_KEY}"}
        assert not any("chatgpt-account-id" in request.headers for request in upstream.chats)
        assert backend.token not in bridge.log.read_text()


OTHER_ROUTES = [
    ("GET", "/metrics"),
    ("GET", "/v1/responses/resp_1"),
    ("DELETE", "/v1/responses/resp_1"),
    ("GET", "/v1/responses/resp_1/input_items"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("POST", "/v1/responses/input_tokens"),
    ("HEAD", "/v1/models"),
    ("POST", "/v1/models"),
    ("GET", "/v1/responses"),
    ("PUT", "/v1/responses"),
    ("GET", "/nowhere"),
    ("POST", "/v1/responses/"),
    ("POST", "/v1//responses"),
]


@pytest.mark.parametrize("shown", ["own", "vouched"])
def test_a_credential_of_its_own_opens_nothing_else(tmp_path: Path, shown: str) -> None:
    """Every other address wants the local key, vouched for or not."""
    with GptBackend(lambda _: message("x")) as backend, passing(tmp_path, backend) as bridge:
        if shown == "vouched":
            assert post(bridge, GPT, OWN).status == 200
        answers = {route: bridge.request(*route, b"{}", OWN).status for route in OTHER_ROUTES}
        web = bridge.request("POST", "/v1/responses", b"{}", {**OWN, "Origin": "https://evil.example"})
        rebound = bridge.request("POST", "/v1/responses", b"{}", {**OWN, "Host": "evil.example"})
    assert set(answers.values()) == {401}, answers
    assert (web.status, rebound.status) == (403, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {LOCAL_KEY}"},
        {"X-Codex-Oss-Key": LOCAL_KEY},
        {"X-Codex-Oss-Key": LOCAL_KEY, "Authorization": "Bearer sk-own-api-key"},
        {"X-Codex-Oss-Key": "wrong", "Authorization": f"Bearer {LOCAL_KEY}"},
    ],
)
@pytest.mark.parametrize("strategy", ["error", "passthrough"])
def test_the_local_key_may_come_in_its_own_header(tmp_path: Path, headers: dict[str, str], strategy: str) -> None:
    """As bearer or as `x-codex-oss-key`, in every strategy."""
    with ChatUpstream(lambda _: text("ok")) as upstream:
        with running_bridge(tmp_path / "project", upstream=upstream.base_url, GPT_MODEL_STRATEGY=strategy) as bridge:
            assert post(bridge, OSS, headers).status == 200
            assert post(bridge, OSS, {"X-Codex-Oss-Key": "wrong"}).status == 401
            assert bridge.request("GET", "/metrics", headers=headers).status == 200
        (sent,) = upstream.chats
    assert "x-codex-oss-key" not in sent.headers
    assert sent.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"


@pytest.mark.parametrize("bearer", [LOCAL_KEY, UPSTREAM_KEY, ""])
def test_no_key_of_ours_is_relayed(tmp_path: Path, bearer: str) -> None:
    """Who shows the local key, an upstream key or nothing gets a 4xx that says what is missing; nothing is sent."""
    shown = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    with GptBackend(lambda _: message("x")) as backend, passing(tmp_path, backend) as bridge:
        answer = post(bridge, GPT, {**shown, "X-Codex-Oss-Key": LOCAL_KEY})
        chat = {"model": GPT_MODEL, "messages": [{"role": "user", "content": "hi"}]}
        also = post(bridge, chat, {**shown, "X-Codex-Oss-Key": LOCAL_KEY}, "/v1/chat/completions")
        assert bridge.request("GET", "/v1/models", headers={**shown, "X-Codex-Oss-Key": LOCAL_KEY}).status == 200
        if bearer == UPSTREAM_KEY:
            assert post(bridge, GPT, shown).status == 401
    assert (answer.status, answer.error["code"]) == (400, "gpt_credential_missing")
    assert (also.status, also.error["code"]) == (400, "gpt_credential_missing")
    assert backend.requests == []


@pytest.mark.parametrize("strategy", ["error", "oss"])
def test_without_passthrough_no_other_credential_counts(tmp_path: Path, strategy: str) -> None:
    """The other strategies know the local key only."""
    with running_bridge(tmp_path / "project", GPT_MODEL_STRATEGY=strategy) as bridge:
        assert post(bridge, GPT, OWN).error["code"] == "unauthorized"


def test_a_body_that_names_no_model(tmp_path: Path) -> None:
    """A stranger gets a 401, a known client the error of the body."""
    with GptBackend() as backend, passing(tmp_path, backend) as bridge:
        for body in (b"", b"{", b"[]", b'{"model": 7}', b'{"model": ""}', b"\xff"):
            assert bridge.request("POST", "/v1/responses", body, OWN).error["code"] == "credential_not_vouched"
            assert bridge.request("POST", "/v1/responses", body).status == 400
    assert backend.requests == []


# --- WebSocket ------------------------------------------------------------------------------------------------


def upgrade(bridge: BridgeProcess, headers: Mapping[str, str]) -> str:
    """The status line that a handshake gets."""
    lines = ["GET /v1/responses HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", bridge.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.recv(65536).split(b"\r\n")[0].decode()


def test_a_socket_with_another_credential_goes_back_to_http(tmp_path: Path) -> None:
    """426 for it, with and without the local key beside; the local key alone is accepted."""
    with GptBackend() as backend, passing(tmp_path, backend) as bridge:
        assert " 426 " in upgrade(bridge, OWN)
        assert " 426 " in upgrade(bridge, {**OWN, "X-Codex-Oss-Key": LOCAL_KEY})
        assert " 101 " in upgrade(bridge, {"Authorization": f"Bearer {LOCAL_KEY}"})
        assert " 101 " in upgrade(bridge, {"X-Codex-Oss-Key": LOCAL_KEY})
        assert " 401 " in upgrade(bridge, {})


def test_a_gpt_model_within_a_socket(tmp_path: Path) -> None:
    """A clear error, and the connection goes on."""
    from websockets.sync.client import connect

    with GptBackend() as backend, passing(tmp_path, backend) as bridge:
        address = f"ws://127.0.0.1:{bridge.port}/v1/responses"
        with connect(address, additional_headers={"Authorization": f"Bearer {LOCAL_KEY}"}) as client:
            client.send(json.dumps({"type": "response.create", **GPT}))
            answer = json.loads(client.recv(10))
    assert (answer["status"], answer["error"]["code"]) == (400, "gpt_credential_missing")
    assert backend.requests == []


# --- the list of models ---------------------------------------------------------------------------------------

MODELS = "/v1/models?client_version=0.169.0"


def test_two_lists_of_models_are_one(tmp_path: Path) -> None:
    """The backend's entries and keys as they came, then ours; one tag for both, known again and told by turns."""
    with GptBackend([message("x")]) as backend, passing(tmp_path, backend) as bridge:
        signed_in = account(backend)
        answer = bridge.request("GET", MODELS, headers={**signed_in, "Accept-Encoding": "gzip, zstd"})
        tag = answer.headers["etag"]
        again = bridge.request("GET", MODELS, headers={**signed_in, "If-None-Match": tag})
        backend.models = replace(backend.models, headers=(("ETag", '"models-2"'),))
        turn = post(bridge, GPT, signed_in)
        ours = bridge.request("GET", MODELS)
    listed = [entry["slug"] for entry in answer.json["models"]]
    assert listed == [GPT_MODEL, *(entry["slug"] for entry in ours.json["models"])]
    assert answer.json["plan"] == "pro"
    assert answer.json["data"] == ours.json["data"]
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert turn.headers["x-models-etag"] == tag != MODELS_TAG
    assert backend.requests[0].path == "/backend-api/codex/models?client_version=0.169.0"
    assert backend.requests[1].headers["if-none-match"] == MODELS_TAG


@pytest.mark.parametrize(
    "rude",
    [
        error(500),
        html(200),
        error(404),
        mute(Reset()),
        mute(),
        Scripted((Stall(),)),
        replace(message("x"), headers=(("Content-Encoding", "gzip"),)),
        body(b'{"models": "' + b"x" * 9_000_000 + b'"}'),
    ],
    ids=["500", "html", "404", "reset", "mute", "stall", "gzip", "large"],
)
def test_ours_alone_when_the_backend_fails(tmp_path: Path, rude: Scripted) -> None:
    """Whatever the backend does, Codex gets a list before it gives up."""
    with GptBackend() as backend, passing(tmp_path, backend) as bridge:
        backend.models = rude
        answer = bridge.request("GET", MODELS, headers=account(backend))
        ours = bridge.request("GET", MODELS)
    assert (answer.status, answer.json) == (200, ours.json)


def test_an_expired_token_is_told_so(tmp_path: Path) -> None:
    """A 401 for the list reaches the client, which can refresh."""
    with GptBackend() as backend, passing(tmp_path, backend) as bridge:
        answer = bridge.request("GET", MODELS, headers={**account(backend), "Authorization": "Bearer old"})
    assert (answer.status, answer.json["error"]["code"]) == (401, "token_expired")


# --- the alias ------------------------------------------------------------------------------------------------


def test_a_gpt_name_as_an_alias(tmp_path: Path) -> None:
    """`oss` answers a gpt name by the named open model; the local key is wanted as ever."""
    seen: list[Any] = []

    def script(request: Request) -> Scripted:
        seen.append(request.json["model"])
        return text("an open model")

    strategy = {"GPT_MODEL_STRATEGY": "oss", "GPT_MODEL_OSS_FALLBACK": "glm"}
    with (
        ChatUpstream(script) as upstream,
        running_bridge(tmp_path / "project", upstream=upstream.base_url, **strategy) as bridge,
    ):
        answer = bridge.post(GPT)
        health = bridge.request("GET", "/health").json
    assert answer.json["output"][0]["content"][0]["text"] == "an open model"
    assert answer.json["model"] == GPT_MODEL
    assert seen == ["glm-5.1"]
    assert health["gpt_model_strategy"] == "oss"
