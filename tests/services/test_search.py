"""Searching documents: one answer whatever the engine, and no pattern that takes over."""

from __future__ import annotations

import re
import shutil
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.services.expressions import PatternInvalid
from codex_oss.services.search import (
    BATCH_LINES,
    Document,
    Engine,
    LineFinder,
    PatternTooSlow,
    batches,
    parse_query,
)

NEEDS_RG = pytest.mark.skipif(shutil.which("rg") is None, reason="rg is not installed: engines are NOT compared")
ENGINES = [pytest.param("python", id="python"), pytest.param("rg", id="rg", marks=NEEDS_RG)]

LINES = (
    "def main() {",
    "    return foo.bar[0]  # x",
    "",
    "interface{}",
    "Straße ÉCOLE école",
    "tab\there\u00a0nbsp",
    "a\rb\x1c",
    "٣ digits 42",
    "\ufeffbom <tag> & \\d",
    "e\u0301 kelvin \u212a k",
    "x" * 500,
)


def lines_of(pattern: str, engine: Engine | None = None, *, case_sensitive: bool = True) -> list[int]:
    """The numbers of `LINES` that match."""
    finder = LineFinder(parse_query(pattern, case_sensitive=case_sensitive), engine=engine)
    return finder.find([Document("f", LINES)], timeout_s=20)[0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "pattern",
    [
        "foo.bar", r"foo\.bar", r"main\(\) \{", "interface{}", "{", "[{}]", r"\d+", r"\D", r"^\s*$", r"\w+", r"^\W",
        "^$", "^", "x{100}", "x{0,}$", "(a|b|tab)", "(?i)école", "(?i:straSSE|ecole)", "é", "[^a-z]", "[[:space:]]",
        "[[:digit:][:upper:]]", "[a-c]", "[]a]", "[^]a]", r"[\]\[]", "[a&&b]", "[a--]", "[[a]", r"\bfoo\b", r"\Aa",
        r"x\Z", ".", "a.b", "a?", "(?:ab)*?c", "<tag>", r"\<tag", "&", r"\\d", r"\x41|\t", "(?P<n>foo)", "k", r"\.",
        "[\\d_]", "[^\\s]", "[^\\W]", "é|É", "()", "a||b", "#", "x  # x", "-", "[+-]", "/",
    ],
)  # fmt: skip
def test_expressions_mean_what_python_says(pattern: str, engine: Engine) -> None:
    """Each engine finds the lines that Python's own search finds."""
    plain = pattern.replace("[[:space:]]", r"\s").replace("[[:digit:][:upper:]]", "[0-9A-Z]").replace("&&", "&")
    plain = plain.replace("[[a]", r"[\[a]").replace("[a--]", "[a-]")
    expected = [number for number, line in enumerate(LINES, 1) if re.search(plain, line)]
    assert lines_of(pattern, engine) == expected


ATOMS = st.sampled_from(
    [
        "a",
        "b",
        " ",
        ".",
        r"\d",
        r"\w",
        r"\s",
        r"\W",
        "[a-f]",
        "[^x]",
        "é",
        "K",
        r"\.",
        "{",
        "x",
        "_",
        r"\b",
        "^",
        "$",
        "-",
    ]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        inner.map(lambda one: f"(?:{one})*"),
        inner.map(lambda one: f"(?:{one}){{1,3}}?"),
        st.tuples(inner, inner).map("|".join).map(lambda both: f"({both})"),
    ),
    max_leaves=5,
)
# Combining marks are left out: the one difference that `services.search` admits.
TEXTS = st.lists(st.text("ab xé_K{.-\t\rkſ9\u0663ßÉ" + string.punctuation, max_size=12), min_size=1, max_size=8)


@NEEDS_RG
@settings(max_examples=80, deadline=None)
@given(PATTERNS, TEXTS, st.booleans())
def test_both_engines_find_the_same_lines(pattern: str, lines: list[str], case_sensitive: bool) -> None:
    """Any expression over any lines: with and without `rg` the same numbers."""
    query = parse_query(pattern, case_sensitive=case_sensitive)
    document = Document("f", tuple(lines))
    with_rg = LineFinder(query, engine="rg").find([document], timeout_s=20)
    assert with_rg == LineFinder(query, engine="python").find([document], timeout_s=20)


@pytest.mark.parametrize(
    "pattern",
    ["(", "[a", "*a", r"a\1(b)\1", "(?=a)", "(?<!a)b", "(?>a)", "a++", r"\p{L}", "(?x) a", "(?a)b", "[[:nope:]]",
     "a{1001}", "a\nb", "(a)(?(1)b|c)", "\\", "[z-a]", "(" * 5000 + ")" * 5000],
)  # fmt: skip
def test_what_not_every_engine_knows_is_refused_with_a_sentence(pattern: str) -> None:
    """Invalid or unportable expressions are refused before any engine sees them."""
    with pytest.raises(PatternInvalid) as caught:
        parse_query(pattern)
    assert str(caught.value).endswith(".")


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\n\r\0"), min_size=1, max_size=20))
def test_any_text_is_a_query_or_is_refused(pattern: str) -> None:
    """Parsing never fails in another way than by PatternInvalid."""
    try:
        query = parse_query(pattern)
    except PatternInvalid:
        return
    assert query.literal or query.rust


def test_a_literal_is_found_in_process_in_either_case() -> None:
    """Text without special characters needs no child; ignoring case is like the expressions do it."""
    assert parse_query("école").literal
    assert lines_of("école") == [5]
    assert lines_of("RETURN FOO") == []
    assert lines_of("RETURN", case_sensitive=False) == [2]


@pytest.mark.parametrize("engine", ENGINES)
def test_line_numbers_belong_to_their_documents(engine: Engine) -> None:
    """Empty documents, documents without a match and the last line of a document keep their numbers."""
    documents = [
        Document("a", ("x1", "y")),
        Document("b", ()),
        Document("c", ("y",)),
        Document("d", ("y", "", "x2")),
    ]
    assert LineFinder(parse_query(r"x\d"), engine=engine).find(documents, timeout_s=20) == [[1], [], [], [3]]
    assert LineFinder(parse_query(r"\d"), engine=engine).find([Document("b", ())], timeout_s=20) == [[]]


def test_a_pattern_that_explodes_is_killed() -> None:
    """Exponential backtracking ends with PatternTooSlow instead of hanging."""
    finder = LineFinder(parse_query(r"(x+x+)+y"), engine="python")
    with pytest.raises(PatternTooSlow):
        finder.find([Document("f", ("x" * 60,))], timeout_s=0.3)


@NEEDS_RG
def test_the_linear_engine_answers_what_explodes_elsewhere() -> None:
    """With `rg` the same pattern is simply not found."""
    assert LineFinder(parse_query(r"(x+x+)+y"), engine="rg").find([Document("f", ("x" * 60,))], timeout_s=20) == [[]]


@NEEDS_RG
def test_an_expression_too_large_for_rg_is_answered_by_python() -> None:
    """A size limit of one engine is not a difference to the caller."""
    query = parse_query(r"(?:\w{1,1000}é){100,1000}|ok")
    assert LineFinder(query, engine="rg").find([Document("f", ("ok", "no"))], timeout_s=20) == [[1]]


def test_documents_are_batched_in_order() -> None:
    """Batches are bounded by lines, keep the order and lose nothing."""
    documents = [Document(str(number), ("",) * (BATCH_LINES // 2)) for number in range(5)]
    groups = list(batches(iter(documents)))
    assert [len(group) for group in groups] == [2, 2, 1]
    assert [document for group in groups for document in group] == documents
    assert list(batches(iter(()))) == []
