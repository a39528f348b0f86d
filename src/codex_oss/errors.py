"""The errors of the bridge: one root, a machine code, a sentence for a person, a hint what to do next.

    BridgeError(code, message, hint)
    ├─ RequestError      the caller is wrong    InvalidRequest · UnknownModel · Unauthorized · ConfigInvalid
    │                                           HandoffInvalid · ContractInvalid
    ├─ UpstreamError     the peer failed        UpstreamProtocolError · Unavailable · RateLimited
    │                                           UpstreamRefused · ContextWindowExceeded · AnswerInvalid ·
    │                                           StreamInterrupted · QuotaExhausted · CircuitOpen
    ├─ AccountError      no usable credential   NoAccountReady · LoginFailed
    ├─ StoreError        our disk               LogConflict · LogCorrupt
    ├─ SandboxError      a command stays unrun
    └─ LocalProtocolError                       a wrong call by our own code

Rules that hold here:

1. Denials, spent budgets and thin evidence are *not* errors: they are verdicts, events and closure states.
2. Tokens, prompts and file contents never enter a message.
3. A foreign exception becomes one of these at the service that met it, with `from exc`.
4. One table maps a code to the HTTP status, one to the Responses `error.code` that Codex acts on
   (Observed: Codex CLI 0.169; `docs/errors.md` lists both, a test compares them).
"""

from __future__ import annotations

from typing import Final


class BridgeError(Exception):
    """Root of all errors that a caller may see.

    code: stable, `snake_case`; programs may match on it.
    message: one sentence for a person.
    hint: what to do next; may be empty.
    """

    code: str = "internal"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code:
            self.code = code


class RequestError(BridgeError):
    """The caller asked wrongly; asking the same again cannot succeed."""

    code = "invalid_request"

    def __init__(self, message: str, *, hint: str = "", code: str = "", param: str | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.param = param


class InvalidRequest(RequestError):
    """The request body or its arguments do not fit the protocol."""


class UnknownModel(RequestError):
    """No lane answers to this model name."""

    code = "model_not_found"


class Unauthorized(RequestError):
    """The local key is missing or wrong, or the request came from a web page."""

    code = "unauthorized"


class ConfigInvalid(RequestError):
    """A configuration value is unusable; the message names file, key and what was expected."""

    code = "config_invalid"


class HandoffInvalid(RequestError):
    """The mission block is missing, broken or present more than once."""

    code = "handoff_missing"


class ContractInvalid(RequestError):
    """The mission parsed but breaks a rule of MissionV1; `problems` lists every breach."""

    code = "contract_invalid"


class UpstreamError(BridgeError):
    """The model server failed. `retryable` says whether the same request may succeed later."""

    code = "upstream_error"
    retryable = True


class UpstreamProtocolError(UpstreamError):
    """The peer sent bytes that are not the protocol it claims to speak."""

    code = "upstream_protocol_error"


class Unavailable(UpstreamError):
    """The peer cannot be reached, is overloaded or did not answer in time."""

    code = "upstream_unavailable"


class RateLimited(UpstreamError):
    """The peer asks for patience. retry_after_s: seconds, None when it did not say."""

    code = "rate_limited"

    def __init__(self, message: str, *, hint: str = "", code: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after_s = retry_after_s


class QuotaExhausted(RateLimited):
    """The plan or quota at the peer is used up; retry_after_s says for how long, None when unknown."""

    code = "quota_exhausted"
    retryable = False


class CircuitOpen(Unavailable):
    """The peer failed several times in a row and is not asked for retry_after_s seconds."""

    code = "circuit_open"
    retryable = False

    def __init__(self, message: str, *, hint: str = "", code: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after_s = retry_after_s


class UpstreamRefused(UpstreamError):
    """The peer refuses this request or this key (4xx other than 429); repeating it is useless."""

    code = "upstream_refused"
    retryable = False


class ContextWindowExceeded(UpstreamError):
    """The conversation is longer than the model can read."""

    code = "context_length_exceeded"
    retryable = False


class AnswerInvalid(UpstreamError):
    """The model, asked twice, did not answer in the form that the request demands (schema, tool choice)."""

    code = "answer_invalid"
    retryable = False


class StreamInterrupted(UpstreamError):
    """The stream ended before its closing event."""

    code = "stream_interrupted"


class AccountError(BridgeError):
    """No account of the user's can answer. Never names a token."""

    code = "account_error"


class NoAccountReady(AccountError):
    """Every account is held back. resets_at: epoch seconds, only where a backend named the instant; else None.

    Codes: `no_accounts_configured`, `accounts_need_login`, `no_enabled_accounts`, `usage_limit_reached`,
    `accounts_unavailable` (the rest: workspaces that refuse, pauses after failures).
    """

    code = "accounts_unavailable"

    def __init__(self, message: str, *, hint: str = "", code: str = "", resets_at: float | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.resets_at = resets_at


class LoginFailed(AccountError):
    """A sign-in that came to nothing.

    Codes: `login_denied`, `login_expired`, `login_refused`, `login_port_busy`, `login_state_mismatch`,
    `login_cancelled`, `login_under_way`, `login_unidentified`, `login_device_off`, `issuer_unavailable`.
    """

    code = "login_refused"


class StoreError(BridgeError):
    """Our own disk failed or holds something else than expected."""

    code = "store_error"


class LogConflict(StoreError):
    """Another writer appended first; expected and found are sequence numbers."""

    code = "log_conflict"

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"The event log moved on: expected sequence {expected}, found {found}.")
        self.expected = expected
        self.found = found


class LogCorrupt(StoreError):
    """A committed line of the event log does not verify. line is 1-based."""

    code = "log_corrupt"

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"Line {line} of the event log does not verify: {reason}.")
        self.line = line
        self.reason = reason


class SandboxError(BridgeError):
    """A command that was not run, because it could not be enclosed.

    Codes: `sandbox_unavailable` (no level works here), `sandbox_root_refused` (the folder would enclose nothing),
    `sandbox_failed` (the enclosure could not be built this time).
    """

    code = "sandbox_unavailable"


class LocalProtocolError(BridgeError):
    """Our own code called a state machine in an order it forbids. Always a bug of ours."""

    code = "internal"


HTTP_STATUS: Final[dict[str, int]] = {
    "invalid_request": 400,
    "unsupported_bridge_model": 400,
    "unsupported_parameter": 400,
    "compaction_unreadable": 400,
    "previous_response_not_found": 400,
    "config_invalid": 500,
    "model_not_found": 404,
    "not_found": 404,
    "response_not_found": 404,
    "mission_not_found": 404,
    "mission_closed": 409,
    "mission_already_running": 409,
    "log_locked": 409,
    "cancel_unanswered": 504,
    "unauthorized": 401,
    "credential_not_vouched": 401,
    "gpt_credential_missing": 400,
    "forbidden_origin": 403,
    "forbidden_host": 403,
    "upgrade_refused": 426,
    "websocket_connection_limit_reached": 400,
    "request_too_large": 413,
    "method_not_allowed": 405,
    "rate_limited": 429,
    "capacity_exceeded": 429,
    "quota_exhausted": 429,
    "circuit_open": 503,
    "context_length_exceeded": 400,
    "context_loop_stopped": 400,
    "upstream_refused": 400,
    "upstream_unauthorized": 401,
    "upstream_key_missing": 400,
    "upstream_key_withheld": 403,
    "answer_invalid": 422,
    "upstream_error": 503,
    "upstream_protocol_error": 502,
    "upstream_unavailable": 503,
    "stream_interrupted": 502,
    "request_timeout": 408,
    "compaction_failed": 502,
    "no_accounts_configured": 401,
    "accounts_need_login": 401,
    "no_enabled_accounts": 403,
    "usage_limit_reached": 429,
    "accounts_unavailable": 503,
    "edge_challenge": 403,
    "store_error": 500,
    "key_unusable": 500,
    "internal": 500,
}
"""HTTP status for a failure met before the first byte of the answer; anything absent is 500.

What only the user can mend is a 4xx: Codex 0.169 asks a 5xx up to 30 times and then shows words of its own.
"""

RESPONSES_CODE: Final[dict[str, str]] = {
    "rate_limited": "rate_limit_exceeded",
    "capacity_exceeded": "rate_limit_exceeded",
    "quota_exhausted": "insufficient_quota",
    "circuit_open": "invalid_prompt",
    "context_length_exceeded": "context_length_exceeded",
    "context_loop_stopped": "invalid_prompt",
    "invalid_request": "invalid_prompt",
    "unsupported_bridge_model": "invalid_prompt",
    "gpt_credential_missing": "invalid_prompt",
    "unsupported_parameter": "invalid_prompt",
    "compaction_unreadable": "invalid_prompt",
    "model_not_found": "invalid_prompt",
    "upstream_refused": "invalid_prompt",
    "upstream_unauthorized": "invalid_prompt",
    "upstream_key_missing": "invalid_prompt",
    "upstream_key_withheld": "invalid_prompt",
    "answer_invalid": "invalid_prompt",
    "usage_limit_reached": "insufficient_quota",
    "no_accounts_configured": "invalid_prompt",
    "accounts_need_login": "invalid_prompt",
    "no_enabled_accounts": "invalid_prompt",
    "edge_challenge": "invalid_prompt",
}
"""`response.error.code` for a failure inside a stream; anything absent is `server_error`.

Codex 0.169 retries `server_error` and `rate_limit_exceeded`, and stops at `invalid_prompt` with its message.
"""


def fault_of(error: BaseException) -> str:
    """A foreign exception for the log: where it happened and what kind it was, without its words.

    Messages of foreign exceptions quote what they choked on, which may be a prompt, a file or a key.
    """
    import traceback  # not for the command line's start

    kinds = [type(error).__name__]
    cause = error.__cause__ or error.__context__
    while cause is not None and len(kinds) < 5:
        kinds.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return f"{' from '.join(kinds)}\n{''.join(traceback.format_tb(error.__traceback__))}"


def http_status(code: str, *, asked_wrongly: bool = False) -> int:
    """HTTP status of an error code; for one that the table does not know 500, or 400 when the caller is wrong."""
    return HTTP_STATUS.get(code, 400 if asked_wrongly else 500)


def responses_code(code: str) -> str:
    """Responses `error.code` of an error code; `server_error` for one that the table does not know."""
    return RESPONSES_CODE.get(code, "server_error")
