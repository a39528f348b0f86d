"""Ordinary honest sentences, as models write them without back-ticks or structure: every one of them stands."""

from __future__ import annotations

import pytest

from tests.fakes.mission_script import call, finding, mission, play, report

FILES = {
    "src/app.py": (
        "import os\n\n\ndef add(a, b):\n    return a + b\n\n\n"
        "def greet(name):\n    return 'hello ' + name\n\nVALUE = 42\n"
    ),
    "src/util.py": "from app import add\n\nprint(add(1, 2))\n",
}
READ = call("rtk_read", path="src/app.py")
MISS = call("rtk_grep", pattern="DOES_NOT_EXIST", path="src")
HITS = call("rtk_grep", pattern=r"add\(", path="src")
EXTRACT, ZERO, RUN = "file:src/app.py#extract:1", "command:0#zero_match", "command:0"


@pytest.mark.parametrize(
    ("action", "claim", "ref"),
    [
        (READ, "add is defined in src/app.py", EXTRACT),
        (READ, "The function add is defined at line 4 of src/app.py", EXTRACT),
        (READ, "src/app.py defines add()", EXTRACT),
        (READ, "VALUE equals 42", EXTRACT),
        (READ, "The file contains a function named greet which returns 'hello '", EXTRACT),
        (READ, "`add` returns the sum of a and b", EXTRACT),
        (READ, "The module imports os.", EXTRACT),
        (READ, "VALUE is set to 42 on line 11", EXTRACT),
        (READ, "add takes two parameters (a, b) and greet takes one", EXTRACT),
        (READ, "app.py is 11 lines long", EXTRACT),
        (READ, "Found the answer in app.py", EXTRACT),
        (MISS, "No occurrence of DOES_NOT_EXIST in src", ZERO),
        (MISS, "DOES_NOT_EXIST is not used anywhere under src", ZERO),
        (MISS, "`DOES_NOT_EXIST` was not found", ZERO),
        (HITS, "add is called in src/util.py:3", RUN),
        (HITS, "add( appears 2 times", RUN),
        (HITS, "`add` is used in util.py", "command:0#match:1"),
    ],
)
def test_an_honest_sentence_stands(action: str, claim: str, ref: str) -> None:
    """A plain sentence about what was shown ends COMPLETE without a word against it."""
    record = play(mission(allowed_roots=["src"]), [action, report(finding(claim, ref))], files=FILES)
    assert record.closed is not None
    assert (record.closed.status, record.closed.reason_codes) == ("COMPLETE", ())


@pytest.mark.parametrize(
    "claim",
    [
        "x",
        "The retry limit is forty-two",
        "This is what was asked for and it has been done",
        "multiply is defined here",
    ],
)
def test_a_sentence_about_something_else_does_not(claim: str) -> None:
    """Words that stand in any text do not make a claim speak of its lines."""
    lie = report(finding(claim, EXTRACT))
    record = play(mission(allowed_roots=["src"]), [READ, lie, lie], files=FILES)
    assert record.closed is not None
    assert (record.closed.status, record.closed.reason_codes) == ("PARTIAL", ("claim_not_grounded",))
