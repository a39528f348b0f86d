"""The lines of the bridge's own log: whatever was put into one, secrets are taken out before it is written.

Counterpart: `policy.exposure`. Our own messages hold no content (`errors.fault_of`); this is for those of libraries,
which quote what they choked on.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from codex_oss.policy.exposure import Redactor

CLEAN: Final = {"clean": True}
"""`extra` of a message that holds nothing but our own words and what was redacted already: for lines of every turn."""
LINE_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"


class RedactedLines(logging.Formatter):
    """Formats a record, its traceback included, and redacts the text."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(LINE_FORMAT)
        self._redactor = redactor
        self._second, self._time = -1, ""

    def format(self, record: logging.LogRecord) -> str:
        """The text of *record* without secrets; lines stay lines."""
        if getattr(record, "clean", False) and not record.exc_info:
            # As LINE_FORMAT has it, without asking for all that a record may hold: one for each turn.
            return f"{self.formatTime(record)} {record.levelname} {record.name} {record.getMessage()}"
        return self._redactor.redact(super().format(record)).text

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (the library's name)
        """As the library has it, made once a second."""
        second = int(record.created)
        if second != self._second:
            self._second, self._time = second, time.strftime(self.default_time_format, time.localtime(second))
        return f"{self._time},{int(record.msecs):03d}"


def redact_log(redactor: Redactor) -> None:
    """From now on every handler of this process writes redacted lines."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(RedactedLines(redactor))
