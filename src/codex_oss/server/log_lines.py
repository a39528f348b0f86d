"""The lines of the bridge's own log: whatever was put into one, secrets are taken out before it is written.

Counterpart: `policy.exposure`. Our own messages hold no content (`errors.fault_of`); this is for those of libraries,
which quote what they choked on.
"""

from __future__ import annotations

import logging

from codex_oss.policy.exposure import Redactor

LINE_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class RedactedLines(logging.Formatter):
    """Formats a record, its traceback included, and redacts the text."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(LINE_FORMAT)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The text of *record* without secrets; lines stay lines."""
        return self._redactor.redact(super().format(record)).text


def redact_log(redactor: Redactor) -> None:
    """From now on every handler of this process writes redacted lines."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(RedactedLines(redactor))
