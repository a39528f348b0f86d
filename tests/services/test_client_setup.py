"""All files of an installation together: generated set-ups go in twice and come out as they were."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.contracts.profiles import parse_profiles, raw_profile
from codex_oss.services import client_setup
from codex_oss.services.client_setup import HANDOFF_TAGS, STRIPS, Connection, Places, Scope, find_places
from codex_oss.services.file_edits import Plan, plan_changes
from codex_oss.services.installation import Installation
from tests.services.test_codex_config import configs
from tests.services.test_installation import snapshot
from tests.services.test_opencode_config import documents

SHIPPED = tomllib.loads(resources.files("codex_oss").joinpath("data/models.toml").read_text(encoding="utf-8"))
PROFILES = parse_profiles([("shipped", SHIPPED)])[0]
CONNECTION = Connection("http://127.0.0.1:4000/v1", "sk-local-test", PROFILES)
LINES = st.lists(st.sampled_from(["# Rules", "", "*.pyc", ".codex-oss/", "ünïcode ☃"])).map("\n".join)


def plan(places: Places, scope: Scope) -> Plan:
    """Everything that install would do."""
    key_file = places.project / ".codex-oss" / "install" / "local_key"
    targets = [
        *client_setup.codex_targets(places, scope, CONNECTION),
        *client_setup.opencode_targets(places, scope, CONNECTION, key_file),
        *client_setup.project_targets(places),
    ]
    return plan_changes(targets)


def lay_out(folder: Path, files: Mapping[str, str | None]) -> Places:
    """A user and a project with these files; None leaves one out."""
    places = Places(folder / "project", folder / "home" / ".codex", folder / "home" / "opencode")
    places.project.mkdir()
    for name, text in files.items():
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text.encode())
    return places


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "home/.codex/config.toml": st.none() | configs(),
            "project/opencode.json": st.none() | documents(),
            "project/AGENTS.md": st.none() | LINES,
            "project/.gitignore": st.none() | LINES,
        }
    ),
    st.sampled_from(["project", "user"]),
)
def test_in_twice_and_out_again(files: dict[str, str | None], scope: Scope) -> None:
    """The second install has nothing to do; uninstall gives back bytes, modes and folders."""
    with tempfile.TemporaryDirectory() as name:
        places = lay_out(Path(name), files)
        before = snapshot(Path(name))
        installation = Installation(Path(name) / "record", Path(name) / "record", confined=False)
        first = plan(places, scope)
        assert first.refusals == ()
        installation.apply(first)
        assert plan(places, scope) == Plan((), ())
        outcomes = installation.restore(STRIPS)
        assert {outcome.ending for outcome in outcomes} <= {"restored", "removed"}
        assert snapshot(Path(name)) == before


def test_nothing_that_is_written_holds_the_handoff_tags(tmp_path: Path) -> None:
    """No file of an installation could open a mission by being quoted."""
    changes = plan(lay_out(tmp_path, {}), "project").changes
    assert changes
    assert not [c.target.path for c in changes if any(tag.encode() in c.after for tag in HANDOFF_TAGS)]


def test_agents_follow_the_profiles() -> None:
    """An agent is offered when the bridge answers to its model; each says what Codex requires."""
    agents = {name: tomllib.loads(text) for name, text in client_setup.agent_files(PROFILES)}
    assert len(agents) == 3
    for name, agent in agents.items():
        assert name == f"{agent['name']}.toml"
        assert agent["description"]
        assert agent["developer_instructions"]
        assert "model_provider" not in agent
    assert list(client_setup.agent_files({})) == []


def test_a_session_begins_with_a_model_that_exists() -> None:
    """The preferred profile when it is there, else the first, else none."""
    other = raw_profile("ocg-other", "m", "http://127.0.0.1:1/v1")
    assert client_setup.preferred_model(PROFILES) == "ocg-kimi-k2.6"
    assert client_setup.preferred_model({"other": other}) == "ocg-other"
    assert client_setup.preferred_model({}) == ""


@pytest.mark.parametrize(
    ("environ", "codex", "opencode"),
    [
        ({"HOME": "/h"}, "/h/.codex", "/h/.config/opencode"),
        ({"HOME": "/h", "CODEX_HOME": "/c", "XDG_CONFIG_HOME": "/x"}, "/c", "/x/opencode"),
        ({"HOME": "/h", "CODEX_HOME": "", "XDG_CONFIG_HOME": "relative"}, "/h/.codex", "/h/.config/opencode"),
    ],
)
def test_places_follow_the_environment(environ: dict[str, str], codex: str, opencode: str) -> None:
    """CODEX_HOME and XDG_CONFIG_HOME are honoured as the clients honour them."""
    places = find_places(Path("/p"), environ)
    assert (str(places.codex_home), str(places.opencode_home)) == (codex, opencode)


def test_the_present_opencode_file_is_edited(tmp_path: Path) -> None:
    """`opencode.jsonc` is used when it is the only one."""
    places = Places(tmp_path, tmp_path / "c", tmp_path / "o")
    assert places.opencode_file("project").name == "opencode.json"
    (tmp_path / "opencode.jsonc").write_text("{}")
    assert places.opencode_file("project").name == "opencode.jsonc"
    (tmp_path / "opencode.json").write_text("{}")
    assert places.opencode_file("project").name == "opencode.json"
