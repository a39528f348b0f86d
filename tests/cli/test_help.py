"""The help of every verb: an example, one first line everywhere, and the options that a program relies on."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from codex_oss.cli.main import VERBS
from tests.docs.generated import commands, render_help

ALL = dict(commands())
SAID = {" ".join(path): command for path, command in ALL.items()}
LEAVES = {name: command for name, command in SAID.items() if not isinstance(command, click.Group)}
NO_JSON = {"up", "mcp", "desktop-observation wrap", "desktop-pre-final-text-probe server", "login", "tui", "chat"}
"""Verbs whose stdout is something else: a server's or a command's own lines, an address, a screen."""
OF_THE_USER = ("accounts", "instructions", "login", "logout", "persona", "tui")
"""Verbs about what belongs to the user, whatever the project: a `--project` would promise something."""


def options(command: click.Command) -> set[str]:
    """Every option name of a command."""
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def test_the_table_names_every_verb() -> None:
    """What is walked here is what the user is shown."""
    assert [path[0] for path in ALL if len(path) == 1] == list(VERBS)


@pytest.mark.parametrize("name", SAID)
def test_help_shows_an_example_of_itself(name: str) -> None:
    """Each --help ends with an `Example:` that uses this very verb."""
    shown = " ".join(render_help(SAID[name], tuple(name.split())).split())
    assert f"codex-oss {name} " in shown.partition("Example: ")[2] + " "


@pytest.mark.parametrize("name", VERBS)
def test_short_help_is_the_first_sentence(name: str) -> None:
    """The list of verbs says what the verb says of itself."""
    first = (SAID[name].help or "").partition("\n\n")[0].replace("\n", " ")
    assert first.startswith(VERBS[name][1])
    assert first.removeprefix(VERBS[name][1])[:1] in ("", " ")


@pytest.mark.parametrize("name", LEAVES)
def test_programs_can_read_and_place_every_verb(name: str) -> None:
    """`--json` and `--project` exist wherever they make sense."""
    assert name in NO_JSON or "--json" in options(LEAVES[name])
    assert ("--project" in options(LEAVES[name])) is not name.startswith(OF_THE_USER)


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_is_explained(name: str) -> None:
    """No option stands in the help without a word about it."""
    bare = [p.name for p in LEAVES[name].params if isinstance(p, click.Option) and not p.hidden and not p.help]
    assert bare == []


def test_help_of_the_program_lists_the_verbs() -> None:
    """`python -m codex_oss --help` ends with 0 and names each verb; an unknown verb ends with 2 and no traceback."""
    done = subprocess.run([sys.executable, "-m", "codex_oss", "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert all(f"  {name}" in done.stdout for name in VERBS)
    wrong = subprocess.run([sys.executable, "-m", "codex_oss", "nonsense"], capture_output=True, text=True, timeout=30)
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)


def test_importing_the_group_stays_light() -> None:
    """The list of verbs is shown without importing a single one of them, nor any library of weight."""
    heavy = "{'msgspec', 'starlette', 'uvicorn', 'tomlkit', 'asyncio', 'codex_oss.wiring'}"
    shown = "m.cli.get_help(m.click.Context(m.cli))"
    script = f"import sys, codex_oss.cli.main as m; {shown}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stdout == "set()\n", done.stderr
