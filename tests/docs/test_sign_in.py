"""The page on signing in names every failure that there is."""

from __future__ import annotations

import re

from codex_oss.accounts.sign_in_failures import FAILURES
from tests.docs.markdown import ROOT


def test_every_failure_has_its_row() -> None:
    """The codes of the table are those of the program."""
    page = (ROOT / "docs/sign-in.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(FAILURES)
