"""What `GET /metrics` tells: counted here in plain numbers, named as OpenTelemetry GenAI does where it has a name.

Counterparts: `server.turn_desk` counts; `server.metrics_page` renders a snapshot with the Prometheus library, which is
imported with the first scrape: most bridges are never scraped.

Labels are bounded: a model is the alias of a known profile or `other`, an upstream model the id of a known profile or
`other`, an error a code of ours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from msgspec import Struct

from codex_oss.wire.events import Usage

TOKEN_BUCKETS: Final = tuple(4.0**power for power in range(14))
SECONDS_BUCKETS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_TOKEN_BUCKETS: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
PER_TOKEN_BUCKETS: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""As the semantic conventions advise."""

Labels = tuple[str, ...]


class TurnLabels(Struct, frozen=True):
    """The bounded words of one ended turn."""

    surface: str
    lane: str
    outcome: str
    request_model: str
    response_model: str
    error_type: str


class Histogram:
    """Counts of observations by labels and bucket."""

    __slots__ = ("bounds", "series")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.series: dict[Labels, tuple[list[int], float]] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value."""
        counts, total = self.series.get(labels) or ([0] * (len(self.bounds) + 1), 0.0)
        counts[bisect_left(self.bounds, value)] += 1
        self.series[labels] = (counts, total + value)

    def copy(self) -> Histogram:
        """What another thread may read meanwhile."""
        copied = Histogram(self.bounds)
        copied.series = {labels: (list(counts), total) for labels, (counts, total) in self.series.items()}
        return copied


class Metrics:
    """The counters of one bridge."""

    def __init__(self) -> None:
        self.requests: Counter[Labels] = Counter()
        """By lane and outcome; the lane of a request that never was a turn is `none`."""
        self.surfaces: Counter[Labels] = Counter()
        """Turns by the way they came in."""
        self.refusals: Counter[Labels] = Counter()
        """By error code: requests that never were a turn."""
        self.in_flight: Counter[Labels] = Counter()
        """By lane."""
        self.input_tokens: Counter[Labels] = Counter()
        """By request model and kind: cached, uncached, unknown."""
        self.tokens = Histogram(TOKEN_BUCKETS)
        self.seconds = Histogram(SECONDS_BUCKETS)
        self.first_token = Histogram(FIRST_TOKEN_BUCKETS)
        self.per_token = Histogram(PER_TOKEN_BUCKETS)

    def begin(self, lane: str) -> None:
        """A turn began."""
        self.in_flight[(lane,)] += 1

    def end(self, labels: TurnLabels, usage: Usage | None, total_s: float, first_token_s: float | None) -> None:
        """A turn ended. first_token_s: until the first bytes of a streamed answer; None when it did not stream."""
        self.in_flight[(labels.lane,)] -= 1
        self.requests[(labels.lane, labels.outcome)] += 1
        self.surfaces[(labels.surface,)] += 1
        models = (labels.request_model, labels.response_model)
        self.seconds.observe((*models, labels.error_type), total_s)
        if first_token_s is not None:
            self.first_token.observe(models, first_token_s)
        if usage is None:
            return
        self._take_usage(models, usage)
        if first_token_s is not None and usage.output_tokens > 1 and not labels.error_type:
            self.per_token.observe(models, (total_s - first_token_s) / (usage.output_tokens - 1))

    def refused(self, code: str) -> None:
        """A request was refused before it was a turn."""
        self.requests[("none", "refused")] += 1
        self.refusals[(code,)] += 1

    def snapshot(self) -> Metrics:
        """What another thread may read while the counting goes on."""
        copied = Metrics()
        for name, value in vars(self).items():
            setattr(copied, name, value.copy())
        return copied

    def _take_usage(self, models: Labels, usage: Usage) -> None:
        self.tokens.observe((*models, "input"), usage.input_tokens)
        self.tokens.observe((*models, "output"), usage.output_tokens)
        if usage.estimated or not usage.cached_known:
            self.input_tokens[(models[0], "unknown")] += usage.input_tokens
            return
        cached = min(usage.cached_tokens, usage.input_tokens)
        self.input_tokens[(models[0], "cached")] += cached
        self.input_tokens[(models[0], "uncached")] += usage.input_tokens - cached
