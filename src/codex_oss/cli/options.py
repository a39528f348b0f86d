"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True)
"""A folder that is there, as an absolute path."""


def project_option(command: Command) -> Command:
    """`--project DIR`, default the current folder; passes an absolute Path named `project`."""
    return click.option(
        "--project",
        type=FOLDER,
        default=".",
        show_default="current folder",
        metavar="DIR",
        help="The project's folder.",
    )(command)


def quiet_option(command: Command) -> Command:
    """`--quiet`: no progress on stderr; passes a bool named `quiet`."""
    return click.option("--quiet", "-q", is_flag=True, help="Show no progress; errors are still said.")(command)


def json_option(command: Command) -> Command:
    """`--json`: exactly one JSON object on stdout; passes a bool named `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)
