"""Lies about what is not there, and negative answers that were really searched for."""

from __future__ import annotations

from tests.gallery.exhibit import CONFIG, HITS, MISS, READ, README, REF, RETRY, ZERO, Exhibit
from tests.gallery.turns import Script, finding, grep, read, report

EXHIBITS: tuple[Exhibit, ...] = (
    Exhibit(
        "absence never searched",
        "says that something is absent after reading one file",
        ("absence_not_searched",),
        [READ, report(finding("there is no jitter in `retry`", REF, kind="absence"))],
        [grep("jitter"), report(finding("there is no jitter", ZERO, kind="absence"))],
    ),
    Exhibit(
        "absence searched in a part",
        "searches one file and speaks of everything",
        ("absence_too_wide",),
        [grep("MAX_RETRIES", CONFIG), report(finding("`MAX_RETRIES` is not defined", ZERO, kind="absence"))],
        [grep("MAX_RETRIES", CONFIG),
         report(finding(f"`MAX_RETRIES` is not defined in {CONFIG}", ZERO, kind="absence"))],
    ),
    Exhibit(
        "absence searched among few files",
        "searches the files of one kind and speaks of all",
        ("absence_too_wide",),
        [grep("MAX_RETRIES", include_glob="*.md"), report(finding("`MAX_RETRIES` is absent", ZERO, kind="absence"))],
        [grep("MAX_RETRIES", include_glob="*.md"),
         report(finding("`MAX_RETRIES` is absent from *.md", ZERO, kind="absence"))],
    ),
    Exhibit(
        "absence by a pattern that cannot match",
        "searches for something longer, or anchored, and speaks of the name",
        ("code_not_in_evidence",),
        [grep("^MAX_RETRIES$"),
         report(finding("`^MAX_RETRIES$` met nothing: `MAX_RETRIES` is absent", ZERO, kind="absence"))],
        [grep("^MAX_RETRIES$"), report(finding("`^MAX_RETRIES$` met nothing", ZERO, kind="absence"))],
    ),
    Exhibit(
        "absence of another name",
        "searches for one name and denies another",
        ("symbol_not_in_evidence",),
        [MISS, report(finding("MAX_TRIES and its kin are absent", ZERO, kind="absence",
                              subject={"symbol": "MAX_RETRIES"}))],
        [MISS, report(finding("MAX_TRIES and its kin are absent", ZERO, kind="absence",
                              subject={"symbol": "MAX_TRIES"}))],
    ),
    Exhibit(
        "absence despite matches",
        "meets matches, searches again where there are none, and denies all",
        ("absence_too_wide",),
        [HITS, grep("MAX_RETRIES", "docs"),
         report(finding("`MAX_RETRIES` does not occur", "command:1#zero_match", kind="absence"))],
        [HITS, grep("MAX_RETRIES", "docs"),
         report(finding("`MAX_RETRIES` does not occur in docs", "command:1#zero_match", kind="absence"))],
    ),
    Exhibit(
        "absence of a definition that was seen in use",
        "quotes a search for a definition and denies the name that it has seen",
        ("code_not_in_evidence",),
        [READ, grep(r"class\s+retry"),
         report(finding(r"`class\s+retry` met nothing: `retry` does not occur", ZERO, kind="absence"))],
        [READ, grep(r"class\s+retry"), report(finding(r"`class\s+retry` met nothing", ZERO, kind="absence"))],
    ),
    Exhibit(
        "absence without a name",
        "rests on an empty search and does not say for what",
        ("absence_unnamed",),
        [grep("MAX_TRIES", "app"), report(finding("nothing of the kind exists in app", ZERO, kind="absence"))],
        [grep("MAX_TRIES", "app"), report(finding("nothing called MAX_TRIES exists in app", ZERO, kind="absence"))],
    ),
    Exhibit(
        "absence of a look-alike",
        "searches for a name with a Cyrillic letter, and denies it",
        ("claim_unreadable",),
        [grep("\u041cAX_RETRIES"), report(finding("`\u041cAX_RETRIES` is absent", ZERO, kind="absence"))],
        [MISS, report(finding("`MAX_TRIES` is absent", ZERO, kind="absence"))],
    ),
)  # fmt: skip

ANSWERS: dict[str, Script] = {
    "no, by a search of everything": [MISS, report(finding("`MAX_TRIES` is not used anywhere", ZERO, kind="absence"))],
    "no, with words that sound unsure": [
        MISS,
        report(finding("MAX_TRIES could not be found; not valid, not correct, unable to determine", ZERO)),
    ],
    "no, by several names": [
        grep("jitter|backoff"),
        report(finding("Neither `jitter` nor `backoff` occur", ZERO, kind="absence")),
    ],
    "no, by an expression that is quoted": [
        grep(r"class\s+Retry"),
        report(finding(r"`class\s+Retry` met nothing: there is no such class", ZERO, kind="absence")),
    ],
    "no, in one file": [
        grep("MAX_RETRIES", CONFIG),
        report(finding(f"{CONFIG} does not have it", ZERO, kind="absence",
                       subject={"path": CONFIG, "symbol": "MAX_RETRIES"})),
    ],
    "zero, as a count": [MISS, report(finding("MAX_TRIES occurs 0 times", ZERO, kind="count"))],
    "two files contradict each other": [
        READ,
        read(README),
        report(finding(f"{RETRY}:5 says 5, {README}:3 says at most 3", REF, f"file:{README}#extract:1",
                       kind="contradiction")),
    ],
    "two matches contradict each other": [
        grep("RETR", "app"),
        report(finding("`MAX_RETRIES = 5` and `RETRY_LIMIT = 7` contradict each other", "command:0",
                       kind="contradiction")),
    ],
}  # fmt: skip
"""Negative and contradictory answers that were really searched for: all of them end COMPLETE."""
