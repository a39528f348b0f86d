"""One request to the ChatGPT backend with one account, and its answer as turn events.

Counterparts: `lanes.chatgpt` makes several of these for a turn; `wire.account_body` says what may be sent;
`lanes.model_attempt` holds the answer back until it shows something; `lanes.account_signals` takes what the backend
says of limits and models.

    turn ─► body, seals of this account, headers ─► post ─┬─ 200 ─► decode ─► batch …
                                                          │     └─ failure before the first content ───┐
                                                          └─ other status, HTML, a broken connection ──┴─► AccountFailed

Rules that hold here:

1. A body holds nothing that another account sealed. Headers say honestly who asks unless the setting says otherwise;
   nothing of the client's own headers goes along.
2. Whatever fails before the first content is one `Failure`; behind it the failure is only noted (`failure`).
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, Literal, Protocol

from msgspec import Struct, structs

from codex_oss import __version__
from codex_oss.accounts.account import Account
from codex_oss.accounts.failures import Failure, failure_of_answer, failure_of_event
from codex_oss.accounts.quota import Quota, exhausted_until, quota_of_event, quota_of_headers
from codex_oss.contracts.profiles import ModelProfile
from codex_oss.errors import UpstreamError, UpstreamProtocolError
from codex_oss.lanes.model_attempt import Attempt, ChatAnswer
from codex_oss.policy.conversation import Conversation
from codex_oss.policy.outbound import AccountBackend
from codex_oss.wire.account_body import account_body
from codex_oss.wire.account_input import opened, own_seals, without_reasoning
from codex_oss.wire.chat_tools import ToolNames
from codex_oss.wire.codecs import AnswerDecoder
from codex_oss.wire.events import DeltaSink, TurnEvent, TurnFailed
from codex_oss.wire.items import CompactionItem, CustomToolCall, FunctionCall, TurnRequest
from codex_oss.wire.responses_body import encode_clean, responses_request
from codex_oss.wire.responses_relay import RelayDecoder
from codex_oss.wire.responses_upstream import ResponsesDecoder

Identity = Literal["codex-oss", "codex"]
IDENTITIES: Final[tuple[Identity, ...]] = ("codex-oss", "codex")
CODEX_VERSION: Final = "0.169.0"
ENDPOINT: Final = "codex/responses"
REDIRECTED: Final = "The ChatGPT backend sends elsewhere, which a token of an account never follows."


class Answer(ChatAnswer, Protocol):
    """An answer of any status."""

    @property
    def status(self) -> int:
        """The status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""

    async def excerpt(self) -> bytes:
        """The begin of a body that is no answer."""


class Backend(Protocol):
    """Whoever carries bytes to the backend; `services.backend_client.BackendClient`."""

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, total_s: float | None = None
    ) -> AbstractAsyncContextManager[Answer]:
        """Send one request; leaving the context closes the connection."""


class Signals(Protocol):
    """Whoever is told what the backend says beside its answers; `lanes.account_signals.AccountSignals`."""

    def quota(self, account: Account, told: Quota) -> None:
        """Windows of an account."""

    def catalog(self, account: Account, etag: str) -> None:
        """The tag of the account's list of models."""


class Snapshots(Protocol):
    """Whoever keeps the shape of each attempt; `services.attempt_snapshots.AttemptSnapshots`."""

    def sent(self, response_id: str, person: str, url: str, headers: Mapping[str, str], body: bytes) -> str:
        """A request goes out; returns what `answered` wants to have."""

    def answered(self, attempt: str, status: int, headers: Mapping[str, str]) -> None:
        """Its answer began. status: 0 when there was none."""


class AccountFailed(Exception):
    """The request failed and nothing was shown. error: in words of ours, where a decoder found them."""

    def __init__(self, failure: Failure, error: UpstreamError | None = None) -> None:
        super().__init__(failure.kind)
        self.failure = failure
        self.error = error


class Ask(Struct, frozen=True):
    """What is asked. sealed: the body holds sealed reasoning."""

    request: TurnRequest
    conversation: Conversation
    profile: ModelProfile
    keep_unmarked: bool = True
    """Reasoning that nobody marked goes along: the account is the one that the conversation had before."""
    with_reasoning: bool = True


class AccountRequests:
    """Asks the backend. identity: who we say we are. shape: adds instruction sets. snapshots: None keeps none.

    clock: epoch seconds.
    """

    def __init__(
        self,
        backend: Backend,
        places: AccountBackend,
        signals: Signals,
        *,
        identity: Identity = "codex-oss",
        shape: Callable[[str], str] = str,
        snapshots: Snapshots | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._url = places.url(ENDPOINT)
        self._signals = signals
        self._identity: Identity = identity
        self._shape = shape
        self._snapshots = snapshots
        self._clock = clock

    @asynccontextmanager
    async def open(self, ask: Ask, account: Account, ends_at: float, throttled: int) -> AsyncIterator[AccountAnswer]:
        """One request. ends_at: on the loop's clock. throttled: throttled answers in a row before this one.

        Raises AccountFailed.
        """
        profile = structs.replace(ask.profile, name=seal_owner(account))
        body, names, sealed = body_of(ask, profile, self._shape)
        headers = request_headers(account, ask.conversation, self._identity)
        left_s = ends_at - asyncio.get_running_loop().time()
        size = len(body)
        kept = self._snapshots
        attempt = kept.sent(ask.request.response_id, account.person_key, self._url, headers, body) if kept else ""
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(self._backend.post(self._url, headers, body, total_s=left_s))
            except UpstreamError as exc:
                if kept:
                    kept.answered(attempt, 0, {})
                raise AccountFailed(Failure("overloaded", 503, exc.code, exc.message), exc) from exc
            del body
            if kept:
                kept.answered(attempt, answer.status, answer.headers)
            told = quota_of_headers(answer.headers, self._clock())
            self._take_signals(account, answer.headers, told)
            if answer.status != 200 or answer.content_type == "text/html":
                raise await self._failure_of(answer, told, throttled)
            yield AccountAnswer(self, ask, account, answer, (names, profile, size), sealed=sealed)

    def _take_signals(self, account: Account, headers: Mapping[str, str], told: Quota | None) -> None:
        if told is not None:
            self._signals.quota(account, told)
        if etag := headers.get("x-models-etag", ""):
            self._signals.catalog(account, etag)

    async def _failure_of(self, answer: Answer, told: Quota | None, throttled: int) -> AccountFailed:
        now_s, body = self._clock(), await answer.excerpt()
        if answer.status == 200:
            return AccountFailed(Failure("edge", 200, "edge_challenge", ""))
        if 300 <= answer.status < 400:
            return AccountFailed(Failure("refused", answer.status, "redirected", ""), UpstreamProtocolError(REDIRECTED))
        failure = failure_of_answer(answer.status, answer.headers, body, now_s, failed_before=throttled)
        until_s = exhausted_until(told, now_s) if told is not None else None
        if failure.kind == "used_up" and not failure.believed and until_s is not None:
            failure = structs.replace(failure, until_s=until_s, believed=True)
        return AccountFailed(failure)

    def heed(self, answer: AccountAnswer, event: dict[str, Any]) -> bool:
        """Look at an event of a stream; True for one that is not for the client."""
        now_s = self._clock()
        if event.get("type") == "codex.rate_limits":
            if (told := quota_of_event(event, now_s)) is not None:
                self._signals.quota(answer.account, told)
            return True
        answer.failure = failure_of_event(event, now_s) or answer.failure
        return False


class AccountAnswer:
    """The answer of one account. failure: what its stream said went wrong, also behind the first content."""

    def __init__(
        self,
        requests: AccountRequests,
        ask: Ask,
        account: Account,
        answer: ChatAnswer,
        decoding: tuple[ToolNames, ModelProfile, int],
        *,
        sealed: bool,
    ) -> None:
        self.account = account
        self.failure: Failure | None = None
        self.sealed = sealed
        self._shown = False
        self._failed: Sequence[TurnEvent] = ()
        names, profile, size = decoding

        def heed(event: dict[str, Any]) -> bool:
            return requests.heed(self, event)

        decoder: AnswerDecoder
        if ask.request.untranslated is None:
            decoder = ResponsesDecoder(names, profile, request_bytes=size, heed=heed)
        else:
            decoder = RelayDecoder(ask.request, names, profile, request_bytes=size, heed=heed, owner=profile.name)
        self._attempt = Attempt(answer, decoder, profile)
        self._decoder = decoder

    @property
    def ended(self) -> bool:
        """True with the terminal event."""
        return self._decoder.ended and not self._failed

    async def next(self, sink: DeltaSink | None = None) -> Sequence[TurnEvent]:
        """The next batch, empty at the end. Raises AccountFailed before the first one, UpstreamError later."""
        if self._failed:
            failed, self._failed = self._failed, ()
            return failed
        if self._shown:
            return await self._attempt.next(sink)
        try:
            batch = await self._attempt.next(sink)
        except UpstreamError as exc:
            failure = self.failure or Failure("overloaded", 503, exc.code, exc.message)
            raise AccountFailed(failure, exc) from exc
        self._shown = True
        if batch and isinstance(batch[-1], TurnFailed):
            # One read brought content and failure: whether a client sees the content must not depend on that.
            batch, self._failed = batch[:-1], batch[-1:]
        return batch


def body_of(ask: Ask, profile: ModelProfile, shape: Callable[[str], str] = str) -> tuple[bytes, ToolNames, bool]:
    """The body for one account, the names that decode its answer, and whether sealed reasoning is in it.

    profile: its name is the owner of the account's seals. shape: gets the instructions and returns them.
    """
    request = ask.request
    if request.untranslated is None:
        raw, names = responses_request(request, profile)
    else:
        used = (item.call_id for item in request.items if isinstance(item, FunctionCall | CustomToolCall))
        names = ToolNames(request.tools, response_id=request.response_id, used_call_ids=used)
        raw = {**request.untranslated, "model": profile.model}
    items = raw.get("input")
    if isinstance(items, list):
        summaries = {item.sealed: item.summary for item in request.items if isinstance(item, CompactionItem)}
        items = own_seals(opened(items, summaries), profile.name, keep_unmarked=ask.keep_unmarked)
        raw = {**raw, "input": items if ask.with_reasoning else without_reasoning(items)}
    body, _ = account_body(raw, conversation=ask.conversation.session)
    body["instructions"] = shape(body["instructions"])
    sealed = any(item.get("type") == "reasoning" for item in body["input"])
    return encode_clean(body), names, sealed


def request_headers(account: Account, conversation: Conversation, identity: Identity) -> dict[str, str]:
    """The headers of a request: the account's token, the conversation, and who asks."""
    originator, agent = named_as(identity)
    known = {"ChatGPT-Account-Id": account.account_id} if account.account_id else {}
    return {
        "Authorization": f"Bearer {account.credential.access}",
        **known,
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "originator": originator,
        "User-Agent": agent,
        "session-id": conversation.session,
        "thread-id": conversation.thread,
    }


def seal_owner(account: Account) -> str:
    """Whose seal an account's reasoning bears towards clients: a name that tells nothing of the person."""
    return f"account-{hashlib.sha256(account.person_key.encode()).hexdigest()[:16]}"


def named_as(identity: Identity) -> tuple[str, str]:
    """Originator and user agent of an identity."""
    if identity == "codex-oss":
        return "codex_oss", f"codex-oss/{__version__}"
    system, machine = platform.system() or "Linux", platform.machine() or "x86_64"
    return "codex_cli_rs", f"codex_cli_rs/{CODEX_VERSION} ({system} {platform.release()}; {machine}) unknown"
