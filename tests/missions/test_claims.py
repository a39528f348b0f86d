"""Claims that say more than the lines they cite, each beside a truthful twin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.missions.absence import speaks_for
from codex_oss.missions.cited import Cited
from codex_oss.missions.claim import Claim
from codex_oss.missions.claims import CHECKS
from codex_oss.missions.evidence import Citation, ShownLine
from codex_oss.missions.passage import Passage
from codex_oss.missions.report import Finding, Subject
from tests.fakes.mission_script import Play, call, finding, mission, play, report

READ = [call("rtk_read", path="app/retry.py")]
ENDS = [
    call("rtk_read", path="app/retry.py", start_line=1, end_line=2),
    call("rtk_read", path="app/retry.py", start_line=6, end_line=7),
]
REF, REF2, ZERO = "file:app/retry.py#extract:1", "file:app/retry.py#extract:2", "command:0#zero_match"
CYRILLIC_M = "\u041c"


def search(pattern: str, path: str = "app", **more: object) -> list[str]:
    """One search."""
    return [call("rtk_grep", pattern=pattern, path=path, **more)]


def absent(claim: str, **more: object) -> dict[str, object]:
    """A claim of absence on the first search."""
    return finding(claim, ZERO, kind="absence", **more)


CASES: list[tuple[str, list[str], dict[str, object], str, dict[str, object]]] = [
    # name, actions before, lie, expected code, truthful twin
    ("other number", READ, finding("MAX_RETRIES is 50", REF), "value_not_in_evidence", finding("It is 5", REF)),
    ("number with a unit", READ, finding("it waits 50ms", REF), "value_not_in_evidence", finding("it waits 5s", REF)),
    (
        "count beyond the uses",
        READ,
        finding("`call` in 9 places", REF),
        "value_not_in_evidence",
        finding("`call` in 2 places", REF),
    ),
    (
        "range over a gap",
        ENDS,
        finding("see lines 1-7", REF, REF2),
        "line_not_shown",
        finding("see lines 6-7", REF, REF2),
    ),
    (
        "subject over a gap",
        ENDS,
        finding("x", REF, REF2, subject={"line": 1, "end_line": 7}),
        "line_not_shown",
        finding("x", REF, REF2, subject={"line": 1, "end_line": 2}),
    ),
    (
        "backwards range",
        READ,
        finding("x", REF, subject={"line": 5, "end_line": 3}),
        "line_not_shown",
        finding("x", REF, subject={"line": 3, "end_line": 5}),
    ),
    (
        "quote over a gap",
        ENDS,
        finding("x", REF, REF2, subject={"quote": "import time\n\n    for"}),
        "quote_not_in_evidence",
        finding("x", REF, REF2, subject={"quote": "import time\n"}),
    ),
    ("line in a list", READ, finding("on lines 3 and 42", REF), "line_not_shown", finding("on lines 3 and 5", REF)),
    ("line number", READ, finding("on line number 42", REF), "line_not_shown", finding("on line: 3", REF)),
    ("L42", READ, finding("see L42", REF), "line_not_shown", finding("see L3-L5", REF)),
    ("wide digits", READ, finding("on line \uff14\uff12", REF), "line_not_shown", finding("on line \uff13", REF)),
    ("anchor of a web page", READ, finding("app/retry.py#L42", REF), "line_not_shown", finding("app/retry.py#L3", REF)),
    ("line in brackets", READ, finding("app/retry.py(42)", REF), "line_not_shown", finding("app/retry.py(3)", REF)),
    (
        "another file in words",
        READ,
        finding("app/other.py has it", REF),
        "path_not_cited",
        finding("app/retry.py has it", REF),
    ),
    (
        "attribute",
        READ,
        finding("self.max_tries is set", REF),
        "symbol_not_in_evidence",
        finding("time.MAX_RETRIES", REF),
    ),
    ("part of a word", READ, finding("`AX_RETRIE` is set", REF), "code_not_in_evidence", finding("`MAX_RETRIES`", REF)),
    (
        "part of a path",
        READ,
        finding("ret() is called", REF),
        "symbol_not_in_evidence",
        finding("retry() is there", REF),
    ),
    ("long code", READ, finding(f"`{'a ' * 300}`", REF), "code_not_in_evidence", finding("`range(MAX_RETRIES)`", REF)),
    (
        "code block",
        READ,
        finding("```python\nx = 9\n```", REF),
        "code_not_in_evidence",
        finding("```python\nMAX_RETRIES = 5\n```", REF),
    ),
    (
        "look-alike letter",
        READ,
        finding(f"{CYRILLIC_M}AX_TRIES is set", REF),
        "claim_unreadable",
        finding("naïve Größe in μs: 5", REF),
    ),
    (
        "unseen characters",
        READ,
        finding("`MAX_RETRIES`\u200b is set", REF),
        "claim_unreadable",
        finding("`MAX_RETRIES`\tis set", REF),
    ),
    (
        "escape sequence",
        READ,
        finding("\x1b[2J`MAX_RETRIES` is set", REF),
        "claim_unreadable",
        finding("`MAX_RETRIES` is set", REF),
    ),
    (
        "nothing named",
        search("NOWHERE"),
        absent("there are no retries"),
        "absence_unnamed",
        absent("nowhere in the scope is NOWHERE"),
    ),
    (
        "statement on an empty search",
        search("NOWHERE"),
        finding("the limit is low", ZERO),
        "absence_unnamed",
        finding("NOWHERE is not there", ZERO),
    ),
    (
        "search for something longer",
        search("XMAX_RETRIESX"),
        absent("`MAX_RETRIES` is absent"),
        "code_not_in_evidence",
        absent("`XMAX_RETRIESX` is absent"),
    ),
    (
        "anchored search",
        search("^time"),
        absent("`time` is absent"),
        "code_not_in_evidence",
        absent("the search `^time` met nothing"),
    ),
    (
        "search of one file",
        search("NOWHERE", "app/config.py"),
        absent("`NOWHERE` is absent"),
        "absence_too_wide",
        absent("`NOWHERE` is absent from app/config.py"),
    ),
    (
        "search of some files",
        search("NOWHERE", include_glob="*.md"),
        absent("`NOWHERE` is absent"),
        "absence_too_wide",
        absent("`NOWHERE` is absent from *.md"),
    ),
    (
        "a part that is named as something else",
        search("NOWHERE", "app/config.py"),
        absent("`NOWHERE` is absent, as app/config.pyx says"),
        "absence_too_wide",
        absent("`NOWHERE` is absent, says app/config.py"),
    ),
    (
        "another file than searched",
        search("NOWHERE", "app/config.py"),
        absent("`NOWHERE`", subject={"path": "app/retry.py"}),
        "absence_too_wide",
        absent("`NOWHERE`", subject={"path": "app/config.py"}),
    ),
]


@pytest.mark.parametrize(
    ("before", "lie", "code", "truth"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_no_claim_says_more_than_its_lines(
    before: list[str], lie: dict[str, object], code: str, truth: dict[str, object]
) -> None:
    """The lie never ends COMPLETE and says why; its truthful twin does."""
    lies = play(mission(), [*before, report(lie), report(lie)]).closed
    assert lies is not None
    assert lies.status != "COMPLETE"
    assert code in lies.reason_codes
    twin = play(mission(), [*before, report(truth)]).closed
    assert twin is not None
    assert (twin.status, twin.reason_codes) == ("COMPLETE", ())


def test_a_search_for_look_alike_letters_proves_nothing() -> None:
    """A pattern with a Cyrillic letter meets nothing; a person would read the claim as one about the Latin name."""
    lie = report(absent(f"`{CYRILLIC_M}AX_RETRIES` is absent"))
    closed = play(mission(), [*search(f"{CYRILLIC_M}AX_RETRIES"), lie, lie]).closed
    assert closed is not None
    assert (closed.status, closed.reason_codes) == ("PARTIAL", ("claim_unreadable",))


def test_a_range_without_lines_is_not_read() -> None:
    """Asking for line 50 of a file of two lines does not make it read, neither for a source nor for a citation."""
    beyond = call("rtk_read", path="app/config.py", start_line=50)
    played = Play(mission(must_inspect=["app/config.py"]), [beyond, *READ, report(finding("`MAX_RETRIES`", REF))])
    record = played.run()
    assert record.closed is not None
    assert record.closed.reason_codes == ("required_source_missing",)
    assert "app/config.py" not in record.evidence.extracts
    assert any("no line in that range of 2" in said.text for said in record.transcript)


def test_the_same_claim_counts_once() -> None:
    """Two claims are asked for; one claim said twice is one."""
    contract = mission(sufficiency_policy={"min_main_claims": 2})
    once, again = finding("`MAX_RETRIES` is 5", REF), finding(" `max_retries`  is 5", REF, subject={"line": 3})
    again["claim"] = "`MAX_RETRIES`  is 5 "
    closed = play(contract, [*READ, report(once, again), report(once, again)]).closed
    assert closed is not None
    assert closed.reason_codes == ("too_few_findings",)


@pytest.mark.parametrize(
    ("pattern", "code", "speaks"),
    [
        ("foo", "foo_bar", True),
        ("foo_bar", "foo", False),
        (r"\bfoo\b", "foo", True),
        (r"\bfoo\b", "foobar", False),
        ("(foo|bar)", "bar", True),
        ("(?:foo|bar)", "foo", True),
        (r"foo\.bar\(", "foo.bar(x)", True),
        (r"def\s+foo", "def foo", True),
        (r"def\s+foo", "foo", False),
        ("^foo", "foo", False),
        ("foo.*bar", "foobar", False),
        ("[fg]oo", "foo", False),
        ("", "foo", False),
        (r"\b", "foo", False),
    ],
)
def test_a_search_speaks_only_for_what_it_would_have_met(pattern: str, code: str, speaks: bool) -> None:
    """Code is proved absent when the pattern is a plain text within it."""
    found = Citation(ZERO, "app", (), zero_match=True, pattern=pattern)
    assert speaks_for(found, code, f"`{code}` is absent") is speaks


def objections(finding_: Finding, *citations: Citation) -> list[str]:
    """The codes of everything that is said against a finding."""
    cited = Cited(tuple(Passage(citation) for citation in citations))
    claim = Claim(finding_, cited, cited, ["app"])
    return [code for _, _, codes, check in CHECKS for code, _ in check(claim) if code in codes]


@given(st.text(max_size=2000) | st.text("a+@./`_1 :L-\n", max_size=2000), st.text("a+.(|)\\b ", max_size=60))
def test_any_claim_is_judged(claim: str, pattern: str) -> None:
    """No text and no pattern breaks a gate."""
    lines = (ShownLine("app/a.py", 1, "a_1 = a.a(1)"), ShownLine("app/a.py", 2, ""))
    citations = Citation(REF, "app/a.py", lines), Citation(ZERO, "", (), zero_match=True, pattern=pattern)
    finding_ = Finding(claim, (REF, ZERO), "absence", Subject("app/a.py", claim[:9], 1, 2, claim[:9]))
    objections(finding_, *citations)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "+",
        "@",
        "a+",
        "a.",
        "`",
        "` ",
        "1,",
        "line 1 and ",
        "a_",
        "aA",
        '"',
        "two ",
        "tests pass ",
        "1 1 ",
        "a.py:1 ",
        "no ",
        "1e",
        "a/",
    ],
)
def test_a_hostile_claim_costs_little(text: str) -> None:
    """Repetitions that once cost cubes of their length (nine seconds a claim) are judged at once."""
    for _ in range(20):
        objections(Finding((text * 2000)[:2000], (REF,)), Citation(REF, "app/a.py", (ShownLine("app/a.py", 1, "x"),)))


@pytest.mark.parametrize(
    ("before", "truth"),
    [
        (search(r"\bbackoff\b"), absent("`backoff` does not occur.")),
        (search("backoff|jitter"), absent("Neither `backoff` nor `jitter` occur.", subject={"symbol": "backoff"})),
        (search(r"class\s+Retry"), absent("No class Retry is defined.")),
        (search(r"def\s+backoff"), absent(r"`def\s+backoff` met nothing, so `backoff` is not defined.")),
        (
            search("MAX_RETRIES"),
            finding("`MAX_RETRIES` occurs in 2 lines of app/retry.py (lines 3 and 6).", "command:0"),
        ),
        (READ, finding("`retry(call)` loops over `range(MAX_RETRIES)`, so call() runs 5 times.", REF)),
    ],
)
def test_honest_answers_pass(before: list[str], truth: dict[str, object]) -> None:
    """What an honest model writes, negative answers by expressions among it, needs no second try."""
    record = play(mission(), [*before, report(truth)])
    assert record.closed is not None
    assert (record.closed.status, record.closed.failures) == ("COMPLETE", ())
