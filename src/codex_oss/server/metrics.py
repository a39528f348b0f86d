"""What `GET /metrics` tells, in a registry of its own. Names of tokens and durations: OpenTelemetry GenAI.

Labels are bounded: a model is the alias of a known profile, or `other`.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from codex_oss.policy.routing import Route
from codex_oss.wire.events import Usage

TOKEN_BUCKETS: Final = tuple(4.0**power for power in range(14))
SECONDS_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one bridge."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "codex_oss_requests", "Turns by lane and outcome.", ("lane", "outcome"), registry=self._registry
        )
        self._in_flight = Gauge("codex_oss_in_flight", "Turns under way.", ("lane",), registry=self._registry)
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a turn as the upstream reported them.",
            ("gen_ai_request_model", "gen_ai_token_type"),
            buckets=TOKEN_BUCKETS,
            registry=self._registry,
        )
        self._seconds = Histogram(
            "gen_ai_server_request_duration_seconds",
            "Seconds from a turn's begin to its end.",
            ("gen_ai_request_model",),
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )

    def begin(self, route: Route) -> None:
        """A turn began."""
        self._in_flight.labels(route.lane).inc()

    def end(self, route: Route, model: str, outcome: str, usage: Usage | None, seconds: float) -> None:
        """A turn ended. model: bounded label."""
        self._in_flight.labels(route.lane).dec()
        self._requests.labels(route.lane, outcome).inc()
        self._seconds.labels(model).observe(seconds)
        if usage is not None:
            self._tokens.labels(model, "input").observe(usage.input_tokens)
            self._tokens.labels(model, "output").observe(usage.output_tokens)

    def refused(self) -> None:
        """A request was refused before a lane was chosen."""
        self._requests.labels("none", "refused").inc()

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self._registry)
