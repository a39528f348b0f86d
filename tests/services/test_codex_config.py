"""One provider table of ours in the user's Codex configuration."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.services import codex_config
from codex_oss.services.marked_block import EditRefused

SETTINGS = codex_config.provider_settings("http://127.0.0.1:4000/v1", "sk-local-test")
MOVED = codex_config.provider_settings("http://127.0.0.1:4001/v1", "sk-local-test")

BLOCKS = st.lists(
    st.sampled_from(
        [
            "[tui]\ntheme = 'dark' # why not\n",
            '[projects."/a b/ü"]\ntrust_level = "trusted"\n',
            '[model_providers.other]\nname = "Other" # keep\nbase_url = "http://x"\n',
            '[model_providers.other2.http_headers]\n"X-A" = "1"\n',
            "[[hooks]]\ncommand = '''a\n[b]\n'''\n",
            "[profiles.fast] # old\nmodel = 'm'\n",
            '[mcp_servers.other]\ncommand = "x" # keep\n\n[mcp_servers.other.env]\nA = "1"\n',
            '[mcp_servers."codex-oss-too"]\ncommand = "y"\n',
        ]
    ),
    unique=True,
)
HEADS = st.sampled_from(["", "# mine\n", 'model = "gpt-5.5"   # keep\n\n\n', "a = { b = 1, c = [1,\n 2] }\n"])


@st.composite
def configs(draw: st.DrawFn) -> str:
    """A config.toml as people write it."""
    text = draw(HEADS) + "\n".join(draw(BLOCKS))
    text = text.rstrip("\n") if draw(st.booleans()) else text
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@given(configs())
def test_putting_it_in_changes_nothing_else(text: str) -> None:
    """The text before stays byte for byte; a second time there is nothing to do; the values are ours."""
    edited = codex_config.put_provider(text, SETTINGS)
    assert edited.startswith(text)
    assert codex_config.put_provider(edited, SETTINGS) == edited
    assert codex_config.read_provider(edited) == SETTINGS
    assert tomllib.loads(edited).get("model") == tomllib.loads(text).get("model")
    assert "model_provider" not in tomllib.loads(edited)


@given(configs(), st.sampled_from(["", '\n[projects."/new"]\ntrust_level = "trusted"\n']))
def test_taking_it_out_keeps_what_came_later(text: str, later: str) -> None:
    """After Codex appended a table of its own, ours goes and every comment and foreign value stays."""
    edited = codex_config.put_provider(text, SETTINGS) + later
    stripped = codex_config.strip_provider(edited)
    assert codex_config.read_provider(stripped) is None
    assert tomllib.loads(stripped) == tomllib.loads(text.replace("\r\n", "\n") + "\n" + later)
    assert stripped.startswith(text)
    assert stripped.endswith(later)


@given(configs(), st.sampled_from(["", '\n[projects."/new"]\ntrust_level = "trusted"\n']))
def test_a_new_port_changes_one_line(text: str, later: str) -> None:
    """A present table is edited in place: comments within it and foreign keys stay."""
    held = codex_config.put_provider(text, SETTINGS).replace("wire_api", "query_params = { a = '1' } # mine\nwire_api")
    moved = codex_config.put_provider(held + later, MOVED)
    assert moved == (held + later).replace(":4000/", ":4001/")


OLDER = """# mine
[model_providers.opencode_bridge]
name = "OpenCode Bridge"
base_url = "http://127.0.0.1:4000/v1" # here
wire_api = "responses"
env_key = "SOME_KEY"

[model_providers.opencode_bridge.auth]
command = "echo"
args = ["sk-local-test"]

# about the interface
[tui]
theme = "dark"
"""


def test_other_ways_to_a_key_give_way() -> None:
    """Codex refuses a provider with two of them, so those of an older set-up go; the neighbours stay."""
    edited = codex_config.put_provider(OLDER, SETTINGS)
    assert codex_config.read_provider(edited) == SETTINGS
    assert "SOME_KEY" not in edited
    assert edited.startswith("# mine\n[model_providers.opencode_bridge]\n")
    assert 'base_url = "http://127.0.0.1:4000/v1" # here\n' in edited
    assert edited.endswith('\n\n# about the interface\n[tui]\ntheme = "dark"\n')
    assert codex_config.strip_provider(OLDER) == '# mine\n\n# about the interface\n[tui]\ntheme = "dark"\n'


OWN_OLDER = """# mine
[model_providers.opencode_bridge]
# Written by `codex-oss install`; `codex-oss uninstall` takes it out.
name = "codex-oss bridge"
base_url = "http://127.0.0.1:4000/v1"
wire_api = "responses"
experimental_bearer_token = "sk-local-test"
request_max_retries = 1
stream_max_retries = 1
stream_idle_timeout_ms = 300000

[model_providers.opencode_bridge.query_params]
a = "1" # mine

[tui]
theme = "dark"
"""


def test_our_own_older_form_gives_way() -> None:
    """The token of an earlier install becomes the command that lets Codex ask for our models; the rest stays."""
    edited = codex_config.put_provider(OWN_OLDER, SETTINGS)
    assert codex_config.read_provider(edited) == SETTINGS | {"query_params": {"a": "1"}}
    assert 'auth = {command = "echo", args = ["sk-local-test"]}\n' in edited
    without = [line for line in edited.splitlines() if not line.startswith("auth = ")]
    assert without == [line for line in OWN_OLDER.splitlines() if "bearer_token" not in line]
    assert codex_config.put_provider(edited, SETTINGS) == edited


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (SETTINGS, "sk-local-test"),
        ({"experimental_bearer_token": "sk-older"}, "sk-older"),
        ({"auth": {"command": "other", "args": ["x"]}}, None),
        ({"auth": {"command": "echo", "args": ["x", "y"]}}, None),
        ({"auth": {"command": "echo"}}, None),
        ({"auth": 3, "experimental_bearer_token": 4}, None),
        ({"env_key": "NAME"}, None),
    ],
)
def test_the_key_that_a_table_holds(table: dict[str, Any], key: str | None) -> None:
    """Today's form and the older one are read; what only Codex can resolve is not guessed."""
    assert codex_config.read_local_key(table) == key


@pytest.mark.parametrize(
    "text",
    ["a = ", "[a]\n[a]\n", 'model_providers = { x = { name = "y" } }\n', "model_providers = 3\n", "\ufeffa = 1\n"],
)
def test_what_cannot_be_edited_is_refused(text: str) -> None:
    """Broken TOML and an inline table are left alone with a sentence."""
    with pytest.raises(EditRefused) as refused:
        codex_config.put_provider(text, SETTINGS)
    assert refused.value.hint


def test_the_profile_chooses_the_bridge() -> None:
    """The profile file names model and provider and nothing else."""
    profile = tomllib.loads(codex_config.render_profile("ocg-x"))
    assert profile == {"model": "ocg-x", "model_provider": "opencode_bridge"}


TRUST = '\n[projects."/a"]\ntrust_level = "trusted"\n'


def test_what_codex_adds_to_the_profile_stays() -> None:
    """Codex saves its trust in the profile of the session: install again keeps it, and so does taking ours out."""
    profile = codex_config.put_profile(None, "ocg-x")
    assert codex_config.put_profile(profile + TRUST, "ocg-y") == profile + TRUST
    assert codex_config.strip_profile(profile) == ""
    assert codex_config.strip_profile(profile + TRUST) == TRUST.lstrip()
    kept = "# mine\nmodel_reasoning_effort = 'low'\n"
    assert codex_config.strip_profile(profile + kept + TRUST) == kept + TRUST


def test_a_profile_of_the_users_own_is_refused() -> None:
    """A file of the same name that leads elsewhere is not ours to change."""
    with pytest.raises(EditRefused):
        codex_config.put_profile('model_provider = "other"\n', "ocg-x")
    with pytest.raises(EditRefused):
        codex_config.put_profile("broken = ", "ocg-x")
