"""docs/observability.md: the record is one of ours with every field, the metrics are those of the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from codex_oss.policy.cache_monitor import CacheFacts
from codex_oss.server.metrics import Metrics
from codex_oss.server.metrics_page import Gauges, render_metrics
from codex_oss.services.request_log import RequestLogFacts
from codex_oss.services.request_record import RequestRecord, decode_record, encode_record

PAGE = (Path(__file__).resolve().parents[2] / "docs/observability.md").read_text()


def test_the_record_on_the_page_is_a_record() -> None:
    """It decodes as one, and encoding it anew gives the same fields in the same order, the inner ones included."""
    shown = json.loads(PAGE.partition("<!-- record -->")[2].partition("```json\n")[2].partition("```")[0])
    record = decode_record(json.dumps(shown).encode())
    assert record is not None
    assert _keys(json.loads(encode_record(record))) == _keys(shown)
    assert set(shown) == set(RequestRecord.__struct_fields__)
    assert msgspec.to_builtins(record)["tokens"] == shown["tokens"]


def _keys(value: Any) -> list[Any]:
    return [(key, _keys(inner) if isinstance(inner, dict) else None) for key, inner in value.items()]


def test_every_metric_is_on_the_page() -> None:
    """No metric is told that does not exist, and none of ours exists that is not told."""
    gauges = Gauges(1, 0, 0, 0, 0, CacheFacts(), RequestLogFacts("", 0, 0, ""), "1", "h")
    rendered = render_metrics(Metrics(), gauges).decode()
    exist = set(re.findall(r"^# TYPE (\S+)", rendered, re.MULTILINE))
    told = set(_told())
    assert told <= exist
    assert {name for name in exist if not name.startswith("process_")} <= told


def _told() -> Iterator[str]:
    for row in PAGE.partition("## Metrics")[2].splitlines():
        if row.startswith("| `"):
            yield from re.findall(r"`(\w+)`", row.split("|")[1])
