"""For every test: whatever the encoders emitted meanwhile, here or in a bridge, fits the official types.

See `tests.official.tap` for how it is collected and `tests.official.schema` for what is checked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.official import tap
from tests.official.ledger import Ledger

# How long an example takes is the machine's affair: times are measured in `bench`, never in tests.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

LEDGER = pytest.StashKey[Ledger]()


def pytest_configure(config: pytest.Config) -> None:
    """Open the tap in this worker; the controller of several workers runs no tests."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return
    folder = Path(tempfile.mkdtemp(prefix="codex-oss-tap-"))
    config.stash[LEDGER] = Ledger(folder)
    os.environ[tap.FOLDER_VARIABLE] = str(folder)
    tap.open_tap()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the tap."""
    if LEDGER in config.stash:
        shutil.rmtree(config.stash[LEDGER].folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test that passed fails if something that was emitted meanwhile does not fit."""
    result = yield
    check_emitted(item.config)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """What was emitted while fixtures closed counts, too."""
    result = yield
    check_emitted(item.config)
    return result


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """What this worker noted and checked."""
    return request.config.stash[LEDGER]


def check_emitted(config: pytest.Config) -> None:
    """Raise AssertionError with what is wrong."""
    if problems := config.stash[LEDGER].problems():
        raise AssertionError("emitted, but not of the official types:\n" + "\n".join(problems))
