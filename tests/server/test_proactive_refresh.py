"""A running bridge renews the tokens of its accounts before anybody asks for one, unless it is told not to."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from codex_oss.services.settings import read_settings
from codex_oss.wiring.bridge import build
from tests.cli.account_home import Home
from tests.fakes.bridge_process import running_bridge
from tests.fakes.issuer import Issuer
from tests.services.test_proactive_refresh import sign_in

NOWHERE = "http://127.0.0.1:9/v1"


def test_the_bridge_renews_by_itself(tmp_path: Path) -> None:
    """With strategy accounts, and no turn at all; it ends as fast as ever."""
    home, project = Home(tmp_path), tmp_path / "project"
    project.mkdir()
    with Issuer() as rude:
        person = sign_in(home.store, rude)
        environ = {"HOME": str(home.home), "GPT_MODEL_STRATEGY": "accounts", "CODEX_OSS_OAUTH_ISSUER": rude.url}
        with running_bridge(project, upstream=NOWHERE, **environ) as bridge:
            ends_at = time.monotonic() + 30
            while rude.refreshes == 0 and time.monotonic() < ends_at:
                time.sleep(0.05)
            assert bridge.stop() == 0
        assert (rude.refreshes, rude.reuses) == (1, [])
    account = home.store.read().get(person)
    assert account is not None
    assert account.credential.generation == 1


CASES = [
    ({"GPT_MODEL_STRATEGY": "accounts"}, True),
    ({"GPT_MODEL_STRATEGY": "accounts", "CODEX_OSS_PROACTIVE_REFRESH": "off"}, False),
    ({"GPT_MODEL_STRATEGY": "passthrough"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("environ", "begins"), CASES)
async def test_when_it_begins(tmp_path: Path, environ: dict[str, str], begins: bool) -> None:
    """Only with strategy accounts, only unless it is switched off; and nothing of it is left behind."""
    environ = {"HOME": str(tmp_path), **environ}
    bridge = build(read_settings(tmp_path, {}, environ), tmp_path, environ)
    before = asyncio.all_tasks()
    bridge.start()
    assert bool(asyncio.all_tasks() - before) is begins
    await bridge.aclose()
    assert asyncio.all_tasks() == before
