"""Whether a conversation keeps its prompt cache, and when not, why: one named warning after two bad steps in a row.

Counterparts: `policy.prompt_prefix` makes the fingerprint of a turn; `server.turn_notes` feeds the monitor, off the
path of deltas; `/metrics`, `/health` and `codex-oss status` show its facts.

    ended turn ─► identity? ─► prefix as before? ─► cache as large as the last prompt? ─► ok
                     │ missing      │ changed: which layer       │ no
                     │ changed      │                            │
                     └──────────────┴── bad, or expected ────────┘
                                         │ twice in a row
                                         ▼
                                   one warning; the next after a good step

Rules that hold here:

1. A series is one (thread, model). Without a thread the session stands for it, then the cache key, then a hash of what
   never changes in a conversation: the instructions and the first item behind them.
2. A longer conversation is no change. A tail that was part of one prompt only may be replaced (a retry, an edit).
3. What must cost the cache is expected and never counts: the first turn, another model or upstream, a compaction,
   minutes of idling.
4. An upstream that reports no cached tokens never alarms by measurement, nor does a prompt below `MIN_CACHED_TOKENS`.
5. The measure is cached tokens against the *last* prompt: new text is never cached, however long it is.
6. Memory is bounded: `max_series` series, the least recently used goes; `MAX_WARNINGS` warnings are remembered.
Source: responses-protocol §15; prompt caching guide of OpenAI (1,024 tokens, minutes of life).
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from typing import Final, Literal

from msgspec import Struct, structs

from codex_oss.policy.prompt_prefix import Prefix, changed_layer
from codex_oss.wire.events import Usage

MAX_SERIES: Final = 256
MAX_WARNINGS: Final = 20
MIN_CACHED_TOKENS: Final = 1024
"""Upstreams cache no shorter prompts."""
TTL_S: Final = 300.0
"""Idle for longer, a cache may be gone."""
KEPT_RATIO: Final = 0.5
"""Below this part of the last prompt the cache counts as dropped; upstreams cache in blocks, so never all of it."""
BAD_STEPS: Final = 2

State = Literal["ok", "expected", "bad"]
CAUSES: Final[dict[str, str]] = {
    "identity_missing": "the client sends no session, thread or cache key, so an upstream cannot route by it",
    "identity_changed": "the cache key or the session changes within one thread",
    "instructions_changed": "the instructions or the leading system messages are not those of the turn before",
    "tools_changed": "the tools or their order are not those of the turn before",
    "first_items_changed": "the first items of the conversation are not those of the turn before",
    "history_rewritten": "items in the middle of the conversation were changed or removed",
    "cache_dropped": "the conversation only grew, but less than half of the last prompt came from the upstream's cache",
}
"""Cause of a bad step to what it means."""
EXPECTED: Final[dict[str, str]] = {
    "first_turn": "nothing can be cached yet",
    "model_switched": "the thread went to another model",
    "upstream_switched": "another upstream model answered than the turn before",
    "compaction": "the client compacted the conversation",
    "idle": "the last turn was minutes ago",
}
"""Why a cold cache is no fault."""


class Identity(Struct, frozen=True):
    """Whose turn it is, as the client told it."""

    session: str = ""
    thread: str = ""
    cache_key: str = ""
    window: int | None = None

    @property
    def told(self) -> bool:
        """Did the client name its conversation at all?"""
        return bool(self.session or self.thread or self.cache_key)


class Turn(Struct, frozen=True):
    """What the monitor needs of a turn that an upstream answered."""

    identity: Identity
    model: str
    """Bounded name of the model that was asked for."""
    upstream: str
    """What answered."""
    prefix: Prefix
    usage: Usage
    at_s: float
    """When it ended; seconds of any clock that only grows."""
    compacts: bool = False
    """Its only purpose was to sum the conversation up."""


class Warned(Struct, frozen=True):
    """One warning."""

    cause: str
    """A key of `CAUSES`."""
    model: str
    thread: str
    """The thread or session; empty when the client told none."""
    at_s: float


class Verdict(Struct, frozen=True):
    """What one turn meant for the cache. cause: a key of `CAUSES` or `EXPECTED`; empty when all is well."""

    state: State
    cause: str = ""
    warning: Warned | None = None


class ModelCache(Struct, frozen=True):
    """Tokens of one model whose upstream reports its cache."""

    cached_tokens: int = 0
    input_tokens: int = 0

    @property
    def ratio(self) -> float:
        """Part of the input that came from the cache."""
        return self.cached_tokens / self.input_tokens if self.input_tokens else 0.0


class CacheFacts(Struct, frozen=True):
    """A snapshot for whoever shows it."""

    models: dict[str, ModelCache] = {}
    warnings: tuple[Warned, ...] = ()
    """The last ones, oldest first."""
    counts: dict[str, int] = {}
    """Warnings by cause since the start."""
    steps: dict[str, int] = {}
    """Judged turns by state."""


class _Series:
    """The turns of one thread with one model."""

    __slots__ = ("at_s", "bad", "identity", "input_tokens", "prefix", "shared", "told_missing", "upstream", "warned")

    def __init__(self, turn: Turn) -> None:
        self.bad = 0
        self.warned = False
        self.told_missing = False
        self.remember(turn, shared=len(turn.prefix.items) - 1)

    def remember(self, turn: Turn, *, shared: int) -> None:
        """Take *turn* as what the next one is compared with. shared: see `changed_layer`."""
        self.identity = turn.identity
        self.prefix = turn.prefix
        self.shared = shared
        self.upstream = turn.upstream
        self.input_tokens = turn.usage.input_tokens
        self.at_s = turn.at_s


class CacheMonitor:
    """Judges turns one after the other. `facts` is replaced as a whole, so any thread may read it."""

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self.facts = CacheFacts()
        self._max_series = max_series
        self._series: OrderedDict[tuple[str, str], _Series] = OrderedDict()
        self._model_of: OrderedDict[str, str] = OrderedDict()
        self._warnings: deque[Warned] = deque(maxlen=MAX_WARNINGS)
        self._counts: Counter[str] = Counter()
        self._steps: Counter[str] = Counter()
        self._models: dict[str, ModelCache] = {}

    def __len__(self) -> int:
        return len(self._series)

    def take(self, turn: Turn) -> Verdict:
        """Judge a turn and remember it."""
        thread = _thread_of(turn)
        series = self._series.get((thread, turn.model))
        if series is None:
            self._series[(thread, turn.model)] = _Series(turn)
            cause = "first_turn" if self._model_of.get(thread, turn.model) == turn.model else "model_switched"
            verdict = Verdict("expected", cause)
        else:
            verdict = self._judge(series, turn)
        self._touch(thread, turn.model)
        self._count(turn, verdict)
        return verdict

    def _judge(self, series: _Series, turn: Turn) -> Verdict:
        layer, shared = changed_layer(series.prefix, turn.prefix, series.shared)
        state, cause = _step(series, turn, layer)
        warning = None
        if state == "bad":
            series.bad += 1
            if series.bad >= BAD_STEPS and not series.warned:
                series.warned = True
                series.told_missing |= cause == "identity_missing"
                warning = Warned(cause, turn.model, turn.identity.thread or turn.identity.session, turn.at_s)
        else:
            series.bad, series.warned = 0, False
        if not turn.compacts:  # the turn after it is compared with what stood before
            series.remember(turn, shared=shared)
        return Verdict(state, cause, warning)

    def _touch(self, thread: str, model: str) -> None:
        self._series.move_to_end((thread, model))
        self._model_of[thread] = model
        self._model_of.move_to_end(thread)
        for memory in (self._series, self._model_of):
            if len(memory) > self._max_series:
                memory.popitem(last=False)

    def _count(self, turn: Turn, verdict: Verdict) -> None:
        self._steps[verdict.state] += 1
        if verdict.warning is not None:
            self._warnings.append(verdict.warning)
            self._counts[verdict.cause] += 1
        if _measured(turn.usage):
            known = self._models.get(turn.model, ModelCache())
            self._models[turn.model] = structs.replace(
                known,
                cached_tokens=known.cached_tokens + min(turn.usage.cached_tokens, turn.usage.input_tokens),
                input_tokens=known.input_tokens + turn.usage.input_tokens,
            )
        self.facts = CacheFacts(dict(self._models), tuple(self._warnings), dict(self._counts), dict(self._steps))


def _step(series: _Series, turn: Turn, layer: str) -> tuple[State, str]:
    """State and cause of one step; the first row that is so."""
    was, now = series.identity, turn.identity
    compacted = turn.compacts or (now.window or 0) > (was.window or 0)
    idle = turn.at_s - series.at_s > TTL_S
    rekeyed = bool(now.cache_key and was.cache_key and now.cache_key != was.cache_key)
    grew = len(turn.prefix.items) > len(series.prefix.items)
    rows: tuple[tuple[bool, State, str], ...] = (
        (compacted, "expected", "compaction"),
        (turn.upstream != series.upstream, "expected", "upstream_switched"),
        (rekeyed or now.session != was.session, "bad", "identity_changed"),
        (bool(layer) and not now.told, "expected", "first_turn"),  # another conversation that began alike
        (bool(layer), "bad", layer),
        (_dropped(series, turn) and idle, "expected", "idle"),
        (_dropped(series, turn), "bad", "cache_dropped"),
        (not now.told and grew and not series.told_missing, "bad", "identity_missing"),
    )
    return next(((state, cause) for so, state, cause in rows if so), ("ok", ""))


def _dropped(series: _Series, turn: Turn) -> bool:
    reusable = min(series.input_tokens, turn.usage.input_tokens)
    if not _measured(turn.usage) or reusable < MIN_CACHED_TOKENS:
        return False
    return turn.usage.cached_tokens < KEPT_RATIO * reusable


def _measured(usage: Usage) -> bool:
    return usage.cached_known and not usage.estimated


def _thread_of(turn: Turn) -> str:
    identity = turn.identity
    told = identity.thread or identity.session or identity.cache_key
    return told or f"untold:{turn.prefix.opening}"
