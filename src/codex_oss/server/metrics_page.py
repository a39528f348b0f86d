"""The text of `GET /metrics`: a snapshot of the counters and of the bridge's state, in the form of Prometheus.

Counterpart: `server.metrics` counts. The library is imported by `render_metrics`, which runs in a thread: its import
takes some 30 ms, which no delta should wait for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from codex_oss.policy.cache_monitor import CacheFacts
from codex_oss.server.metrics import Histogram, Metrics
from codex_oss.services.request_log import RequestLogFacts

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPERATION: Final = "chat"
"""`gen_ai.operation.name`: there is no other kind of turn."""
MODELS: Final = ("gen_ai_request_model", "gen_ai_response_model")


class Gauges(Struct, frozen=True):
    """What is so at the moment of the scrape."""

    slots: int
    slots_taken: int
    waiting: int
    stored_responses: int
    stored_bytes: int
    cache: CacheFacts
    request_log: RequestLogFacts
    version: str
    source_hash: str
    more: Mapping[str, tuple[str, str, Mapping[str, float]]] = {}
    """Further gauges of one label: name to (help, label, value by word of the label)."""


def render_metrics(counted: Metrics, gauges: Gauges) -> bytes:
    """The whole page; runs in any thread."""
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

    registry = CollectorRegistry()
    registry.register(_Page(counted, gauges))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Page:
    def __init__(self, counted: Metrics, gauges: Gauges) -> None:
        self._counted = counted
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        yield from _counters(self._counted)
        yield from _histograms(self._counted)
        yield from _gauges(self._gauges)
        yield from _cache(self._gauges.cache)


def _counters(counted: Metrics) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    rows: tuple[tuple[Any, str, str, tuple[str, ...], Mapping[tuple[str, ...], int]], ...] = (
        (
            CounterMetricFamily,
            "codex_oss_requests",
            "Turns by lane and outcome.",
            ("lane", "outcome"),
            counted.requests,
        ),
        (CounterMetricFamily, "codex_oss_surface_turns", "Turns by the way in.", ("surface",), counted.surfaces),
        (
            CounterMetricFamily,
            "codex_oss_refusals",
            "Requests refused before they were a turn.",
            ("error_type",),
            counted.refusals,
        ),
        (
            CounterMetricFamily,
            "codex_oss_input_tokens",
            "Input tokens, read from the upstream's prompt cache or not; unknown where it does not say.",
            ("gen_ai_request_model", "cache"),
            counted.input_tokens,
        ),
        (GaugeMetricFamily, "codex_oss_in_flight", "Turns under way.", ("lane",), counted.in_flight),
    )
    for family, name, words, labels, values in rows:
        metric = family(name, words, labels=labels)
        for key, value in values.items():
            metric.add_metric(key, value)
        yield metric


def _histograms(counted: Metrics) -> Iterator[Metric]:
    rows = (
        ("gen_ai_client_token_usage", "Tokens of a turn.", "gen_ai_token_type", counted.tokens),
        ("gen_ai_server_request_duration_seconds", "From begin to end of a turn.", "error_type", counted.seconds),
        ("gen_ai_server_time_to_first_token_seconds", "Until the first bytes of a stream.", "", counted.first_token),
        ("gen_ai_server_time_per_output_token_seconds", "Per token behind the first.", "", counted.per_token),
    )
    for name, words, label, histogram in rows:
        yield _histogram(name, words, (*MODELS, label) if label else MODELS, histogram)


def _histogram(name: str, words: str, labels: tuple[str, ...], histogram: Histogram) -> Metric:
    from prometheus_client.metrics_core import HistogramMetricFamily
    from prometheus_client.utils import floatToGoString

    metric = HistogramMetricFamily(name, words, labels=("gen_ai_operation_name", *labels))
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    for key, (counts, total) in histogram.series.items():
        metric.add_metric((OPERATION, *key), list(zip(bounds, accumulate(counts), strict=True)), total)
    return metric


def _gauges(now: Gauges) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    facts = now.request_log
    rows = (
        ("codex_oss_upstream_slots", "Upstream requests that may be under way at once.", now.slots),
        ("codex_oss_upstream_slots_taken", "Upstream requests under way.", now.slots_taken),
        ("codex_oss_upstream_waiting", "Turns that wait for a slot.", now.waiting),
        ("codex_oss_stored_responses", "Stored responses.", now.stored_responses),
        ("codex_oss_stored_bytes", "Bytes of stored responses.", now.stored_bytes),
    )
    for name, words, value in rows:
        yield GaugeMetricFamily(name, words, value)
    for name, (words, label, values) in now.more.items():
        metric = GaugeMetricFamily(name, words, labels=(label,))
        for word, number in values.items():
            metric.add_metric((word,), number)
        yield metric
    yield CounterMetricFamily("codex_oss_request_log_lines", "Lines of the request log.", facts.written)
    yield CounterMetricFamily("codex_oss_request_log_dropped", "Lines that were not written.", facts.dropped)
    told = {"version": now.version, "source_hash": now.source_hash}
    yield InfoMetricFamily("codex_oss_build", "Which sources run.", told)


def _cache(facts: CacheFacts) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    ratio = GaugeMetricFamily(
        "codex_oss_cache_ratio", "Cached part of the input since the start.", labels=("gen_ai_request_model",)
    )
    for model, known in facts.models.items():
        ratio.add_metric((model,), known.ratio)
    warnings = CounterMetricFamily("codex_oss_cache_warnings", "Warnings by cause.", labels=("cause",))
    for cause, count in facts.counts.items():
        warnings.add_metric((cause,), count)
    turns = CounterMetricFamily("codex_oss_cache_turns", "Turns by the monitor's verdict.", labels=("state",))
    for state, count in facts.steps.items():
        turns.add_metric((state,), count)
    yield from (ratio, warnings, turns)
