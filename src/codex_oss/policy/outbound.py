"""Where a relayed GPT request may travel, and what of it: an exact list of backends, and the headers that go along.

Counterparts: `server.gpt_relay` asks, `services.relay` sends, `config` admits a stand-in for tests on loopback only.

| the request shows | it goes to |
| --- | --- |
| `chatgpt-account-id` | the ChatGPT backend |
| a bearer token without it | the OpenAI API |

With `GPT_MODEL_STRATEGY=accounts` nothing of a client's travels; there it is one fixed address (`AccountBackend`).

Rules that hold here:

1. A URL is one of two fixed bases and one of four fixed endpoints; of the client's address only the query goes along.
2. Of the headers everything end-to-end travels, byte for byte, in both directions. What stays here: what belongs to one
   connection (RFC 9110 §7.6.1 and whatever `Connection` names), `Host`, everything `x-codex-oss-*`, and cookies: those
   of 127.0.0.1 belong to any server of this machine, whatever its port.
3. `Content-Length` of a request is set anew for the same bytes; that of an answer travels, so that a cut one is seen.
4. A credential of the client's own is one bearer token that is no key of ours. Nothing of ours ever takes its place.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from codex_oss.errors import InvalidRequest, LocalProtocolError
from codex_oss.setting_values import LOOPBACK_URL

OPENAI_BASE: Final = "https://api.openai.com/v1"
CHATGPT_BASE: Final = "https://chatgpt.com/backend-api/codex"
ALLOWED_BASES: Final = frozenset({OPENAI_BASE, CHATGPT_BASE})

Endpoint = Literal["responses", "responses/compact", "chat/completions", "models"]
ENDPOINTS: Final[dict[Endpoint, str]] = {
    "responses": "POST",
    "responses/compact": "POST",
    "chat/completions": "POST",
    "models": "GET",
}
RELAYED: Final[dict[tuple[str, str], Endpoint]] = {
    (method, f"{prefix}/{endpoint}"): endpoint for endpoint, method in ENDPOINTS.items() for prefix in ("/v1", "")
}
"""(method, path here) to the endpoint there. Nothing else is relayed."""

OUR_KEY_HEADER: Final = "x-codex-oss-key"
OUR_PREFIX: Final = b"x-codex-oss-"
ACCOUNT_HEADER: Final = b"chatgpt-account-id"
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
STAYS_OF_REQUEST: Final = HOP_BY_HOP | {b"host", b"content-length", b"expect", b"cookie"}
STAYS_OF_ANSWER: Final = HOP_BY_HOP | {b"set-cookie", b"date"}
"""`Date` is written by our own server; two of them would be one too many."""
QUERY: Final = re.compile(rb"[!$-;=?-~]*|")
"""Printable ASCII without blank, quote, `#`, `<` and `>`."""

Headers = Sequence[tuple[bytes, bytes]]
"""(name, value) in the order of the wire; names in any case."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client shows of its own. Lives as long as its request."""

    token: bytes
    account: bytes = b""
    """`chatgpt-account-id`; empty for an API key."""

    def __repr__(self) -> str:
        return "Credential(…)"


@dataclass(frozen=True, slots=True)
class Backends:
    """The two bases. Raises LocalProtocolError for one that is neither on the list nor on this machine."""

    openai: str = OPENAI_BASE
    chatgpt: str = CHATGPT_BASE

    def __post_init__(self) -> None:
        for base in (self.openai, self.chatgpt):
            if base not in ALLOWED_BASES and not LOOPBACK_URL.fullmatch(base):
                raise LocalProtocolError("A backend must be one of the fixed two, or on loopback.")

    def url(self, credential: Credential, endpoint: Endpoint, query: bytes = b"") -> str:
        """Where a request with this credential goes. query: as it came, without `?`. Raises InvalidRequest."""
        if not QUERY.fullmatch(query):
            raise InvalidRequest("The query of the address holds characters that no URL may hold.")
        base = self.chatgpt if credential.account else self.openai
        return f"{base}/{endpoint}" + (f"?{query.decode()}" if query else "")


ACCOUNT_BASE: Final = "https://chatgpt.com/backend-api"
ACCOUNT_ENDPOINTS: Final = frozenset({"codex/responses", "codex/models", "codex/usage", "wham/usage"})


@dataclass(frozen=True, slots=True)
class AccountBackend:
    """Where an account's token may travel. Raises LocalProtocolError for a base that is neither this nor loopback."""

    base: str = ACCOUNT_BASE

    def __post_init__(self) -> None:
        if self.base != ACCOUNT_BASE and not LOOPBACK_URL.fullmatch(self.base):
            raise LocalProtocolError("A token of an account travels to the ChatGPT backend only, or on loopback.")

    def url(self, endpoint: str) -> str:
        """The address of an endpoint. Raises LocalProtocolError for one that is not on the list."""
        if endpoint not in ACCOUNT_ENDPOINTS:
            raise LocalProtocolError("This endpoint of the ChatGPT backend is not on the list.")
        return f"{self.base.removesuffix('/codex')}/{endpoint}"


def shown_bearer(headers: Headers) -> bytes:
    """The token of the one `Authorization: Bearer` header; empty when there is none, or more than one header."""
    values = [value for name, value in headers if name.lower() == b"authorization"]
    if len(values) != 1:
        return b""
    scheme, _, token = values[0].partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def own_credential(headers: Headers, ours: Iterable[bytes]) -> Credential | None:
    """What the client shows of its own; None for nothing, for the local key and for any key that this bridge holds.

    Two account ids are one too many to know the backend by: None as well.
    """
    token = shown_bearer(headers)
    accounts = [value.strip() for name, value in headers if name.lower() == ACCOUNT_HEADER]
    if not token or len(accounts) > 1 or is_one_of(token, ours):
        return None
    return Credential(token, accounts[0] if accounts else b"")


def is_one_of(token: bytes, ours: Iterable[bytes]) -> bool:
    """Whether *token* is one of *ours*; takes the same time wherever they differ."""
    return any([hmac.compare_digest(token, key) for key in ours])  # noqa: C419 (all of them, whatever the first says)


def request_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of a client that travel to a backend, in their order."""
    return _travelling(headers, STAYS_OF_REQUEST)


def answer_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of a backend that travel to a client, in their order."""
    return _travelling(headers, STAYS_OF_ANSWER)


def _travelling(headers: Headers, stays: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    stays = stays | _named_by_connection(headers)
    kept = ((name, value) for name, value in headers if name.lower() not in stays)
    return [(name, value) for name, value in kept if not name.lower().startswith(OUR_PREFIX)]


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    values = (value for name, value in headers if name.lower() == b"connection")
    return frozenset(word.strip().lower() for value in values for word in value.split(b","))
