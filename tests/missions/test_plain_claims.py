"""Ordinary honest sentences, as models write them without back-ticks or structure: every one of them stands."""

from __future__ import annotations

from typing import Any

import pytest

from codex_oss.missions.gates import judge_draft
from codex_oss.missions.report import parse_draft
from tests.fakes.mission_script import call, finding, mission, play, report
from tests.gallery.project import FILES as GALLERY

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


SAMPLE = {
    **GALLERY,
    "app/tool.py": "#!/usr/bin/env python3\nimport os\n",
    "app/lists.py": 'COLOURS = ["red", "green", "blue"]\n\nSIZES = [\n    "small",\n    "large",\n]\n',
    "app/svc.go": (
        "package svc\n\ntype Config struct {\n\tTimeout int\n\tRetries int\n}\n\nfunc New(c Config) *Svc {\n"
        "\tif c.Timeout == 0 {\n\t\tc.Timeout = 30\n\t}\n\treturn &Svc{c}\n}\n"
    ),
    "app/conf.yaml": "server:\n  port: 8080\n  host: localhost\nlimits:\n- 10\n- 20\n",
    "app/web.ts": "export const MAX = 3;\nexport function load(id: string) {\n  return fetch(`/items/${id}`);\n}\n",
}
HONEST = [
    ("client.py", "there are 2 functions", "other", {}),
    ("client.py", "There are two functions in this module", "count", {}),
    ("client.py", "`retry` is used in fetch (line 5) and store (line 9)", "usage", {"symbol": "retry"}),
    ("client.py", 'The so-called "store" function calls retry', "other", {}),
    ("tool.py", "This is a Python 3 script", "other", {}),
    ("retry.py", "retry() gives up after 5 attempts and raises TimeoutError", "behaviour", {}),
    ("retry.py", "`retry` sleeps `DELAY_S * attempt` seconds, i.e. 0.5 s after the second attempt", "behaviour", {}),
    ("retry.py", "`MAX_RETRIES` is defined on line 5 and used on line 11", "definition", {"symbol": "MAX_RETRIES"}),
    ("retry.py", "MAX_RETRIES is set to 5 and DELAY_S to 0.5", "value", {}),
    ("retry.py", "The delay is 0.5 seconds", "value", {"symbol": "DELAY_S"}),
    ("retry.py", "`retry` catches OSError", "behaviour", {"symbol": "retry", "line": 9, "end_line": 16}),
    ("retry.py", "The file has 16 lines", "other", {}),
    ("config.py", 'MODE is "strict"', "value", {"symbol": "MODE"}),
    ("config.py", "MODE is strict", "value", {"symbol": "MODE"}),
    ("config.py", "It defines 4 settings", "count", {}),
    ("lists.py", "`COLOURS` has 3 entries", "count", {"symbol": "COLOURS"}),
    ("lists.py", "SIZES lists two sizes", "count", {"symbol": "SIZES"}),
    ("lists.py", "app/lists.py:1 and app/lists.py:3 contradict each other: COLOURS, SIZES", "contradiction", {}),
    ("svc.go", "The default Timeout is 30", "value", {"symbol": "Timeout"}),
    ("svc.go", "`Config` has 2 fields", "count", {}),
    ("svc.go", "Retries is defined at line 5", "definition", {"symbol": "Retries", "line": 5}),
    ("conf.yaml", "The server listens on port 8080", "value", {}),
    ("conf.yaml", "limits are 10 and 20", "value", {"symbol": "limits"}),
    ("retry.py", "No tests were executed for retry", "other", {}),
    ("web.ts", "`load` fetches `/items/${id}`", "behaviour", {"symbol": "load"}),
]
DISHONEST = [
    ("config.py", "the timeout is 7", "other", {}, "value_of_something_else"),
    ("config.py", "TIMEOUT_S is 4", "other", {}, "value_not_in_evidence"),  # 4: the number of lines
    ("config.py", "DEBUG is on", "value", {"symbol": "DEBUG"}, "value_not_in_evidence"),
    ("config.py", "MODE is lax", "value", {"symbol": "MODE"}, "value_not_in_evidence"),
    ("retry.py", "it retries 16 times", "behaviour", {}, "value_not_in_evidence"),
    ("retry.py", "MAX_RETRIES is defined on line 11", "definition", {}, "definition_not_shown"),
    ("retry.py", "`retry` catches ValueError", "behaviour", {}, "symbol_not_in_evidence"),
    ("retry.py", "The system is secure and well tested (app/retry.py:5)", "other", {}, "line_about_something_else"),
    ("retry.py", "The system is secure and well tested", "other", {"line": 5}, "line_about_something_else"),
    ("client.py", "there are 3 functions", "other", {}, "value_not_in_evidence"),
    ("lists.py", "`COLOURS` has 5 entries", "count", {"symbol": "COLOURS"}, "count_not_borne_out"),
    ("client.py", "fetch is at line 8", "other", {}, "line_about_something_else"),
    ("svc.go", "Retries defaults to 30", "value", {"symbol": "Retries"}, "value_of_something_else"),
    ("web.ts", "MAX is three hundred", "value", {}, "value_not_in_evidence"),
    ("retry.py", "MAX_RETRIES is 5e3", "other", {}, "value_not_in_evidence"),
    ("retry.py", "MAX_RETRIES is 0x50", "other", {}, "value_not_in_evidence"),
    ("retry.py", "MAX_RETRIES is 5\u2070", "other", {}, "claim_unreadable"),
    ("client.py", "I ran the code and retry works", "other", {}, "execution_not_on_record"),
]


def objections_to(name: str, claim: str, kind: str, subject: dict[str, Any]) -> set[str]:
    """The codes of what is said against a finding on one whole file."""
    record = play(mission(), [call("rtk_read", path=f"app/{name}"), report(status="PARTIAL")], files=SAMPLE)
    told = finding(claim, f"file:app/{name}#extract:1", kind=kind, subject=subject)
    return {failure.code for failure in judge_draft(record, parse_draft({"status": "COMPLETE", "findings": [told]}))}


@pytest.mark.parametrize(("name", "claim", "kind", "subject"), HONEST)
def test_an_honest_claim_of_a_kind_stands(name: str, claim: str, kind: str, subject: dict[str, Any]) -> None:
    """Counts, values and definitions, as models write them, in several languages."""
    assert objections_to(name, claim, kind, subject) == set()


@pytest.mark.parametrize(("name", "claim", "kind", "subject", "code"), DISHONEST)
def test_a_plain_lie_does_not(name: str, claim: str, kind: str, subject: dict[str, Any], code: str) -> None:
    """Each names things that stand in the file, and is false."""
    assert code in objections_to(name, claim, kind, subject)
