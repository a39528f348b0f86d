"""The conversation with the model: it only grows, and it never outgrows what the model can read."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.contracts.profiles import ActionProtocol, ModelProfile, Quirks
from codex_oss.missions.events import NativeCall
from codex_oss.missions.prompt import Conversation, build_conversation, texts_of
from codex_oss.missions.record import RunRecord, fold
from codex_oss.missions.window import MESSAGE_TOKENS, answer_tokens, observation_bytes, prompt_bytes, prompt_tokens
from codex_oss.wire.chat_request import encode_chat_request
from codex_oss.wire.items import TurnRequest
from tests.fakes.mission_script import Play, RawCalls, call, finding, mission, report, several

PROTOCOLS: tuple[ActionProtocol, ...] = ("json", "tools")
PROFILE = ModelProfile("test", "ocg-test", "test", "http://127.0.0.1:9/v1", quirks=Quirks(replay_reasoning=True))
FILES = {f"app/f{n}.py": "".join(f"value_{n}_{line} = {line * 7}\n" for line in range(60 * n)) for n in range(1, 7)}
FILES["app/wide.py"] = "嗨" * 900 + "\n" + "x" * 5_000 + "\n"
REFS = [f"file:{path}#extract:1" for path in FILES]


def answers(chance: random.Random) -> Any:
    """Anything that a model may say."""
    path = chance.choice(list(FILES))
    start = chance.randint(1, 80)
    simple = [
        call("rtk_read", path=path),
        call("rtk_read", path=path, start_line=start, end_line=start + chance.randint(0, 200)),
        call("rtk_grep", pattern=chance.choice(["value", "value_2_1", "nowhere", "x"]), path="app"),
        call("rtk_ls", path="app"),
        call("rtk_read", path="/etc/passwd"),
        call("shell", cmd="rm -rf /"),
        "prose " * chance.randint(0, 60),
        "",
        report(finding(f"`value_1_0` is in {path}", chance.choice(REFS)), status="COMPLETE"),
        report(*[finding(f"claim {n} " * 20, chance.choice(REFS)) for n in range(chance.randint(0, 12))]),
    ]
    kind = chance.random()
    if kind < 0.04:
        return RawCalls((("rtk_read", '{"path": "app/f1.py"'), ("odd name", "x" * chance.randint(0, 3_000))), "beside")
    if kind < 0.08:
        return ("failed", chance.choice(["stream_interrupted", "upstream_refused"]))
    if kind < 0.25:
        return several(*chance.choices(simple[:7], k=chance.randint(2, 5)))
    return chance.choice(simple)


def played(seed: int, protocol: ActionProtocol, window: int, ask: Any) -> Play:
    """A mission with a model that does anything; ask: called with the record at each question."""
    chance = random.Random(seed)

    def model(record: RunRecord) -> Any:
        ask(record)
        return answers(chance)

    contract = mission(
        tool_budget=chance.randint(1, 20),
        max_duplicate_actions=9,
        max_low_information_actions=9,
        objective_style=chance.choice(["deterministic_lookup", "open_investigation"]),
        must_inspect=chance.sample(list(FILES), chance.randint(0, 4)),
    )
    play = Play(contract, model, FILES, context_tokens=window, protocol=protocol, max_events=2_000)
    play.thought = chance.choice(["", "first the folder, then the file"])
    play.run()
    return play


def body_of(conversation: Conversation) -> tuple[list[bytes], bytes]:
    """The messages of a chat request as bytes, and all that stands before them."""
    request = TurnRequest(
        "resp_1", "m", conversation.items, instructions=conversation.instructions, tools=conversation.functions
    )
    body, _ = encode_chat_request(request, PROFILE)
    messages = msgspec.json.decode(body)["messages"]
    return [msgspec.json.encode(message) for message in messages], body[: body.index(b'"messages":')]


@given(st.integers(0, 100_000), st.sampled_from(PROTOCOLS), st.sampled_from([4_096, 8_192, 32_768]))
@settings(max_examples=60, deadline=None)
def test_each_prompt_begins_with_all_of_the_one_before(seed: int, protocol: ActionProtocol, window: int) -> None:
    """Whatever the model says, every message that was sent stands again as it was; so do the functions."""
    seen: list[tuple[list[bytes], bytes]] = []
    played(seed, protocol, window, lambda record: seen.append(body_of(build_conversation(record))))
    for (before, opening), (after, opening_after) in itertools.pairwise(seen):
        assert after[: len(before)] == before
        assert opening == opening_after


@given(st.integers(0, 100_000), st.sampled_from(PROTOCOLS))
@settings(max_examples=30, deadline=None)
def test_a_fold_of_any_prefix_asks_the_same(seed: int, protocol: ActionProtocol) -> None:
    """The conversation and its size follow from the log alone, at each question: what a resumed run asks with."""
    asked: list[tuple[int, Conversation, int]] = []
    play = played(
        seed,
        protocol,
        8_192,
        lambda record: asked.append((record.last_seq, build_conversation(record), prompt_bytes(record))),
    )
    for seq, conversation, size in asked:
        record = fold("run_1", "m_test", play.events[:seq])
        assert build_conversation(record) == conversation
        assert prompt_bytes(record) == size == sum(len(text.encode()) for text in texts_of(conversation))


@given(st.integers(0, 100_000), st.sampled_from(PROTOCOLS), st.integers(1_024, 12_000))
@settings(max_examples=120, deadline=None)
def test_no_question_exceeds_the_window(seed: int, protocol: ActionProtocol, window: int) -> None:
    """Prompt and answer together fit, counted here anew, however large files, answers and refusals are."""

    def check(record: RunRecord) -> None:
        size = sum(len(text.encode()) for text in texts_of(build_conversation(record)))
        assert prompt_tokens(record) >= size / 3 + MESSAGE_TOKENS * len(record.transcript)
        assert prompt_tokens(record) + answer_tokens(record) <= window
        assert answer_tokens(record) > 0

    played(seed, protocol, window, check)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_full_window_is_closed_by_an_order_to_report(protocol: ActionProtocol) -> None:
    """A model that only reads is told to report while its report still fits, and what it reports stands."""
    places = itertools.count(1, 5)

    def model(record: RunRecord) -> Any:
        if record.final_asked:
            return report(finding("`value_6_0` is 0 at app/f6.py:1", "file:app/f6.py#extract:1"))
        start = next(places)
        return call("rtk_read", path="app/f6.py", start_line=start, end_line=start + 200)

    play = Play(mission(tool_budget=10), model, FILES, context_tokens=4_096, protocol=protocol)
    record = play.run()
    assert record.closed is not None
    assert (record.closed.status, record.closed.reason_codes) == ("COMPLETE", ())
    assert record.tool_runs < 10
    assert any("nearly as long as you can read" in said.text for said in record.transcript)


def test_a_window_too_small_for_the_mission_asks_nothing() -> None:
    """Where not even rules and task leave room to look at anything, the mission says so at once."""
    record = Play(mission(), ["never asked"], context_tokens=1_024).run()
    assert record.closed is not None
    assert (record.closed.status, record.closed.reason_codes) == ("FAILED", ("context_full",))
    assert record.calls == []


def test_observations_grow_with_the_window() -> None:
    """What one read may show follows from the model's window, up to the bound of the tool."""
    shown = []
    for window in (4_096, 32_768, 131_072, 1_000_000):
        play = Play(mission(), [""], context_tokens=window)
        play.append(play.opening)
        shown.append(observation_bytes(play.record))
    assert shown == sorted(shown)
    assert shown[0] <= 4_096 * 3 // 6
    assert shown[-2:] == [131_072 * 3 // 6, 100_000]


def test_an_upstream_that_counts_more_makes_us_more_careful() -> None:
    """Counted tokens correct the estimate downwards only, and never below one byte a token."""
    sizes = []
    for counted in (1, 1_500, 10**9):
        play = Play(mission(), [call("rtk_ls", path="app")], context_tokens=32_768)
        play.count_tokens = counted
        play.run()
        fresh = fold("run_1", "m_test", play.events[:8])
        sizes.append(observation_bytes(fresh))
    assert sizes[0] == 32_768 * 3 // 6
    assert sizes[0] > sizes[1] > sizes[2] >= 32_768 // 6 - 1


def test_what_was_thought_goes_back_only_beside_its_calls() -> None:
    """A kept thought is replayed in front of the calls that it led to."""
    play = Play(mission(), [call("rtk_ls", path="app"), report(status="PARTIAL")], protocol="tools")
    play.thought = "first the folder"
    play.run()
    kinds = [type(item).__name__ for item in build_conversation(play.record).items]
    assert kinds[1:4] == ["ReasoningItem", "FunctionCall", "ToolOutput"]
    said = [said for said in play.record.transcript if said.calls]
    assert said[0].calls == (NativeCall("call_1_0", "rtk_ls", '{"path": "app"}'),)
