"""The verdict on a transcript: faithful ones pass, and no cut, altered, swapped, copied or foreign one does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.missions.delivery import (
    REPORT,
    Channel,
    Created,
    ItemsEmitted,
    TranscriptJudged,
    emitted_item,
    fold_delivery,
    thread_digest,
)
from codex_oss.missions.observing import CODES, Judgement, judge
from codex_oss.missions.transcript import parse_transcript

RUN, MISSION, THREAD = "run_1", "m_test", "01a1ff62-903c-7c03"
SAID = ["Mission m_test (A3): look", "Read a.py", "Read a.py: lines 1-3 of 3.", "Read a.py", "COMPLETE: 1 tool run."]
REPORT_TEXT = "# Mission m_test: COMPLETE\n\n```json\n{}\n```\n"
ITEMS = [(f"remark:{number}", text) for number, text in enumerate(SAID, 1)] + [(REPORT, REPORT_TEXT)]


def emitted(
    items: Sequence[tuple[str, str]] = ITEMS, thread: str = THREAD, channel: Channel = "responses"
) -> ItemsEmitted:
    """One note of these items."""
    return ItemsEmitted(channel, tuple(emitted_item(*item) for item in items), thread_digest(RUN, thread), "test/1")


def exec_lines(texts: Sequence[str], thread: str = THREAD, ending: str = "turn.completed") -> list[dict[str, Any]]:
    """What `codex exec --json` prints of a turn."""
    head = [{"type": "thread.started", "thread_id": thread}, {"type": "turn.started"}]
    items = [
        {"type": "item.completed", "item": {"id": f"item_{i}", "type": "agent_message", "text": text}}
        for i, text in enumerate(texts)
    ]
    return [*head, *items, *([{"type": ending}] if ending else [])]


def app_lines(texts: Sequence[str], thread: str = THREAD, ending: str = "completed") -> list[dict[str, Any]]:
    """What the app-server notifies of a turn, with answers to requests in between."""
    ids = {"threadId": thread, "turnId": "turn_1"}
    lines: list[dict[str, Any]] = [
        {"id": 1, "result": {}},
        {"method": "turn/started", "params": {"threadId": thread, "turn": {"id": "turn_1", "status": "inProgress"}}},
    ]
    for i, text in enumerate(texts):
        item = {"type": "agentMessage", "id": f"msg_{i}", "text": text, "phase": "commentary"}
        lines.append({"method": "item/agentMessage/delta", "params": {**ids, "delta": text}})
        lines.append({"method": "item/completed", "params": {**ids, "item": item}})
    if ending:
        turn = {"id": "turn_1", "status": ending}
        lines.append({"method": "turn/completed", "params": {"threadId": thread, "turn": turn}})
    return lines


FORMS = {"codex_exec_json": exec_lines, "codex_app_server": app_lines}


def verdict(lines: Sequence[dict[str, Any]], *emissions: ItemsEmitted) -> Judgement:
    """Judge these lines."""
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return judge(RUN, MISSION, emissions or (emitted(),), parse_transcript(data), [Created(*item) for item in ITEMS])


TEXTS = [text for _, text in ITEMS]


@pytest.mark.parametrize("form", FORMS)
def test_a_faithful_transcript_passes(form: str) -> None:
    """Everything in order in the right thread: PASS, with all items observed, also when one text stands there twice."""
    found = verdict(FORMS[form](TEXTS))
    assert (found.verdict, found.code, found.missing) == ("PASS", "whole", ())
    assert found.observed == tuple(item for item, _ in ITEMS)
    assert (found.pre_final, found.final) == (5, 1)


@given(st.sampled_from(sorted(FORMS)), st.sets(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=len(TEXTS)))
def test_what_the_client_dropped_is_not_observed(form: str, dropped: set[int]) -> None:
    """Whichever items are missing: never PASS, as many are missing as were dropped, and nothing dropped is observed."""
    kept = [text for i, text in enumerate(TEXTS) if i not in dropped]
    found = verdict(FORMS[form](kept))
    if not kept:
        assert (found.verdict, found.code) == ("FAIL", "nothing_observed")
        return
    assert (found.verdict, found.code, len(found.missing)) == ("WARN", "items_missing", len(dropped))
    assert sorted(text for item, text in ITEMS if item in found.observed) == sorted(kept)


@given(st.sampled_from(sorted(FORMS)), st.integers(0, len(TEXTS) - 1), st.sampled_from(["!", " ", "\n", "\u200b"]))
def test_an_altered_word_fails(form: str, which: int, added: str) -> None:
    """One character more in one item: FAIL, and nothing is observed."""
    texts = [text + added if i == which else text for i, text in enumerate(TEXTS)]
    found = verdict(FORMS[form](texts))
    assert (found.verdict, found.code, found.observed) == ("FAIL", "text_differs", ())


@given(st.sampled_from(sorted(FORMS)), st.permutations(TEXTS))
def test_another_order_is_no_pass(form: str, texts: list[str]) -> None:
    """Any order but the one in which it was emitted is a FAIL."""
    found = verdict(FORMS[form](texts))
    assert found.verdict == ("PASS" if texts == TEXTS else "FAIL")


@given(st.sampled_from(sorted(FORMS)), st.integers(0, 14))
def test_a_cut_transcript_is_a_warning_at_most(form: str, length: int) -> None:
    """Cut after any line before the end: never PASS, and what is called observed stands there."""
    lines = FORMS[form](TEXTS)
    cut = lines[: min(length, len(lines) - 1)]
    found = verdict(cut)
    assert found.verdict in ("WARN", "UNKNOWN")
    assert found.code in ("transcript_cut", "thread_missing", "unreadable")
    assert len(found.observed) == sum("item" in line or "item" in line.get("params", {}) for line in cut)


@pytest.mark.parametrize("form", FORMS)
def test_words_alone_prove_nothing(form: str) -> None:
    """The right words in a thread that got nothing are copied; other words there say nothing; no thread, no verdict."""
    assert verdict(FORMS[form](TEXTS, thread="another")).code == "words_copied"
    assert verdict(FORMS[form](["hello"], thread="another")).code == "other_thread"
    unnamed = [line for line in FORMS[form](TEXTS, thread="") if line.get("type") != "thread.started"]
    assert verdict(unnamed).code == "thread_missing"
    assert verdict(FORMS[form](TEXTS), emitted(thread="")).code == "client_unnamed"
    assert verdict(FORMS[form](TEXTS), emitted(channel="cli")).code == "nothing_emitted"


def test_an_inserted_remark_fails() -> None:
    """A remark that nobody emitted, between the others."""
    assert verdict(exec_lines([*TEXTS[:2], "All tests passed.", *TEXTS[2:]])).code == "text_differs"


def test_words_whose_emission_is_not_noted_are_a_warning() -> None:
    """The note of the last items is late or lost: no accusation, and what was not noted is not observed."""
    created = [Created(*item) for item in ITEMS]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in exec_lines(TEXTS))
    found = judge(RUN, MISSION, [emitted(ITEMS[:3])], parse_transcript(data), created)
    assert (found.verdict, found.code, found.observed) == (
        "WARN",
        "emission_unnoted",
        ("remark:1", "remark:2", "remark:3"),
    )
    altered = data.replace(b"COMPLETE: 1 tool run.", b"COMPLETE: 9 tool runs.")
    assert judge(RUN, MISSION, [emitted(ITEMS[:3])], parse_transcript(altered), created).code == "text_differs"


def test_a_turn_before_or_after_is_nobodys_fault() -> None:
    """Other turns of the same thread may say what they like; another ending of this one is a warning."""
    other = [{"type": "turn.started"}, exec_lines(["hello"])[2], {"type": "turn.completed"}]
    lines = exec_lines(TEXTS)
    assert verdict([lines[0], *other, *lines[1:], *other]).verdict == "PASS"
    assert verdict(exec_lines(TEXTS, ending="turn.failed")).code == "turn_not_completed"
    assert verdict(app_lines(TEXTS, ending="interrupted")).code == "turn_not_completed"


def call_lines(text: str, mission_id: str = MISSION, tool: str = "findings") -> list[dict[str, Any]]:
    """A turn in which a parent delegated over MCP and went on talking."""
    result = {"content": [{"type": "text", "text": text}], "structured_content": {"mission_id": mission_id, tool: []}}
    item = {"id": "item_0", "type": "mcp_tool_call", "server": "s", "tool": "delegate", "result": result}
    lines = exec_lines(["I asked the delegate."])
    return [*lines[:2], {"type": "item.completed", "item": item}, *lines[2:]]


def test_over_mcp_the_parent_may_speak_and_the_progress_may_be_dropped() -> None:
    """The report is observed, the progress stays emitted; an altered result fails; another mission's is let be."""
    sent = emitted(channel="mcp")
    found = verdict(call_lines(REPORT_TEXT), sent)
    assert (found.verdict, found.code, found.observed, len(found.missing)) == ("WARN", "items_missing", (REPORT,), 5)
    assert verdict(call_lines(REPORT_TEXT + "and 3 more findings"), sent).code == "text_differs"
    other = call_lines("# Mission m_other", mission_id="m_other")[2:3]
    lines = call_lines(REPORT_TEXT)
    assert verdict([*lines[:2], *other, *lines[2:]], sent).code == "items_missing"
    waiting = call_lines("OPEN: mission m_test still runs")
    waiting[2]["item"]["result"]["structured_content"]["status"] = "OPEN"
    assert verdict([*lines[:2], waiting[2], *lines[2:]], sent).code == "items_missing"
    twice = verdict([*lines[:3], lines[2], *lines[3:]], sent, emitted([ITEMS[-1]], channel="mcp"))
    assert (twice.verdict, twice.missing) == ("WARN", tuple(item for item, _ in ITEMS[:-1]))


def agent_line(message: str | None, status: str = "completed", thread: str = THREAD) -> dict[str, Any]:
    """What `codex exec --json` shows of a spawned agent."""
    states = {thread: {"status": status, "message": message}}
    return {"type": "item.completed", "item": {"type": "collab_tool_call", "tool": "wait", "agents_states": states}}


def test_of_a_spawned_agent_only_the_last_message_is_seen() -> None:
    """The parent's transcript has the report, told once or twice, and no remark; another agent's says nothing."""
    parents = exec_lines(["The agent reported."], thread="parent")
    waiting, ended = agent_line(None, "pending_init"), agent_line(REPORT_TEXT)
    for agents in ([waiting, ended], [ended, ended]):
        found = verdict([*parents[:2], *agents, *parents[2:]])
        assert (found.verdict, found.code, found.observed) == ("WARN", "items_missing", (REPORT,))
    assert verdict([*parents[:2], waiting, *parents[2:]]).verdict == "UNKNOWN"
    assert verdict([*parents[:2], agent_line("I have no report"), *parents[2:]]).code == "nothing_observed"
    assert verdict([*parents[:2], agent_line(REPORT_TEXT, thread="t9"), *parents[2:]]).code == "words_copied"


def test_threads_of_an_app_server_do_not_mix() -> None:
    """A parent and the agent it spawned, line by line in turn: the agent's thread is judged by itself."""
    parent = app_lines(["Delegating.", "The agent reported."], thread="parent")
    for line in parent:
        for key in ("turnId", "turn"):
            if key in line.get("params", {}):
                line["params"][key] = "turn_p" if key == "turnId" else {**line["params"]["turn"], "id": "turn_p"}
    agent = app_lines(TEXTS)
    mixed = [line for pair in zip(agent, [*parent, *parent[-1:] * len(agent)], strict=False) for line in pair]
    assert verdict(mixed).verdict == "PASS"


def test_what_the_bridge_sent_is_no_transcript() -> None:
    """The SSE stream of the bridge itself observes nothing, whatever stands in it."""
    data = b'event: response.created\ndata: {"type":"response.created"}\n\n'
    found = judge(RUN, MISSION, [emitted()], parse_transcript(data))
    assert (found.verdict, found.code) == ("UNKNOWN", "not_a_transcript")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([THREAD, *TEXTS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "item", "method", "params", "threadId", "turn", "turnId", "thread_id", "text", "result"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
KINDS = st.sampled_from(["thread.started", "turn.started", "item.completed", "turn.completed", "item/completed"])


@given(st.binary(max_size=200) | st.lists(JSON | st.fixed_dictionaries({"type": KINDS, "item": JSON}), max_size=6))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_it_fail(noise: bytes | list[Any]) -> None:
    """Whatever stands in the file, there is a verdict with a sentence, and no PASS."""
    data = noise if isinstance(noise, bytes) else b"\n".join(json.dumps(line).encode() for line in noise)
    found = judge(RUN, MISSION, [emitted()], parse_transcript(data))
    assert found.code in CODES
    assert found.verdict != "PASS"


THREADS = st.sampled_from(["", "t1", "t2"])
EVENTS = st.lists(
    st.builds(
        lambda thread, items: emitted(items, thread),
        THREADS,
        st.lists(st.sampled_from([*ITEMS, ("remark:99", "of another version")]), max_size=4),
    )
    | st.builds(
        lambda verdict, thread, items: TranscriptJudged(
            verdict, "whole", "codex_exec_json", "", thread_digest(RUN, thread), observed=tuple(items)
        ),
        st.sampled_from(["PASS", "WARN", "FAIL", "UNKNOWN"]),
        THREADS,
        st.lists(st.sampled_from([item for item, _ in ITEMS]), max_size=4),
    ),
    max_size=8,
)


@given(EVENTS)
def test_observed_is_emitted_is_created(events: list[Any]) -> None:
    """Whatever a log says, an item is observed only where a transcript that counts has it and it was sent."""
    created = [Created(*item) for item in ITEMS]
    delivery = fold_delivery(RUN, MISSION, created, events)
    counts = delivery.counts()
    assert counts["created"] >= counts["emitted"] >= counts["observed"]
    for item in delivery.items:
        sent = {
            event.thread
            for event in events
            if isinstance(event, ItemsEmitted)
            for entry in event.items
            if entry.item == item.item
        }
        seen = {
            event.thread
            for event in events
            if isinstance(event, TranscriptJudged) and event.verdict in ("PASS", "WARN") and item.item in event.observed
        }
        assert item.state in ("observed", "emitted") or not sent
        assert item.state != "observed" or (sent & seen) - {""}
