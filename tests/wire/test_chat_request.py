"""Encoding chat requests: byte-stable, every call answered once, tools, structure, and what is refused."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import InvalidRequest
from codex_oss.wire.chat_messages import IMAGE_NOTE, NO_OUTPUT_NOTE, ORPHAN_NOTE
from codex_oss.wire.chat_request import EFFORTS, encode_chat_request, nearest_effort
from codex_oss.wire.items import (
    CompactionItem,
    CustomTool,
    CustomToolCall,
    FilePart,
    FunctionCall,
    FunctionTool,
    ImagePart,
    Item,
    Message,
    OpaqueItem,
    Part,
    ReasoningItem,
    Role,
    Sampling,
    TextFormat,
    TextPart,
    ToolChoice,
    ToolOutput,
    TurnRequest,
)
from tests.wire.scripts import PROFILE, TOOLS, profile


def request(*items: Item, **more: Any) -> TurnRequest:
    return TurnRequest(response_id="resp_1", model="ocg-glm", items=items, **more)


def body(turn: TurnRequest, *, stream: bool = True, **quirks: Any) -> dict[str, Any]:
    data, _ = encode_chat_request(turn, profile(**quirks), stream=stream)
    value: dict[str, Any] = json.loads(data)
    return value


def messages(*items: Item, **quirks: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(request(*items, tools=TOOLS), **quirks)["messages"]
    return found


def text(role: Role, *texts: str) -> Message:
    return Message(role, tuple(TextPart(part) for part in texts))


_parts: st.SearchStrategy[tuple[Part, ...]] = st.lists(
    st.builds(TextPart, st.text(max_size=5)) | st.just(ImagePart("data:image/png;base64,AA")), max_size=2
).map(tuple)
_ids = st.sampled_from(["c1", "c2", "c3"])
_items: st.SearchStrategy[Item] = st.one_of(
    st.builds(Message, st.sampled_from(["user", "assistant", "system", "developer"]), _parts),
    st.builds(FunctionCall, _ids, st.sampled_from(["read", "gone tool"]), st.sampled_from(["{}", "{", "", "[1]"])),
    st.builds(CustomToolCall, _ids, st.just("exec"), st.text(max_size=5), st.just("functions")),
    st.builds(ToolOutput, _ids, _parts, st.booleans()),
    st.builds(ReasoningItem, st.text(max_size=5)),
    st.just(OpaqueItem("web_search_call", {})),
)


@given(st.lists(_items, max_size=12), st.booleans())
def test_every_call_is_answered_directly_and_once(items: list[Item], images: bool) -> None:
    """Whatever the client sends, tool messages follow their call at once, one each, and no other exists."""
    found = messages(*items, images=images)
    at = 0
    while at < len(found):
        calls = [call["id"] for call in found[at].get("tool_calls", ())]
        assert [message.get("tool_call_id") for message in found[at + 1 : at + 1 + len(calls)]] == calls
        assert all(
            isinstance(json.loads(call["function"]["arguments"]), dict) for call in found[at].get("tool_calls", ())
        )
        assert found[at]["role"] != "tool"
        assert found[at]["role"] != "system" or at == 0
        at += 1 + len(calls)


@st.composite
def _conversations(draw: st.DrawFn) -> list[list[Item]]:
    """Draw a conversation as turns: what the user says, then rounds of assistant work with their outputs."""
    turns: list[list[Item]] = []
    number = 0
    for _ in range(draw(st.integers(1, 4))):
        turn: list[Item] = [Message(draw(st.sampled_from(["user", "developer"])), draw(_parts))]
        turn[:0] = [] if turns else [text("developer", "Be good."), text("user", "Go.")]
        for _ in range(draw(st.integers(0, 2))):
            turn += draw(st.lists(st.builds(ReasoningItem, st.text(max_size=5)), max_size=1))
            turn += [text("assistant", draw(st.text(max_size=5)))]
            count = draw(st.integers(1, 3))
            turn += [FunctionCall(f"c{number + i}", "read", "{}") for i in range(count)]
            turn += [ToolOutput(f"c{number + i}", draw(_parts)) for i in draw(st.permutations(range(count)))]
            number += count
        turns.append(turn)
    return turns


@given(_conversations(), st.booleans(), st.booleans())
def test_a_longer_conversation_shares_the_bytes_of_its_beginning(
    turns: list[list[Item]], images: bool, replay: bool
) -> None:
    """The body of a conversation is, up to the closing brackets, the beginning of the body of any longer one."""
    chosen = profile(images=images, replay_reasoning=replay)
    bodies = []
    for count in range(1, len(turns) + 1):
        items = tuple(item for turn in turns[:count] for item in turn)
        bodies.append(encode_chat_request(request(*items, tools=TOOLS), chosen)[0])
    for shorter, longer in itertools.pairwise(bodies):
        assert shorter.endswith(b"]}")
        assert longer.startswith(shorter[:-2])


@given(st.lists(_items, max_size=8))
def test_the_same_request_gives_the_same_bytes(items: list[Item]) -> None:
    """Encoding is a function of the request."""
    turn = request(*items, tools=TOOLS)
    assert encode_chat_request(turn, PROFILE)[0] == encode_chat_request(turn, PROFILE)[0]


def test_leading_system_messages_are_one() -> None:
    """Instructions come first, then the leading system and developer messages; later ones are tagged user text."""
    turn = request(
        text("developer", "A"), text("system", "B"), text("user", "hi"), text("developer", "C"), instructions="I"
    )
    assert body(turn)["messages"] == [
        {"role": "system", "content": "I\n\nA\n\nB"},
        {"role": "user", "content": "hi"},
        {"role": "user", "content": "<developer_message>\nC\n</developer_message>"},
    ]
    assert body(turn, system_role="developer")["messages"][0]["role"] == "developer"


def test_an_assistant_turn_is_one_message_with_its_outputs() -> None:
    """Reasoning, commentary and calls in a row merge; outputs follow in the order of the calls; a new round is new."""
    found = messages(
        text("user", "go"),
        ReasoningItem("Think."),
        text("assistant", "I look."),
        FunctionCall("c1", "read", '{"path":"a"}'),
        CustomToolCall("c2", "exec", "print(1)", "functions"),
        ToolOutput("c2", (TextPart("1"),), True),
        ToolOutput("c1", (TextPart("A"), TextPart("B"))),
        text("assistant", "Done."),
        replay_reasoning=True,
    )
    assert found == [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Think.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path":"a"}'}},
                {
                    "id": "c2",
                    "type": "function",
                    "function": {"name": "functions__exec", "arguments": '{"input":"print(1)"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "A\nB"},
        {"role": "tool", "tool_call_id": "c2", "content": "1"},
        {"role": "assistant", "content": "Done."},
    ]


def test_reasoning_is_not_sent_back_unless_the_upstream_wants_it() -> None:
    """Without the quirk no `reasoning_content` leaves; encrypted content never does."""
    data, _ = encode_chat_request(
        request(text("user", "x"), ReasoningItem("deep", encrypted_content="sealed"), FunctionCall("c", "read", "{}")),
        PROFILE,
    )
    assert b"deep" not in data
    assert b"sealed" not in data


def test_interrupted_turns_are_repaired() -> None:
    """A call without output gets a note, an output without call becomes user text, broken arguments become `{}`."""
    found = messages(FunctionCall("c1", "read", '{"pa'), text("user", "stop"), ToolOutput("c9", (TextPart("late"),)))
    assert found[0]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert found[1] == {"role": "tool", "tool_call_id": "c1", "content": NO_OUTPUT_NOTE}
    assert found[3] == {"role": "user", "content": f"{ORPHAN_NOTE}\nlate"}


def test_an_output_behind_a_steering_message_still_answers_its_call() -> None:
    """Codex may put a user message between call and output; the output moves to its call."""
    found = messages(FunctionCall("c1", "read", "{}"), text("user", "wait"), ToolOutput("c1", (TextPart("A"),)))
    assert [message["role"] for message in found] == ["assistant", "tool", "user"]
    assert found[1]["content"] == "A"


def test_an_output_belongs_to_the_nearest_call_of_its_id() -> None:
    """When an interrupted round is asked again under the same id, the output answers the second call."""
    found = messages(
        FunctionCall("c1", "read", "{}"),
        text("user", "again"),
        FunctionCall("c1", "read", "{}"),
        ToolOutput("c1", (TextPart("A"),)),
    )
    assert [message["content"] for message in found if message["role"] == "tool"] == [NO_OUTPUT_NOTE, "A"]


IMAGE = ImagePart("data:image/png;base64,AA", "original")


def test_images_for_a_model_that_sees() -> None:
    """Order with text is kept, detail `original` becomes high, images of outputs follow behind the tool messages."""
    found = messages(
        Message("user", (TextPart("a"), IMAGE, TextPart("b"))),
        FunctionCall("c1", "read", "{}"),
        FunctionCall("c2", "read", "{}"),
        ToolOutput("c1", (TextPart("seen"), IMAGE)),
        ToolOutput("c2", (TextPart("x"),)),
        images=True,
    )
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "high"}}
    assert found[0]["content"] == [{"type": "text", "text": "a"}, image, {"type": "text", "text": "b"}]
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "tool", "user"]
    assert found[4]["content"] == [image]


def test_images_for_a_model_that_does_not_see() -> None:
    """The model is told that there was an image."""
    assert messages(Message("user", (TextPart("a"), IMAGE)))[0]["content"] == f"a\n{IMAGE_NOTE}"


def test_text_files_become_text() -> None:
    """A file whose bytes are UTF-8 text is shown with its name, as data URL or bare base64."""
    data = base64.b64encode("grün".encode()).decode()
    for form in (data, f"data:text/plain;base64,{data}"):
        assert (
            messages(Message("user", (FilePart("a.txt", form),)))[0]["content"] == '<file name="a.txt">\ngrün\n</file>'
        )


@pytest.mark.parametrize("part", [FilePart("a", "AP8A"), FilePart("a", "!"), FilePart("a", url="http://x/y")])
def test_other_files_are_refused(part: FilePart) -> None:
    """A file that no chat upstream can read is refused with its place, not dropped."""
    with pytest.raises(InvalidRequest) as caught:
        messages(text("user", "x"), Message("user", (part,)))
    assert caught.value.param == "input[1]"


def test_a_compaction_is_the_users_word() -> None:
    """Opened, it stands as user text in its place; going on without what it holds would be a wrong conversation."""
    said = messages(text("developer", "be brief"), CompactionItem("sealed", "we did x"), text("user", "go on"))
    assert [message["role"] for message in said] == ["system", "user", "user"]
    assert said[1]["content"].endswith("<conversation_summary>\nwe did x\n</conversation_summary>")
    with pytest.raises(InvalidRequest, match="sealed"):
        messages(CompactionItem("sealed"))


def test_tools_in_chat_form() -> None:
    """Functions are nested, freeform tools become a function with one string, strict only when true."""
    tools = (
        FunctionTool("f", "d", {"type": "object"}, True),
        FunctionTool("g", strict=False),
        CustomTool("apply_patch", "Patch.", "start: x"),
    )
    sent = body(request(text("user", "x"), tools=tools, tool_choice=ToolChoice("required")))
    assert sent["tool_choice"] == "required"
    functions = [tool["function"] for tool in sent["tools"]]
    assert functions[0] == {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    assert functions[1]["parameters"] == {"type": "object", "properties": {}}
    assert "strict" not in functions[1]
    assert functions[2]["parameters"]["required"] == ["input"]
    assert functions[2]["description"].endswith("grammar:\nstart: x")


def test_tool_choices_in_chat_form() -> None:
    """A named tool goes by its wire name, allowed tools filter the list, and no tools means no such fields."""
    named = body(request(text("user", "x"), tools=TOOLS, tool_choice=ToolChoice("named", ("exec",))))
    assert named["tool_choice"] == {"type": "function", "function": {"name": "functions__exec"}}
    assert len(named["tools"]) == 2
    allowed = body(request(text("user", "x"), tools=TOOLS, tool_choice=ToolChoice("required", ("read",))))
    assert [tool["function"]["name"] for tool in allowed["tools"]] == ["read"]
    bare = body(request(text("user", "x"), tool_choice=ToolChoice("required")), parallel_tool_calls=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(bare)
    assert body(request(text("user", "x"), tools=TOOLS), parallel_tool_calls=True)["parallel_tool_calls"] is True


def test_limits_and_sampling() -> None:
    """Only what was asked is sent; the limit is capped by the profile and named as the upstream wants it."""
    turn = request(text("user", "x"), max_output_tokens=32000, sampling=Sampling(0.0, top_p=0.5))
    sent = body(turn, max_tokens_field="max_completion_tokens")
    assert sent["max_completion_tokens"] == PROFILE.max_output_tokens
    assert (sent["temperature"], sent["top_p"]) == (0, 0.5)
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert set(body(request(text("user", "x")), stream=False)) == {"model", "messages"}


SCHEMA = TextFormat("json_schema", "n", {"type": "object", "title": "T"}, True)


@pytest.mark.parametrize(
    ("able", "form", "sent", "prompted"),
    [
        ("json_schema", SCHEMA, "json_schema", False),
        ("json_object", SCHEMA, "json_object", True),
        ("none", SCHEMA, None, True),
        ("json_object", TextFormat("json_object"), "json_object", True),
        ("none", TextFormat("json_object"), None, True),
        ("json_schema", TextFormat(), None, False),
    ],
)
def test_structured_output_by_quirk(able: str, form: TextFormat, sent: str | None, prompted: bool) -> None:
    """What the upstream honours goes into `response_format`, the rest into the system message."""
    found = body(request(text("user", "x"), text_format=form), structured_output=able)
    assert found.get("response_format", {}).get("type") == sent
    assert (found["messages"][0]["role"] == "system") is prompted
    if prompted and form.schema:
        assert '{"type":"object","title":"T"}' in found["messages"][0]["content"]


@pytest.mark.parametrize("able", ["none", "json_object", "json_schema"])
def test_a_form_that_is_not_spoken_leaves_the_prompt_alone(able: str) -> None:
    """A mission's schema changes from turn to turn; whatever the upstream honours, no message tells of it."""
    forms = [TextFormat("json_schema", "n", {"title": title}, True, spoken=False) for title in "ab"]
    forms.append(TextFormat("json_object", spoken=False))
    sent = [body(request(text("user", "x"), text_format=form), structured_output=able)["messages"] for form in forms]
    assert sent == [[{"role": "user", "content": "x"}]] * 3


def test_half_an_emoji_of_another_lane_is_repaired() -> None:
    """A request that a lane built from file names may hold surrogates; the body is UTF-8 all the same."""
    found = messages(text("user", "\ud83d"), CustomToolCall("c", "exec", "\udc00", "functions"))
    assert found[0]["content"] == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("effort", "quirks", "sent"),
    [
        ("high", {}, {}),
        (None, {"effort_field": "reasoning_effort"}, {}),
        ("enormous", {"effort_field": "reasoning_effort"}, {}),
        ("high", {"effort_field": "reasoning_effort"}, {"reasoning_effort": "high"}),
        ("max", {"effort_field": "reasoning_effort"}, {"reasoning_effort": "high"}),
        ("none", {"effort_field": "reasoning_effort"}, {"reasoning_effort": "low"}),
        ("none", {"effort_field": "reasoning_effort", "efforts": ("none", "high")}, {"reasoning_effort": "none"}),
        ("low", {"effort_field": "reasoning", "efforts": ("minimal", "medium")}, {"reasoning": {"effort": "minimal"}}),
        ("minimal", {"effort_field": "thinking"}, {"thinking": {"type": "enabled"}}),
        ("none", {"effort_field": "thinking"}, {"thinking": {"type": "disabled"}}),
        ("none", {"effort_field": "enable_thinking"}, {"enable_thinking": False}),
        ("xhigh", {"effort_field": "enable_thinking"}, {"enable_thinking": True}),
    ],
)
def test_effort_by_quirk(effort: str | None, quirks: dict[str, Any], sent: dict[str, Any]) -> None:
    """An upstream is told the effort in its own way, at the nearest level that it knows, or not at all."""
    found = body(request(text("user", "x"), reasoning_effort=effort), **quirks)
    fields = ("reasoning_effort", "reasoning", "thinking", "enable_thinking")
    assert {key: found[key] for key in fields if key in found} == sent


@given(st.sampled_from(EFFORTS), st.sets(st.sampled_from(EFFORTS), min_size=1))
def test_the_nearest_effort_is_supported(effort: str, supported: set[str]) -> None:
    """What is sent is always a level that the upstream knows, the asked one if it does, and never further than need."""
    found = nearest_effort(effort, sorted(supported))
    assert found in supported
    far = abs(EFFORTS.index(found) - EFFORTS.index(effort))
    assert all(abs(EFFORTS.index(other) - EFFORTS.index(effort)) >= far for other in supported)


def test_an_upstream_that_knows_only_auto() -> None:
    """A demanded call is asked for as auto, and no tools are sent where none may be called: the answer is checked."""
    for choice in (ToolChoice("required"), ToolChoice("named", ("exec",))):
        sent = body(request(text("user", "x"), tools=TOOLS, tool_choice=choice), tool_choice="auto")
        assert (sent["tool_choice"], len(sent["tools"])) == ("auto", 2)
    assert "tools" not in body(
        request(text("user", "x"), tools=TOOLS, tool_choice=ToolChoice("none")), tool_choice="auto"
    )
