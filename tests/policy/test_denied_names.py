"""Denied names: the closer look misses nothing, and what a project may take back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.denied_names import DENIED_NAMES, PERMITTED_NAMES, denied_name, is_permitted, may_be_denied
from codex_oss.policy.path_patterns import parse_patterns
from codex_oss.policy.scope import Scope, check_path

GLOBS = [glob for globs in DENIED_NAMES.values() for glob in globs]
NAMES = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="/\n\0"), min_size=1, max_size=12),
    st.builds(
        lambda glob, star, case, tail: case(glob.replace("*", star)) + tail,
        st.sampled_from(GLOBS),
        st.sampled_from(["", "x", ".a", "prod", "\uff0e"]),
        st.sampled_from([str, str.upper, str.title, str.swapcase]),
        st.sampled_from(["", ".", " ", "x", "\u200b"]),
    ),
)


@given(st.lists(NAMES, min_size=1, max_size=6))
def test_a_list_of_names_is_looked_at_whenever_one_of_them_is_denied(names: list[str]) -> None:
    """The quick look at a whole folder never misses a name that the exact one denies."""
    if any(denied_name(name) for name in names):
        assert may_be_denied("\n".join(names))


def test_ordinary_names_need_no_closer_look() -> None:
    """Otherwise the quick look would be none."""
    assert not may_be_denied("main.py\nREADME.md\n.gitignore\nsecrets.py\nkeys.py\n-rf\n[a].txt\n..foo")


@pytest.mark.parametrize("name", sorted(PERMITTED_NAMES))
def test_a_project_takes_back_an_example_and_nothing_else(name: str) -> None:
    """`!.env.example` in the ignore file opens that file; no line opens a real secret file or what lies in one."""
    plain, opened = (
        Scope(roots=(".",)),
        Scope(roots=(".",), ignored=parse_patterns(f"!{name}\n!.env\n!*.pem\n!.git/\n")),
    )
    assert check_path(f"app/{name}", plain).code == "path_denied"
    assert check_path(f"app/{name}", opened).allowed
    assert is_permitted(name.upper())
    for path in (".env", "app/.env", "a.pem", ".git/config", f"secrets/{name}", f"{name}/x", ".env.local"):
        assert check_path(path, opened).code == "path_denied", path
