"""Opens the tap of `tests/official/tap.py` in a bridge under test: Python imports this name at its start."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

if "CODEX_OSS_TEST_TAP" in os.environ:
    _spec = importlib.util.spec_from_file_location("codex_oss_test_tap", Path(__file__).parents[1] / "tap.py")
    assert _spec is not None
    assert _spec.loader is not None
    _tap = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_tap)
    _tap.open_tap()
