"""The verdict on a client's transcript: did it see what a mission had emitted to it?

    emissions of a run ─┐
                        ├─► judge ─► PASS | WARN | FAIL | UNKNOWN, which items were seen, which were not
    a transcript ───────┘

| verdict | means |
| --- | --- |
| PASS | everything that was emitted to this thread stands in it, whole and in order, and its turn was completed |
| WARN | a part of it does; what is missing is named |
| FAIL | the transcript contradicts the record: other words, another order, copied words, or nothing of it at all |
| UNKNOWN | it says nothing about this run: another thread, no thread, no form that we read, nothing emitted |

Counterparts: `missions.transcript` reads, `missions.delivery` has the events and folds the verdict in.

Rules that hold here:

1. Whose transcript it is says its thread, never its words: words can be copied from the commentary's file.
2. A FAIL or UNKNOWN observes nothing, whatever matched.
3. What cannot be told is UNKNOWN. That this program was not used for a client is no fault of the client.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, structs

from codex_oss.missions.delivery import (
    REPORT,
    Channel,
    Created,
    EmittedItem,
    ItemsEmitted,
    Verdict,
    text_digest,
    thread_digest,
)
from codex_oss.missions.transcript import Kind, SeenText, Transcript

CODES: Final[dict[str, str]] = {
    "whole": "Everything that was emitted to this thread stands in it, in order, and its turn was completed.",
    "items_missing": "The turn ended, and the client wrote down only a part of what had been emitted to it.",
    "turn_not_completed": "Everything is there, and the turn did not end as completed.",
    "emission_unnoted": "Words of this run stand there whose emission was not noted, or is not yet; they do not count.",
    "transcript_cut": "The transcript ends before its turn does; what stands in it was seen.",
    "nothing_observed": "The turn was completed, and nothing of what had been emitted to it stands there.",
    "order_differs": "What was emitted stands there in another order, or twice.",
    "text_differs": "Words stand there, among those of the mission, that were never emitted.",
    "words_copied": "Words of this run stand in a thread to which they were never sent.",
    "other_thread": "The transcript is of another thread than those to which this run was sent.",
    "thread_missing": "The transcript does not say of which thread it is; perhaps its begin is missing.",
    "client_unnamed": "The client to which this run was sent named no thread; no transcript can be told to be its.",
    "nothing_emitted": "Nothing of this run is known to have been emitted to a client.",
    "not_a_transcript": "This is what the bridge sent, not what a client wrote down.",
    "unreadable": "This is neither output of `codex exec --json` nor notifications of the app-server.",
}
"""Every code with its sentence."""

SHOWN_BY: Final[dict[Channel, tuple[Kind, ...]]] = {"responses": ("message",), "mcp": ("progress", "tool_result")}
"""Which texts of a transcript a channel can have brought. A terminal of our own writes no transcript."""


class Judgement(Struct, frozen=True):
    """What a transcript says about a run."""

    verdict: Verdict
    code: str
    thread: str = ""
    """Digest of the thread that was judged."""
    observed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    pre_final: int = 0
    """Remarks that stand there before the report."""
    final: int = 0
    """Reports that stand there."""

    @property
    def sentence(self) -> str:
        """The code in words."""
        return CODES[self.code]


def judge(
    run_id: str,
    mission_id: str,
    emissions: Sequence[ItemsEmitted],
    transcript: Transcript,
    created: Sequence[Created] = (),
) -> Judgement:
    """Hold a transcript against the emissions of a run. created: what its log says, whether it was emitted or not."""
    if transcript.form == "bridge_stream":
        return Judgement("UNKNOWN", "not_a_transcript")
    if transcript.form == "unreadable":
        return Judgement("UNKNOWN", "unreadable")
    sent = [emission for emission in emissions if emission.channel in SHOWN_BY]
    if not sent:
        return Judgement("UNKNOWN", "nothing_emitted")
    if not transcript.threads:
        return Judgement("UNKNOWN", "thread_missing")
    own = {emission.thread for emission in sent if emission.thread}
    found = [thread for thread in transcript.threads if thread_digest(run_id, thread) in own]
    if not found:
        return _of_another(sent, transcript, named=bool(own))
    own_words = Counter(text_digest(entry.text) for entry in created)
    judged = [_judge_thread(run_id, mission_id, thread, sent, transcript, own_words) for thread in found]
    return max(judged, key=lambda each: ("UNKNOWN", "PASS", "WARN", "FAIL").index(each.verdict))


def _of_another(sent: Sequence[ItemsEmitted], transcript: Transcript, *, named: bool) -> Judgement:
    """No thread of it is one that the run was sent to."""
    if not named:
        return Judgement("UNKNOWN", "client_unnamed")
    # The first remark and the report name the mission; the others may be the same for many.
    telling = {entry.text_sha256 for each in sent for entry in each.items if entry.item in (REPORT, "remark:1")}
    copied = any(text_digest(seen.text) in telling for seen in transcript.texts if seen.kind == "message")
    return Judgement("FAIL", "words_copied") if copied else Judgement("UNKNOWN", "other_thread")


def _judge_thread(
    run_id: str,
    mission_id: str,
    thread_id: str,
    sent: Sequence[ItemsEmitted],
    transcript: Transcript,
    own_words: Counter[str],
) -> Judgement:
    thread, unnoted = thread_digest(run_id, thread_id), False
    observed: list[str] = []
    missing: list[str] = []
    turns: set[str] = set()
    for channel, kinds in SHOWN_BY.items():
        expected = [entry for each in sent if (each.channel, each.thread) == (channel, thread) for entry in each.items]
        texts = [text for text in transcript.texts if text.thread_id == thread_id and text.kind in kinds]
        unnoted_words = own_words - Counter(entry.text_sha256 for entry in expected)
        matched, fault = _match(expected, texts, unnoted_words)
        strange = _strange(channel, mission_id, matched, expected, texts)
        if not fault and any(text_digest(text.text) not in own_words for text in strange):
            fault = "text_differs"
        if fault:
            return Judgement("FAIL", fault, thread)
        observed += [expected[place].item for place in matched.values()]
        missing += [entry.item for place, entry in enumerate(expected) if place not in matched.values()]
        turns |= {texts[number].turn for number in matched}
        unnoted = unnoted or bool(strange)
    found = _weighed(thread, observed, missing, turns, transcript)
    if unnoted and found.code in ("whole", "items_missing", "turn_not_completed"):
        return structs.replace(found, verdict="WARN", code="emission_unnoted")
    return found


def _weighed(
    thread: str, observed: list[str], missing: list[str], turns: set[str], transcript: Transcript
) -> Judgement:
    """The verdict of a thread in which nothing contradicts the record."""
    endings = {transcript.endings.get(turn, "open") for turn in turns or set(transcript.endings)}
    ended = bool(endings) and "open" not in endings
    counts = (sum(item != REPORT for item in observed), observed.count(REPORT))
    # A report that was emitted twice, by two tool calls, and stands there once was seen.
    missing = [item for item in dict.fromkeys(missing) if item not in observed]
    told = (thread, tuple(dict.fromkeys(observed)), tuple(missing), *counts)
    if not observed:
        return Judgement("FAIL", "nothing_observed", *told) if ended else Judgement("UNKNOWN", "transcript_cut", thread)
    if not ended:
        return Judgement("WARN", "transcript_cut", *told)
    if missing:
        return Judgement("WARN", "items_missing", *told)
    return (
        Judgement("PASS", "whole", *told)
        if endings == {"completed"}
        else Judgement("WARN", "turn_not_completed", *told)
    )


def _match(
    expected: Sequence[EmittedItem], texts: Sequence[SeenText], unnoted: Counter[str]
) -> tuple[dict[int, int], str]:
    """Number of a text to the place of the item that it is, in order; or why that cannot be.

    unnoted: words that the run says more often than their emission was noted.
    """
    matched: dict[int, int] = {}
    after = 0
    places: dict[str, list[int]] = {}
    for place, entry in enumerate(expected):
        places.setdefault(entry.text_sha256, []).append(place)
    for number, text in enumerate(texts):
        known_as = text_digest(text.text)
        known = places.get(known_as)
        if known is None:
            continue
        next_place = next((place for place in known if place >= after), None)
        if next_place is None and unnoted[known_as] > 0:
            unnoted[known_as] -= 1
            continue
        if next_place is None:
            return {}, "order_differs"
        matched[number], after = next_place, next_place + 1
    return matched, ""


def _strange(
    channel: Channel,
    mission_id: str,
    matched: dict[int, int],
    expected: Sequence[EmittedItem],
    texts: Sequence[SeenText],
) -> list[SeenText]:
    """Words that stand where only the mission's can stand, and were not emitted.

    A turn on a mission model is answered by the mission alone. Over MCP the parent speaks as well; there only a result
    that names the mission, to which a report of it was emitted, must be that.
    """
    rest = [text for number, text in enumerate(texts) if number not in matched]
    if channel == "mcp":
        reported = any(entry.item == REPORT for entry in expected)
        return [text for text in rest if reported and text.mission_id == mission_id]
    turns = {texts[number].turn for number in matched}
    return [text for text in rest if text.turn in turns]
