"""Critical paths in gitignore syntax: what they cover, in which spelling, and that no bad line is passed over."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.critical_paths import BUILT_IN
from codex_oss.policy.path_patterns import parse_patterns
from codex_oss.policy.scope import Scope, check_path, names_critical_path, normalise_path

FILE = """
# where money moves
/billing/
*.sql
src/**/ledger_*.py
!src/tests/**/ledger_*.py
!/migrations
Prüfung/
\\#odd
"""


@pytest.mark.parametrize(
    ("path", "critical"),
    [
        ("billing/pay.py", True),
        ("billing", True),
        ("src/billing/pay.py", False),
        ("db/deep/a.sql", True),
        ("db/A.SQL", True),
        ("src/x/ledger_main.py", True),
        ("src/ledger_main.py", True),
        ("src/tests/x/ledger_main.py", False),
        ("src/x/ledger.py", False),
        ("migrations/0001.py", True),
        ("src/auth/login.py", True),
        ("src/authors/login.py", False),
        ("docs/src/auth/login.py", False),
        (".github/workflows/ci.yml", True),
        ("a/Prüfung/b.py", True),
        ("a/PRÜFUNG/b.py", True),
        (unicodedata.normalize("NFD", "a/Prüfung/b.py"), True),
        ("ｂｉｌｌｉｎｇ/pay.py", True),
        ("bil\u200bling/pay.py", True),
        ("billing./pay.py", True),
        ("#odd", True),
        ("README.md", False),
    ],
)
def test_what_a_projects_file_covers(path: str, critical: bool) -> None:
    """gitignore syntax; the built-in roots stay; case, Unicode form, width and invisible characters lead nowhere."""
    assert names_critical_path(path, Scope(critical=parse_patterns(FILE))) is critical


def test_a_reader_of_a_folder_of_globs_needs_its_name() -> None:
    """With flag and reason a wholly critical folder or the very file opens it, a broad root does not."""
    patterns = parse_patterns("**/secret_sauce/**\n*.sql\n")
    for roots, paths, path, allowed in (
        (("lib/secret_sauce",), (), "lib/secret_sauce/a.py", True),
        (("lib",), (), "lib/secret_sauce/a.py", False),
        (("lib",), (), "lib/a.sql", False),
        ((), ("lib/a.sql",), "lib/a.sql", True),
        (("lib",), (), "lib/a.py", True),
    ):
        scope = Scope(roots, paths, critical=patterns, critical_read_allowed=True)
        assert check_path(path, scope).allowed is allowed, path
        closed = Scope(roots, paths, critical=patterns)
        assert check_path(path, closed).code == ("allowed" if path == "lib/a.py" else "critical_path_detected")


@pytest.mark.parametrize("text", ["ok\n!\n", "a\0b", "x" * 5000, "/" * 3 + "\n!", "\n" * 10_001])
def test_a_line_that_is_no_pattern_is_named(text: str) -> None:
    """A typo in a file that protects is an error, never a gap."""
    with pytest.raises(ValueError, match=r"line \d+ is no|at most 10000"):
        parse_patterns(text)


@given(
    st.lists(st.text(alphabet=st.characters(exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"))),
    st.text(),
)
def test_any_file_is_read_or_refused_and_any_path_is_answered(lines: list[str], path: str) -> None:
    """No text of a file and no path breaks the check; the built-in roots are critical whatever the file says."""
    try:
        patterns = parse_patterns("\n".join(lines))
    except ValueError:
        return
    scope = Scope(("src",), (), critical=patterns)
    if normalise_path(path) is not None:
        assert names_critical_path(path, scope) in (True, False)
    for root in BUILT_IN:
        assert names_critical_path(f"{root}/x", scope)
        assert not check_path(f"{root}/x", Scope((root,), critical=patterns)).allowed
