"""The bridge's own log: secrets that somebody else put into a line are not written."""

from __future__ import annotations

import io
import logging

from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.exposure import Redactor
from codex_oss.server.log_lines import CLEAN, LINE_FORMAT, RedactedLines

HELD = "held-upstream-key-77"


def test_messages_arguments_and_tracebacks_are_redacted() -> None:
    """A key in a message, in an argument or in the words of an exception leaves a placeholder."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(RedactedLines(Redactor([HELD])))
    logger = logging.Logger("library")
    logger.addHandler(handler)
    try:
        raise ValueError(f"cannot decode {HELD.encode().hex()}")
    except ValueError:
        logger.exception("%s and ghp_%s", HELD, "a1B2c3D4e5" * 4)
    text = out.getvalue()
    assert HELD not in text
    assert HELD.encode().hex() not in text
    assert text.count("[REDACTED:held]") == 2
    assert "[REDACTED:github-token]" in text
    assert "ValueError: cannot decode" in text


@given(st.lists(st.floats(0, 2**31), min_size=1, max_size=5), st.text(max_size=10))
def test_a_line_of_ours_is_what_the_library_writes(times: list[float], said: str) -> None:
    """Whatever the times are one after the other, and with or without the mark that it is clean."""
    ours, library = RedactedLines(Redactor([])), logging.Formatter(LINE_FORMAT)
    for at in times:
        for extra in ({}, CLEAN):
            record = logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": "%s!", "args": (said,), **extra})
            record.created, record.msecs = at, (at - int(at)) * 1000
            assert ours.format(record) == library.format(record)
