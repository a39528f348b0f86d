"""Whether and how a browser is opened."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from codex_oss.services.browser import browser_opener, may_open, why_headless

ISSUER = "https://auth.openai.com"


@pytest.mark.parametrize(
    ("environ", "platform", "headless"),
    [
        ({"DISPLAY": ":0"}, "linux", False),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", False),
        ({}, "linux", True),
        ({"DISPLAY": ""}, "linux", True),
        ({"DISPLAY": "localhost:10", "SSH_CONNECTION": "1 2 3 4"}, "linux", True),
        ({}, "darwin", False),
        ({"SSH_TTY": "/dev/pts/1"}, "darwin", True),
    ],
)
def test_where_no_browser_is_in_front(environ: dict[str, str], platform: str, headless: bool) -> None:
    """No screen, or a session from elsewhere."""
    assert bool(why_headless(environ, platform)) is headless


@pytest.mark.parametrize(
    ("url", "may"),
    [
        (f"{ISSUER}/oauth/authorize?x=1", True),
        ("https://auth.openai.com:8443/oauth", False),
        ("http://auth.openai.com/oauth", False),
        ("https://ann@auth.openai.com/oauth", False),
        ("https://auth.openai.com.evil.example/", False),
        ("https://evil.example/https://auth.openai.com", False),
        ("file:///etc/passwd", False),
        ("javascript:alert(1)", False),
        ("--help", False),
        ("https://auth.openai.com/\nx", False),
        ("https://[::1/", False),
    ],
)
def test_what_may_be_opened(url: str, may: bool) -> None:
    """The issuer's own pages and nothing else."""
    assert may_open(url, ISSUER) is may


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the program is another one there")
def test_the_address_is_one_argument(tmp_path: Path) -> None:
    """No shell reads it; told not to, or without a program, nothing is opened."""
    out = tmp_path / "out"
    program = tmp_path / "xdg-open"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$#" "$@" > {out}\n')
    program.chmod(0o755)
    environ = {"DISPLAY": ":0", "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    url = f"{ISSUER}/oauth/authorize?a=$(id)&b=;c='d\""
    opener = browser_opener(environ, ISSUER)
    assert opener is not None
    opener(url)
    assert out.read_text() == f"1|{url}|"
    out.unlink()
    opener("https://evil.example/")
    assert not out.exists()
    assert browser_opener({**environ, "CODEX_OSS_NO_BROWSER": "1"}, ISSUER) is None
    assert browser_opener({"DISPLAY": ":0", "PATH": "/nowhere"}, ISSUER) is None
    assert browser_opener({"PATH": environ["PATH"]}, ISSUER) is None
