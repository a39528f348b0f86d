"""The bridge's own log: secrets that somebody else put into a line are not written."""

from __future__ import annotations

import io
import logging

from codex_oss.policy.exposure import Redactor
from codex_oss.server.log_lines import RedactedLines

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
