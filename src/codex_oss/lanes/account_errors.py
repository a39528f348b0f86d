"""What a client is told when no account answered its turn.

Counterparts: `lanes.chatgpt` raises it; `server.errors` turns it into the form that each client acts on.

| what happened last | the client gets |
| --- | --- |
| the pool has nobody | NoAccountReady, as the pool says |
| every token is refused | NoAccountReady `accounts_need_login` |
| a page of the edge | Unavailable `edge_challenge`: nothing is wrong with the account |
| no account has the model | UpstreamRefused `model_not_found` |
| overloaded, unreachable | Unavailable; UpstreamProtocolError for an answer that is none |
| refused | the backend's words, with the code that they mean |

Rule: an overloaded backend or a missing model explains more than an empty pool, so it is told first.
"""

from __future__ import annotations

from typing import Final

from codex_oss.accounts.failures import Failure
from codex_oss.errors import (
    BridgeError,
    ContextWindowExceeded,
    NoAccountReady,
    Unavailable,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamRefused,
)
from codex_oss.lanes.account_request import AccountFailed

MAX_QUOTED: Final = 300
NO_ANSWER: Final = "The ChatGPT backend answered with something else than a model's answer."


def final_error(
    failed: AccountFailed | None, none_left: BridgeError | None, model: str, *, unserved: bool
) -> BridgeError:
    """The error of a turn.

    failed: the last request. none_left: why nobody is left to ask. unserved: no account's catalog has the model.
    """
    failure = failed.failure if failed is not None else None
    pool = none_left if isinstance(none_left, NoAccountReady) else None
    if pool is not None and pool.code == "accounts_unavailable":
        if failure is not None and failure.kind in ("expired", "revoked"):
            return NoAccountReady(
                "The ChatGPT backend refuses the token of every account.",
                hint="Sign in again with codex-oss login.",
                code="accounts_need_login",
            )
        if unserved:
            return _no_such_model(model, "")
    if failure is None or failed is None or failure.kind not in _TOLD:
        return none_left or Unavailable("The ChatGPT backend did not answer.")
    return _of_failure(failure, failed.error, model)


_TOLD: Final = ("edge", "model", "overloaded", "refused")


def _of_failure(failure: Failure, error: UpstreamError | None, model: str) -> BridgeError:
    said = _quoted(failure.message)
    match failure.kind:
        case "edge":
            return Unavailable(
                "The ChatGPT backend is behind a page that only a browser gets past; your account is fine.",
                hint="Try another network, or wait: a proxy, VPN or address of this machine is being checked.",
                code="edge_challenge",
            )
        case "model":
            return _no_such_model(model, said)
        case "overloaded":
            if isinstance(error, Unavailable):
                return error
            if error is not None and error.code == UpstreamProtocolError.code:
                return UpstreamProtocolError(NO_ANSWER, hint="Is a proxy in between that answers by itself?")
            return Unavailable(f"The ChatGPT backend is overloaded or failed (HTTP {failure.status}).{said}")
    if error is not None:
        return error
    if failure.code == "context_length_exceeded" or failure.status == 413:
        return ContextWindowExceeded(f"The conversation is too long for {model!r}.{said}")
    return UpstreamRefused(f"The ChatGPT backend refused the request (HTTP {failure.status}).{said}")


def _no_such_model(model: str, said: str) -> UpstreamRefused:
    return UpstreamRefused(
        f"No ChatGPT account has the model {model[:80]!r}.{said}",
        hint="GET /v1/models lists the models.",
        code="model_not_found",
    )


def _quoted(words: str) -> str:
    """Words of the backend as one line."""
    line = " ".join(words.split())
    kept = "".join(char for char in line if char.isprintable())[:MAX_QUOTED]
    return f" {kept}" if kept else ""
