"""Where relayed requests may go and which headers go along, attacked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.config import parse_config
from codex_oss.errors import InvalidRequest, LocalProtocolError
from codex_oss.policy.outbound import (
    ACCOUNT_BASE,
    ACCOUNT_ENDPOINTS,
    ALLOWED_BASES,
    CHATGPT_BASE,
    OPENAI_BASE,
    RELAYED,
    AccountBackend,
    Backends,
    Credential,
    answer_headers,
    own_credential,
    request_headers,
    shown_bearer,
)

KEY = Credential(b"sk-own")
ACCOUNT = Credential(b"jwt", b"acct-1")
NAMES = st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)
VALUES = st.binary(max_size=30)


def test_the_credential_chooses_the_backend() -> None:
    """An account goes to the ChatGPT backend, an API key to the OpenAI API; nothing else is ever named."""
    backends = Backends()
    assert backends.url(ACCOUNT, "responses") == "https://chatgpt.com/backend-api/codex/responses"
    assert backends.url(KEY, "chat/completions") == "https://api.openai.com/v1/chat/completions"
    assert backends.url(ACCOUNT, "models", b"client_version=0.169.0").endswith("/codex/models?client_version=0.169.0")
    assert {OPENAI_BASE, CHATGPT_BASE} == ALLOWED_BASES


HOSTILE = [
    "https://evil.example/v1",
    "https://api.openai.com.evil.example/v1",
    "https://api.openai.com/v1/../../x",
    "http://api.openai.com/v1",
    "https://api.openai.com:444/v1",
    "http://127.0.0.1@evil.example/v1",
    "http://127.0.0.1:80@evil.example/",
    "http://127.0.0.1.evil.example/",
    "http://evil.example#@127.0.0.1/",
    "http://evil.example\\@127.0.0.1/",
    "http://127.0.0.1:1/v1?x=http://evil.example",
    "http://127.0.0.1:1/v1#x",
    "http://127.0.0.1:1/\r\nHost: evil.example",
    "http://127.0.0.1:1/v1\n",
    "http://127.1/",
    "http://0.0.0.0:1/",
    "http://[::1/",
    "//127.0.0.1/",
    "file:///etc/passwd",
    "localhost:80",
    "",
]


@pytest.mark.parametrize("base", HOSTILE)
def test_no_other_base_is_taken(base: str) -> None:
    """What is neither on the list nor plainly this machine is refused by the policy and named by the configuration."""
    with pytest.raises(LocalProtocolError):
        Backends(openai=base)
    if base.strip() == base and base:
        _, problems = parse_config(flags={}, environ={"CODEX_OSS_CHATGPT_BASE_URL": base}, files=[])
        assert [problem.key for problem in problems] == ["CODEX_OSS_CHATGPT_BASE_URL"]


@pytest.mark.parametrize("base", ["http://127.0.0.1:8080/v1", "http://localhost", "https://[::1]:1/backend-api/codex/"])
def test_a_stand_in_on_this_machine(base: str) -> None:
    """Loopback addresses are taken, without their last slash."""
    config, problems = parse_config(flags={}, environ={"CODEX_OSS_OPENAI_BASE_URL": base}, files=[])
    assert problems == []
    assert config.openai_base_url == base.rstrip("/")
    assert Backends(openai=base.rstrip("/")).url(KEY, "responses") == f"{base.rstrip('/')}/responses"


@given(st.binary(max_size=40))
def test_a_query_never_changes_the_address(query: bytes) -> None:
    """Whatever a client sends behind the `?` stays there, or is refused."""
    try:
        url = Backends().url(KEY, "models", query)
    except InvalidRequest:
        return
    base, mark, rest = url.partition("?")
    assert base == "https://api.openai.com/v1/models"
    assert rest.encode() == query
    assert bool(mark) == bool(query)
    assert not {"#", " ", "\r", "\n"} & set(url)


def test_the_relayed_addresses() -> None:
    """Four endpoints, with and without `/v1`, each by one method."""
    assert len(RELAYED) == 8
    assert RELAYED["POST", "/v1/responses"] == RELAYED["POST", "/responses"] == "responses"
    assert ("GET", "/v1/responses") not in RELAYED
    assert ("POST", "/v1/models") not in RELAYED


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_other_headers_travel_as_they_are(headers: list[tuple[bytes, bytes]]) -> None:
    """End-to-end headers keep their order, case, number and bytes; what stays is exactly the named ones."""
    kept = request_headers(headers)
    named = {
        word.strip().lower() for name, value in headers if name.lower() == b"connection" for word in value.split(b",")
    }
    stays = {b"host", b"content-length", b"cookie", b"connection", b"transfer-encoding", b"te", b"upgrade", b"expect"}
    stays |= {b"keep-alive", b"trailer", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate"} | named
    ours = b"x-codex-oss-"
    assert kept == [one for one in headers if one[0].lower() not in stays and not one[0].lower().startswith(ours)]


def test_what_travels_of_codex() -> None:
    """Credential, account, session and encoding go along; our key, the host and cookies do not, in any case."""
    travels = [
        (b"authorization", b"Bearer jwt"),
        (b"ChatGPT-Account-Id", b"acct"),
        (b"session-id", b"s"),
        (b"x-codex-turn-metadata", b'{"a": "\xc3\xa9"}'),
        (b"x-openai-subagent", b"collab_spawn"),
        (b"content-encoding", b"zstd"),
        (b"accept-encoding", b"gzip"),
        (b"user-agent", b"codex_exec"),
    ]
    stays = [
        (b"Host", b"127.0.0.1"),
        (b"X-Codex-Oss-Key", b"local"),
        (b"Cookie", b"a=b"),
        (b"Connection", b"keep-alive, X-Private"),
        (b"x-private", b"1"),
        (b"Content-Length", b"3"),
    ]
    assert request_headers([*stays[:3], *travels, *stays[3:]]) == travels
    answered = [(b"Content-Length", b"3"), (b"x-codex-turn-state", b"t"), (b"Content-Encoding", b"br")]
    assert answer_headers([*answered, (b"Set-Cookie", b"x"), (b"Transfer-Encoding", b"chunked")]) == answered


@pytest.mark.parametrize(
    "values",
    [[], [b""], [b"Bearer"], [b"Bearer "], [b"Basic eA=="], [b"sk-own"], [b"Bearer a", b"Bearer a"], [b"Bearer local"]],
)
def test_what_is_no_credential(values: list[bytes]) -> None:
    """No bearer, two of them, another scheme, or a key of ours: nothing that could be relayed."""
    assert own_credential([(b"Authorization", value) for value in values], {b"local", b"upstream"}) is None


def test_no_key_of_ours_is_a_credential() -> None:
    """The local key and every upstream key stay here, whichever a client shows; so does a request with two accounts."""
    ours = {b"local", b"upstream"}
    assert own_credential([(b"authorization", b"Bearer upstream")], ours) is None
    assert own_credential([(b"authorization", b"bearer  jwt ")], ours) == Credential(b"jwt")
    accounts = [(b"chatgpt-account-id", b"a"), (b"Chatgpt-Account-Id", b"b")]
    assert own_credential([(b"authorization", b"Bearer jwt"), *accounts[:1]], ours) == Credential(b"jwt", b"a")
    assert own_credential([(b"authorization", b"Bearer jwt"), *accounts], ours) is None
    assert "jwt" not in repr(Credential(b"jwt"))


@given(st.lists(st.tuples(st.just(b"authorization"), VALUES), max_size=3))
def test_any_header_is_read(headers: list[tuple[bytes, bytes]]) -> None:
    """No value makes it fail; a token has no blank around it."""
    token = shown_bearer(headers)
    assert token == token.strip()


def test_where_a_token_of_an_account_travels() -> None:
    """One address, or the same path on this machine; nothing of a client has a say in it."""
    assert AccountBackend().url("codex/responses") == "https://chatgpt.com/backend-api/codex/responses"
    assert AccountBackend("http://127.0.0.1:9/x").url("codex/responses") == "http://127.0.0.1:9/x/codex/responses"
    assert AccountBackend("http://[::1]:9/codex").url("codex/responses") == "http://[::1]:9/codex/responses"
    assert ACCOUNT_BASE == "https://chatgpt.com/backend-api"


@pytest.mark.parametrize(
    "base",
    [
        "http://chatgpt.com/backend-api",
        "https://chatgpt.com/backend-api/",
        "https://chatgpt.com.evil.example/backend-api",
        "https://a@chatgpt.com/backend-api",
        "https://chatgpt.com:8443/backend-api",
        "https://sub.chatgpt.com/backend-api",
        "https://CHATGPT.com/backend-api",
        "http://127.0.0.1@evil.example/x",
        "http://10.0.0.1:1/x",
        "",
    ],
)
def test_a_token_of_an_account_travels_nowhere_else(base: str) -> None:
    """Another scheme, host, port, user or path is a fault of ours, whoever named it."""
    with pytest.raises(LocalProtocolError):
        AccountBackend(base)


@given(st.text(max_size=20))
def test_only_listed_endpoints_are_asked(endpoint: str) -> None:
    """A path is never put together."""
    if endpoint not in ACCOUNT_ENDPOINTS:
        with pytest.raises(LocalProtocolError):
            AccountBackend().url(endpoint)
