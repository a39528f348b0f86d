"""docs/accounts.md says what the code does: its forms, codes, names and numbers."""

from __future__ import annotations

import json
import re

import click
import pytest

from codex_oss.accounts.renewal import AHEAD_MS, IDLE_MS
from codex_oss.accounts.view import LISTED
from codex_oss.cli.account_table import STATES
from codex_oss.cli.accounts import accounts
from codex_oss.config import SETTINGS
from codex_oss.errors import HTTP_STATUS
from codex_oss.services.account_folder import FILE_NAME
from codex_oss.services.account_store import KEPT
from codex_oss.services.account_tools import ACCOUNT_TOOLS, SWITCH_ENV
from codex_oss.services.affinity_store import FILE_NAME as AFFINITY_NAME
from codex_oss.services.proactive_refresh import LOCK_NAME
from codex_oss.services.quota_store import FILE_NAME as QUOTAS_NAME
from tests.docs.markdown import ROOT, blocks

PAGE = ROOT / "docs" / "accounts.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_form_that_is_shown_is_the_form() -> None:
    """The example has the fields of `list --json`, in their order, and no others."""
    (shown,) = (block for block in blocks("json") if block.page == PAGE)
    raw = json.loads(shown.body)
    assert list(raw) == ["accounts"]
    assert tuple(raw["accounts"][0]) == LISTED
    assert set(raw["accounts"][0]["quota"][0]) == {"window", "used_percent", "resets_at"}


def test_every_verb_is_on_the_page() -> None:
    """Nothing of the group is left unsaid."""
    missing = [name for name in accounts.list_commands(click.Context(accounts)) if f"`{name}" not in TEXT]
    assert [name for name in missing if f"codex-oss accounts {name}" not in TEXT] == []


@pytest.mark.parametrize(
    "name",
    [
        *STATES,
        *(code for code in HTTP_STATUS if "account" in code),
        *(tool.name for tool in ACCOUNT_TOOLS),
        *(FILE_NAME, QUOTAS_NAME, AFFINITY_NAME, LOCK_NAME, SWITCH_ENV),
        *(
            name
            for setting in SETTINGS
            if "account" in setting.field or "proactive" in setting.field
            for name in setting.env
        ),
    ],
)
def test_every_name_is_on_the_page(name: str) -> None:
    """Reasons, codes, tools, files and settings."""
    assert re.search(rf"`[^`]*{re.escape(name)}[^`]*`", TEXT)


def test_numbers_are_those_of_the_code() -> None:
    """What is said in words is what the constants say."""
    assert (AHEAD_MS, "within five minutes" in TEXT) == (5 * 60_000, True)
    assert (IDLE_MS, "three\ndays" in TEXT) == (3 * 24 * 3600 * 1000, True)
    assert (KEPT, "newest five" in TEXT) == (5, True)
