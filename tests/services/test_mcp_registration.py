"""Our MCP server in the settings of Codex and OpenCode, among everything that is the user's."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.config import DEFAULT_LOCAL_KEY
from codex_oss.services import mcp_registration
from codex_oss.services.account_tools import SWITCH_ENV as ACCOUNT_TOOLS_ENV
from codex_oss.services.delegation_tools import MAX_WAIT_S
from codex_oss.services.jsonc import parse_jsonc
from codex_oss.services.marked_block import EditRefused
from tests.services.test_codex_config import configs
from tests.services.test_opencode_config import comments, documents

CODEX = mcp_registration.codex_settings("sk-local-test", {"SOME_KEY"})
OPENCODE = mcp_registration.opencode_settings("{file:./key}")
ELSEWHERE = "/moved/.venv/bin/codex-oss"
MOVED_CODEX = CODEX | {"command": ELSEWHERE, "env": {"PROXY_API_KEY": "sk-local-new"}}
MOVED_OPENCODE = OPENCODE | {"command": [ELSEWHERE, "mcp"]}


@given(configs(), st.sampled_from(["", '\n[projects."/new"]\ntrust_level = "trusted"\n']))
def test_codex_gets_one_table_and_gives_it_back(text: str, later: str) -> None:
    """The text before stays byte for byte, twice is once, and out again leaves what came before and after."""
    edited = mcp_registration.put_codex(text, CODEX)
    assert edited.startswith(text)
    assert mcp_registration.put_codex(edited, CODEX) == edited
    assert mcp_registration.read_codex(edited) == CODEX
    stripped = mcp_registration.strip_codex(edited + later)
    assert tomllib.loads(stripped) == tomllib.loads(text.replace("\r\n", "\n") + "\n" + later)
    assert stripped.startswith(text)
    assert stripped.endswith(later)


@given(configs())
def test_what_the_user_changed_in_ours_stays_in_codex(text: str) -> None:
    """A moved program and a new key are followed; a server switched off, a time limit and comments stay."""
    edited = mcp_registration.put_codex(text, CODEX).replace("tool_timeout_sec = 600", "tool_timeout_sec = 90 # mine")
    edited = edited.replace("env_vars = [", "enabled = false # not now\nenv_vars = [")
    moved = mcp_registration.put_codex(edited, MOVED_CODEX)
    assert mcp_registration.read_codex(moved) == MOVED_CODEX | {"enabled": False, "tool_timeout_sec": 90}
    assert "tool_timeout_sec = 90 # mine" in moved
    assert "enabled = false # not now" in moved
    assert mcp_registration.put_codex(moved, MOVED_CODEX) == moved


@given(documents())
def test_opencode_gets_one_entry_and_gives_it_back(text: str) -> None:
    """Every other value and every comment stays, twice is once, and out again leaves the same values."""
    before = parse_jsonc(text).value
    edited = mcp_registration.put_opencode(text, OPENCODE)
    assert mcp_registration.read_opencode(edited) == OPENCODE
    assert mcp_registration.put_opencode(edited, OPENCODE) == edited
    assert comments(edited) == comments(text)
    stripped = mcp_registration.strip_opencode(edited)
    assert parse_jsonc(stripped).value == {k: v for k, v in before.items() if k != "mcp" or v}
    if before.get("mcp") != {}:
        assert comments(stripped) == comments(text)


@given(documents())
def test_what_the_user_changed_in_ours_stays_in_opencode(text: str) -> None:
    """A moved program is followed; a server switched off and a variable of the user's stay."""
    edited = mcp_registration.put_opencode(text, OPENCODE).replace('"enabled": true', '"enabled": false')
    edited = edited.replace('"PROXY_API_KEY"', '"MINE": "1",\n"PROXY_API_KEY"')
    moved = mcp_registration.read_opencode(mcp_registration.put_opencode(edited, MOVED_OPENCODE))
    environment = {"MINE": "1", "PROXY_API_KEY": "{file:./key}"}
    assert moved == MOVED_OPENCODE | {"enabled": False, "environment": environment}


FOREIGN: list[dict[str, Any]] = [
    {"command": "/usr/bin/other", "args": []},
    {"command": "codex-oss", "args": ["mcp", "--project", "/a"]},
    {"command": "codex-oss", "args": "mcp"},
    {"command": "codex-oss"},
    {"url": "http://127.0.0.1:4000/mcp"},
    {},
]


@pytest.mark.parametrize("entry", FOREIGN)
def test_a_foreign_server_of_that_name_stays(entry: dict[str, Any]) -> None:
    """It is refused with a way out, and uninstall does not take it either."""
    toml = "[mcp_servers.codex-oss] # mine\n" + "".join(f"{k} = {v!r}\n" for k, v in entry.items())
    with pytest.raises(EditRefused, match="did not write") as refused:
        mcp_registration.put_codex(toml, CODEX)
    assert "--no-mcp" in refused.value.hint
    assert mcp_registration.strip_codex(toml) == toml


@pytest.mark.parametrize("value", ['{"command": ["other", "mcp"]}', '{"type": "remote", "url": "x"}', "3", "{}"])
def test_a_foreign_server_of_that_name_stays_in_opencode(value: str) -> None:
    """The same in the other client's form, whatever stands there."""
    text = f'{{"mcp": {{"codex-oss": {value} /* mine */}}}}'
    with pytest.raises(EditRefused, match="did not write"):
        mcp_registration.put_opencode(text, OPENCODE)
    assert mcp_registration.strip_opencode(text) == text


@pytest.mark.parametrize("text", ["a = ", "mcp_servers = 3\n", "mcp_servers = { x = { command = 'y' } }\n"])
def test_a_form_that_cannot_be_edited_is_refused_with_the_table(text: str) -> None:
    """Broken TOML and an inline table are left alone with a sentence."""
    with pytest.raises(EditRefused) as refused:
        mcp_registration.put_codex(text, CODEX)
    assert refused.value.hint


def test_the_program_is_this_installation_and_never_a_module_of_the_project() -> None:
    """An absolute path; `python -m` alone would import what lies in the folder of the session."""
    program, *arguments = mcp_registration.server_command()
    assert Path(program).is_absolute()
    assert Path(program).parent == Path(sys.executable).parent
    assert "-m" not in arguments or "-P" in arguments
    assert mcp_registration.is_ours([program, *arguments])


def test_the_public_key_is_not_written_and_keys_of_upstreams_never_are() -> None:
    """Only names of variables stand there, for Codex to forward."""
    settings = mcp_registration.codex_settings(DEFAULT_LOCAL_KEY, {"SOME_KEY"})
    assert "env" not in settings
    assert {"SOME_KEY", "PROXY_API_KEY", "XDG_CONFIG_HOME", "OPENCODE_GO_API_KEY", ACCOUNT_TOOLS_ENV} <= set(
        settings["env_vars"]
    )
    assert "environment" not in mcp_registration.opencode_settings("")


def test_the_client_waits_longer_than_the_tool() -> None:
    """A call answers by itself before the limit that install writes cuts it."""
    assert MAX_WAIT_S < mcp_registration.TOOL_TIMEOUT_S
