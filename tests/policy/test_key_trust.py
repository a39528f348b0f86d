"""Where a key may travel: loopback and the origins that the user placed."""

from __future__ import annotations

import pytest

from codex_oss.policy.key_trust import may_hold_key

TRUSTED = ("https://opencode.ai/zen/go/v1", "http://gpu.lan:8000/v1")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:9999/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://localhost/v1", True),
        ("https://opencode.ai/other/path", True),
        ("https://opencode.ai:443/v1", True),
        ("http://gpu.lan:8000", True),
        ("http://opencode.ai/zen/go/v1", False),
        ("https://opencode.ai:8443/zen/go/v1", False),
        ("https://opencode.ai.evil.example/zen/go/v1", False),
        ("https://evil.example/opencode.ai", False),
        ("http://gpu.lan:8001/v1", False),
        ("http://127.0.0.1.evil.example/v1", False),
    ],
)
def test_origins(url: str, allowed: bool) -> None:
    """Scheme, host and port must all be the user's; the path is free."""
    assert may_hold_key(url, TRUSTED) is allowed
