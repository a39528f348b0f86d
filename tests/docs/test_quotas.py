"""docs/quotas.md says what the code does: its numbers, words, files and the table that it shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from codex_oss.accounts.failures import MAX_COOLDOWN_S, USED_UP_GUESS_S
from codex_oss.accounts.forecast import Verdict
from codex_oss.accounts.outlook import outlook_line
from codex_oss.accounts.quota import REARM_PERCENT, THRESHOLDS
from codex_oss.services import account_catalog, client_version, quota_poll, quota_store
from tests.accounts import test_outlook
from tests.docs.markdown import ROOT

TEXT = (ROOT / "docs" / "quotas.md").read_text(encoding="utf-8")
FLAT = " ".join(TEXT.split())


@pytest.mark.parametrize(
    "words",
    [
        f"At {', '.join(f'{threshold:g}' for threshold in THRESHOLDS[:-1])} and {THRESHOLDS[-1]:g} % left",
        f"by more than {REARM_PERCENT:g} % above a threshold",
        f"every {quota_poll.PACE_S:g} s at most",
        f"{quota_poll.AGAIN_S:g} s after a failure, within {quota_poll.TIMEOUT_S:g} s",
        f"at most {MAX_COOLDOWN_S // 86_400} days",
        f"{USED_UP_GUESS_S // 60} minutes from now",
        f"after {account_catalog.TTL_S / 60:g} minutes",
        f"at most once in {account_catalog.SYNC_S:g} s",
        f"client version `{account_catalog.FULL_CATALOG}`",
        f"`cache/{quota_store.FILE_NAME}`",
        f"`cache/{client_version.FILE_NAME}`",
        *(f"`{verdict}`" for verdict in get_args(Verdict)),
    ],
)
def test_numbers_and_names(words: str) -> None:
    """Each stands on the page as the code has it."""
    assert words in FLAT


def test_the_sentences_are_those_that_are_said() -> None:
    """The two examples, of the same account and quota."""
    noon = test_outlook.NOON
    for record in (test_outlook.told(38.5), None):
        records = {} if record is None else {test_outlook.ANN.person_key: record}
        line = outlook_line(test_outlook.BOOK, records, noon, 1_800, lambda at: datetime.fromtimestamp(at, UTC))
        assert line.replace("ann@x.y", "ann@example.com") in TEXT


def test_the_table_is_the_one_that_is_drawn() -> None:
    """Its window lines are those of the test of the table."""
    drawn = (ROOT / "tests" / "cli" / "test_quota_table.py").read_text(encoding="utf-8")
    lines = [line for line in TEXT.splitlines() if line.startswith(("  5h ", "  weekly "))]
    assert len(lines) == 3
    assert all(f'"{line}"' in drawn for line in lines)
