"""Who may speak to the bridge: key, Host and Origin, body limits, and the form of errors."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from codex_oss.config import Config
from codex_oss.server.access import Access, host_name
from tests.fakes.bridge_process import LOCAL_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import ChatUpstream, text

AUTH = {"Authorization": f"Bearer {LOCAL_KEY}"}
PATHS = ["/health", "/v1/health", "/metrics", "/v1/models", "/models", "/nowhere"]


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One bridge with a small body limit."""
    project = tmp_path_factory.mktemp("access") / "project"
    (project / ".codex-oss").mkdir(parents=True)
    (project / ".codex-oss" / "config.toml").write_text("max_body_bytes = 2000\n")
    with (
        ChatUpstream(lambda _: text("ok")) as upstream,
        running_bridge(project, upstream=upstream.base_url) as process,
    ):
        yield process


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:4000", ""])
def test_a_web_page_gets_nothing(bridge: BridgeProcess, path: str, origin: str) -> None:
    """Any Origin is refused on every route, key or not, and no CORS header is ever sent."""
    answer = bridge.request("GET", path, headers={**AUTH, "Origin": origin})
    assert (answer.status, answer.error["code"]) == (403, "forbidden_origin")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_preflight_and_cross_site_get_nothing(bridge: BridgeProcess) -> None:
    """A CORS preflight, and a cross-site load without Origin, are refused too."""
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert bridge.request("OPTIONS", "/v1/responses", headers=preflight).status == 403
    assert bridge.request("GET", "/health", headers={"Sec-Fetch-Site": "cross-site"}).status == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "localhost:80:80", "[::1", "127.0.0.1:"])
def test_a_rebound_name_is_refused(bridge: BridgeProcess, host: str) -> None:
    """Only loopback names are taken as Host, so a name rebound to 127.0.0.1 gets nothing."""
    answer = bridge.request("GET", "/health", headers={"Host": host})
    assert (answer.status, answer.error["code"]) == (403, "forbidden_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:4000", "127.0.0.1:9"])
def test_loopback_names_pass(bridge: BridgeProcess, host: str) -> None:
    """Every loopback name passes, with any port (tunnels change it)."""
    assert bridge.request("GET", "/health", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer sk-local-tes", f"Bearer {LOCAL_KEY}x", f"Basic {LOCAL_KEY}", LOCAL_KEY, "Bearer é"]
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/nowhere"])
def test_the_key_is_needed(bridge: BridgeProcess, path: str, header: str) -> None:
    """Without the exact key every route but /health says so, and no route is betrayed."""
    answer = bridge.request("GET", path, headers={"Authorization": header.encode().decode("latin-1")})
    assert (answer.status, answer.error["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.error["message"] == (
        "The local key is missing or wrong. "
        "Send the bridge's PROXY_API_KEY (not the upstream key) as `Authorization: Bearer`."
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/responses/", 404, "not_found"),
        ("GET", "/v1/responses", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_wrong_routes_are_json(bridge: BridgeProcess, method: str, path: str, status: int, code: str) -> None:
    """404 and 405 are errors in the same JSON form, with a request id."""
    answer = bridge.request(method, path, headers=AUTH)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert set(answer.error) == {"message", "type", "code", "param"}
    assert answer.headers["x-request-id"].startswith("req_")


def test_a_large_body_is_refused_by_its_length(bridge: BridgeProcess) -> None:
    """A declared length above the limit is refused."""
    answer = bridge.request("POST", "/v1/responses", b"x" * 2001, AUTH)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


def test_a_large_chunked_body_is_refused(bridge: BridgeProcess) -> None:
    """A body without a length is refused as soon as it grows too large."""
    connection = bridge.connect()
    connection.request("POST", "/v1/responses", iter([b"x" * 1500, b"x" * 1500]), AUTH, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["code"] == "request_too_large"
    connection.close()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd, gzip"])
def test_compressed_bodies_are_refused(bridge: BridgeProcess, encoding: str) -> None:
    """A compressed body is told apart from bad JSON."""
    answer = bridge.request("POST", "/v1/responses", b"{}", {**AUTH, "Content-Encoding": encoding})
    assert answer.status == 400
    said = f"Request bodies with Content-Encoding '{encoding}' are not supported."
    assert answer.error["message"] == f"{said} Send the JSON uncompressed, or with zstd."


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{" * 1900, b'{"model": 1}'])
def test_bad_bodies(bridge: BridgeProcess, body: bytes) -> None:
    """Nonsense is a 400 in our form, never a 500."""
    answer = bridge.request("POST", "/v1/responses", body, AUTH)
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")


def test_models_list(bridge: BridgeProcess) -> None:
    """The list is in OpenAI's form and names every raw alias once."""
    listing = bridge.request("GET", "/v1/models").json
    names = [entry["id"] for entry in listing["data"]]
    assert listing["object"] == "list"
    assert len(names) == len(set(names))
    assert {"ocg-kimi-k2.6", "ocg-deepseek-v4-pro", "ocg-minimax-m2.5", "mission-a3-kimi"} <= set(names)


def test_the_models_list_holds_the_form_of_codex(bridge: BridgeProcess) -> None:
    """The same names under `models`; whoever knows them already gets a 304 without a body."""
    first = bridge.request("GET", "/v1/models?client_version=0.169.0")
    assert [entry["slug"] for entry in first.json["models"]] == [entry["id"] for entry in first.json["data"]]
    tag = {"If-None-Match": first.headers["etag"]}
    again = bridge.request("GET", "/v1/models?client_version=0.169.0", headers={**AUTH, **tag})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    other = bridge.request("GET", "/v1/models", headers={**AUTH, "If-None-Match": '"other"'})
    assert other.json == first.json


def test_an_allowed_origin_passes() -> None:
    """An origin that the user listed passes, but still needs the key."""
    access = Access(_nothing, Config(allowed_origins=("http://localhost:3000",), local_key="k"))
    headers = {"origin": "http://localhost:3000", "host": "localhost"}
    refusal = access.refusal(Headers(headers), "/v1/models")
    assert refusal is not None
    assert refusal.code == "unauthorized"
    assert access.refusal(Headers({**headers, "authorization": "Bearer k"}), "/v1/models") is None


@pytest.mark.parametrize(
    ("host", "name"), [("[::1]:80", "::1"), ("[::1]", "::1"), ("A.b:1", "a.b"), ("a:²", ""), ("[::1]x", ""), ("", "")]
)
def test_host_name(host: str, name: str) -> None:
    """The name of a Host header; nonsense has none."""
    assert host_name(host) == name


async def _nothing(*_: object) -> None:
    raise AssertionError("not called")


@pytest.mark.parametrize("filler", [b"X: " + b"a" * 65_536, b"X: a\r\n" * 10_000], ids=["one header", "many headers"])
def test_a_head_without_end_is_cut_off(tmp_path: Path, filler: bytes) -> None:
    """Whoever sends headers on and on gets a 400 and an end, not the bridge's memory; a large body is no large head."""
    with running_bridge(tmp_path / "project") as bridge:
        with socket.create_connection(("127.0.0.1", bridge.port), timeout=10) as connection:
            answer = b""
            with suppress(ConnectionError):  # the answer may overtake what is still being sent
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")
                for _ in range(200):
                    connection.sendall(filler)
            with suppress(ConnectionError):
                answer = connection.recv(65_536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
        body = json.dumps({"model": "nobody", "input": "x" * 500_000}).encode()
        assert bridge.request("POST", "/v1/responses", body).error["code"] == "model_not_found"
