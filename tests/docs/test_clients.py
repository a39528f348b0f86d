"""What docs/clients.md tells to write by hand is what install writes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from codex_oss.config import DEFAULT_LOCAL_KEY, Config
from codex_oss.contracts.profiles import parse_profiles
from codex_oss.services import codex_config, mcp_registration, opencode_config
from codex_oss.services.delegation_tools import TOOLS
from tests.clients import test_passthrough as passthrough
from tests.clients.programs import MISSION_MODEL
from tests.docs.markdown import ROOT, blocks

DELEGATION = ROOT / "docs" / "delegation.md"
PAGE = ROOT / "docs" / "clients.md"
BASE_URL = f"http://127.0.0.1:{Config().port}/v1"
SHIPPED = tomllib.loads((ROOT / "src/codex_oss/data/models.toml").read_text(encoding="utf-8"))
KIMI = parse_profiles([("shipped", SHIPPED)])[0]["kimi"]


def shown(language: str, page: Path = PAGE) -> list[str]:
    """The blocks of a page in one language."""
    return [block.body for block in blocks(language) if block.page == page]


def test_codex_by_hand() -> None:
    """Provider and profile are those of install."""
    provider, profile, *_ = shown("toml")
    settings = codex_config.provider_settings(BASE_URL, DEFAULT_LOCAL_KEY)
    assert codex_config.read_provider(provider) == settings
    assert tomllib.loads(profile) == tomllib.loads(codex_config.render_profile(KIMI.alias))


def test_a_gpt_parent_by_hand() -> None:
    """Address, agent and provider are those with which tests/clients/test_passthrough.py drives the real Codex."""
    *_, address, agent, both = map(tomllib.loads, shown("toml"))
    assert address == {"openai_base_url": BASE_URL}
    assert both == tomllib.loads(passthrough.provider(BASE_URL, DEFAULT_LOCAL_KEY))
    assert set(agent) == set(tomllib.loads(passthrough.AGENT))
    assert agent["model"] == MISSION_MODEL


def test_opencode_by_hand() -> None:
    """The file is the one that install would make for that one model."""
    text, _ = shown("json")
    settings = opencode_config.provider_settings(BASE_URL, DEFAULT_LOCAL_KEY, [(KIMI.alias, KIMI)])
    made: dict[str, Any] = json.loads(opencode_config.put_provider("", settings))
    assert json.loads(text) == made


def test_opencode_over_chat_by_hand() -> None:
    """The chat provider is that of install under another name and package, so that both may stand in one file."""
    installed, chat = (json.loads(text)["provider"] for text in shown("json"))
    (name,) = chat
    assert name not in installed
    changed = {"npm": "@ai-sdk/openai-compatible", "name": chat[name]["name"]}
    assert chat[name] == {**installed["codex-oss"], **changed}


def test_the_server_by_hand() -> None:
    """Both entries are those of install, but for the path of the program, and install knows them as its own."""
    (codex,), (_, opencode) = shown("toml", DELEGATION), shown("json", DELEGATION)
    by_hand = mcp_registration.read_codex(codex) or {}
    settings = mcp_registration.codex_settings(DEFAULT_LOCAL_KEY, ())
    assert {**by_hand, "command": ""} == {k: v for k, v in settings.items() if k != "env_vars"} | {"command": ""}
    entry = mcp_registration.read_opencode(opencode) or {}
    assert {**entry, "command": ""} == mcp_registration.opencode_settings("") | {"command": ""}
    for written in (by_hand, entry):
        assert mcp_registration.is_ours(mcp_registration.command_of(written))


def test_the_tools_and_fields_of_the_page_are_those_offered() -> None:
    """Every tool and every field has its row, and no row is left of one that is gone."""
    text = DELEGATION.read_text(encoding="utf-8").partition("## Waiting")[0].partition("## The tools")[2]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = {word.strip().strip("`") for row in rows for word in row.split(",")}
    assert named == {tool.name for tool in TOOLS} | set(TOOLS[0].on_wire()["inputSchema"]["properties"])
