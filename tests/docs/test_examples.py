"""What README, CONTRIBUTING and docs/ show is true: it parses, it exists, and where it is marked so, it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from codex_oss.cli.demo_links import copy_sample_project
from codex_oss.cli.main import VERBS, cli
from tests.docs.markdown import PAGES, ROOT, Block, Example, blocks, examples, links, words_of

CONSOLE = [example for block in blocks("console") for example in examples(block)]
OURS = [example for example in CONSOLE if Path((words_of(example.command) or [""])[0]).name == "codex-oss"]


def test_there_is_something_to_check() -> None:
    """The collection found the pages; an empty one would make every test here pass."""
    assert ROOT / "README.md" in PAGES
    assert CONSOLE


@pytest.mark.parametrize("block", blocks("json", "toml", "python"), ids=str)
def test_data_in_the_docs_parses(block: Block) -> None:
    """A reader who copies a JSON, TOML or Python block gets something valid."""
    match block.language:
        case "json":
            json.loads(block.body)
        case "toml":
            tomllib.loads(block.body)
        case _:
            compile(block.body, str(block), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_the_repository_resolve(page: Path) -> None:
    """Every relative link points at a file or folder that exists."""
    missing = [target for target in links(page) if not (page.parent / target.partition("#")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("example", OURS, ids=str)
def test_commands_in_the_docs_exist(example: Example) -> None:
    """Each shown `codex-oss` command names a verb we have, with options it knows."""
    command: click.Command = cli
    for word in words_of(example.command)[1:]:
        if word == "--":
            return
        if word.startswith("-"):
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            assert word.partition("=")[0] in known | {"--help", "-h"}, f"{command.name} has no option {word}"
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"{command.name} has no verb {word}"
            command = found


@pytest.mark.parametrize("example", [example for example in CONSOLE if example.block.runs], ids=str)
def test_marked_examples_run_and_print_what_is_shown(example: Example, tmp_path: Path) -> None:
    """A command marked to run ends with 0 on the sample project; printed output is what the page shows.

    A line `...` in the page stands for any number of lines.
    """
    project = tmp_path / "project"
    copy_sample_project(project)
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environ |= {"HOME": str(tmp_path), "COLUMNS": "100"}
    command = example.command.replace("bin/codex-oss", "codex-oss")
    done = subprocess.run(
        command, shell=True, cwd=project, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    if example.output:
        assert fits(done.stdout.rstrip().splitlines(), example.output.splitlines())


def fits(lines: list[str], shown: list[str]) -> bool:
    """Whether printed lines are those shown, a shown `...` standing for any number of lines."""
    if not shown:
        return not lines
    if shown[0].strip() == "...":
        return any(fits(lines[skip:], shown[1:]) for skip in range(len(lines) + 1))
    return bool(lines) and lines[0].rstrip() == shown[0].rstrip() and fits(lines[1:], shown[1:])


def test_every_verb_has_help_with_an_example() -> None:
    """`--help` of each verb says what it does in one line and shows an example that begins with our name."""
    bare = []
    for name in VERBS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        if not command.get_short_help_str() or "codex-oss " not in (command.epilog or ""):
            bare.append(name)
    assert bare == []
