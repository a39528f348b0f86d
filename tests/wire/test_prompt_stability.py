"""What an upstream's prompt cache sees of a growing conversation: every request begins with the bytes of the last one.

The whole way round: the client's JSON is decoded, translated and sent; a scripted upstream answers; our answer is
encoded for the client, which sends it back as its kind does, with the outputs of its tools or a new message.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.wire.chat_messages import NO_OUTPUT_NOTE
from codex_oss.wire.chat_request import encode_chat_request
from codex_oss.wire.chat_stream import decode_chat_completion
from codex_oss.wire.completions_request import decode_chat_turn
from codex_oss.wire.completions_stream import ChatEncoder
from codex_oss.wire.responses_request import decode_turn
from codex_oss.wire.responses_stream import ResponseEncoder
from tests.wire.scripts import profile

IMAGE = "data:image/png;base64,AA"
TOOLS = [
    {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}}},
    {
        "type": "custom",
        "name": "apply_patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
    },
    {
        "type": "namespace",
        "name": "mcp",
        "description": "Tools of a server.",
        "tools": [{"type": "function", "name": "look.up", "parameters": {}}],
    },
    {"type": "web_search"},
]
WIRE_NAMES = ("shell", "apply_patch", "mcp__look_up", "gone")
"""As the upstream calls them; the last is no tool of the request."""

texts = st.text(max_size=6)
calls = st.lists(st.tuples(st.sampled_from(WIRE_NAMES), texts, st.sampled_from(["", "call_0", "own"])), max_size=3)


class Answer(tuple[str, str, list[tuple[str, str, str]]]):
    """Reasoning, text, and calls as (wire name, argument, id) of one answer."""


answers = st.tuples(texts, texts, calls).map(Answer)
quirks = st.fixed_dictionaries(
    {
        "images": st.booleans(),
        "replay_reasoning": st.booleans(),
        "parallel_tool_calls": st.booleans(),
        "reasoning": st.sampled_from(["hide", "summary"]),
        "structured_output": st.sampled_from(["none", "json_schema"]),
    }
)


def completion(answer: Answer, number: int) -> bytes:
    """The upstream's body for an answer; one that would be empty says something."""
    reasoning, text, wanted = answer
    tool_calls = [
        {
            "id": f"own_{number}_{at}" if call_id == "own" else call_id,
            "type": "function",
            "function": {
                "name": name,
                "arguments": json.dumps({"input" if name == "apply_patch" else "cmd": argument}),
            },
        }
        for at, (name, argument, call_id) in enumerate(wanted)
    ]
    message = {"role": "assistant", "content": text or ("" if tool_calls else "done"), "reasoning_content": reasoning}
    choice = {"message": message | ({"tool_calls": tool_calls} if tool_calls else {}), "finish_reason": "stop"}
    return json.dumps({"choices": [{"index": 0, **choice}]}).encode()


class ResponsesClient:
    """A client of the Responses API that sends its whole history each time."""

    def __init__(self, chosen: ModelProfile, *, codex: bool) -> None:
        self.profile = chosen
        self.codex = codex
        self.number = 0
        base = {"role": "developer", "content": "Base."}
        self.items: list[dict[str, Any]] = [base, {"role": "developer", "content": "Skills."}] if codex else [base]
        self.waiting: list[dict[str, Any]] = []

    def say(self, text: str, *, image: bool) -> None:
        parts = [
            {"type": "input_text", "text": text},
            *([{"type": "input_image", "image_url": IMAGE}] if image else []),
        ]
        self.items.append({"role": "user", "content": parts})

    def note(self, text: str) -> None:
        self.items.append({"role": "developer", "content": text})

    def answer_calls(self, text: str, *, image: bool, backwards: bool) -> None:
        for call in self.waiting[:: -1 if backwards else 1]:
            parts = [{"type": "input_text", "text": text}, *([{"type": "input_image", "image_url": IMAGE}] * image)]
            output = {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": parts if image else text}
            self.items.append(output)
        self.waiting = []

    def ask(self, answer: Answer) -> bytes:
        """Send what there is, take the answer, and return what went upstream."""
        self.number += 1
        obj = {"model": "ocg-glm", "input": self.items, "tools": TOOLS, "store": False}
        request = decode_turn(json.loads(json.dumps(obj)), response_id=f"resp_{self.number}", created_at=1, headers={})
        body, names = encode_chat_request(request, self.profile)
        encoder = ResponseEncoder(request, now=lambda: 1.0)
        encoder.encode(decode_chat_completion(completion(answer, self.number), names, self.profile))
        output = encoder.response()["output"]
        self.waiting = [item for item in output if item["type"] in ("function_call", "custom_tool_call")]
        self.items += output if self.codex else [_as_opencode(item) for item in output]
        return body


def _as_opencode(item: dict[str, Any]) -> dict[str, Any]:
    """OpenCode 1.18 sends items back without ids and statuses, and messages without their type."""
    kept = {key: value for key, value in item.items() if key not in ("id", "status")}
    return {key: value for key, value in kept.items() if key != "type"} if item["type"] == "message" else kept


class ChatClient:
    """A client of Chat Completions: OpenCode's openai-compatible provider, which returns `reasoning_content`."""

    def __init__(self, chosen: ModelProfile) -> None:
        self.profile = chosen
        self.number = 0
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": "Base."}]
        self.waiting: list[dict[str, Any]] = []

    def say(self, text: str, *, image: bool) -> None:
        picture = {"type": "image_url", "image_url": {"url": IMAGE}}
        content: Any = [{"type": "text", "text": text}, picture] if image else text
        self.messages.append({"role": "user", "content": content})

    def note(self, text: str) -> None:
        self.messages.append({"role": "system", "content": text})

    def answer_calls(self, text: str, *, image: bool, backwards: bool) -> None:
        for call in self.waiting[:: -1 if backwards else 1]:
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
        self.waiting = []

    def ask(self, answer: Answer) -> bytes:
        self.number += 1
        tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in WIRE_NAMES[:3]]
        obj = {"model": "ocg-glm", "messages": self.messages, "tools": tools}
        copied = json.loads(json.dumps(obj))
        request = decode_chat_turn(copied, response_id=f"resp_{self.number}", created_at=1, headers={})
        body, names = encode_chat_request(request, self.profile)
        encoder = ChatEncoder(request, include_usage=False)
        encoder.encode(decode_chat_completion(completion(answer, self.number), names, self.profile))
        message = encoder.response()["choices"][0]["message"]
        self.waiting = message.get("tool_calls") or []
        self.messages.append(message)
        return body


Client = ResponsesClient | ChatClient
rounds = st.lists(
    st.tuples(answers, texts, st.booleans(), st.booleans(), st.sampled_from(["say", "note", "both"])),
    min_size=2,
    max_size=6,
)


def talk(client: Client, script: Sequence[tuple[Answer, str, bool, bool, str]]) -> list[bytes]:
    """Play a conversation; return what went upstream, request by request."""
    client.say("Go.", image=False)
    bodies = []
    for answer, text, image, backwards, how in script:
        bodies.append(client.ask(answer))
        if client.waiting:
            client.answer_calls(text, image=image, backwards=backwards)
            if how == "note":
                client.note(text or "Note.")  # Codex puts warnings and steering behind outputs
        else:
            if how != "say":
                client.note(text or "Note.")
            client.say(text or "On.", image=image)
    return bodies


def assert_stable(bodies: Sequence[bytes]) -> None:
    """Each body is, without its closing brackets, the beginning of the next one: tools, system, every message."""
    for at in range(len(bodies) - 1):
        shorter, longer = bodies[at], bodies[at + 1]
        assert shorter.endswith(b"]}")
        assert longer.startswith(shorter[:-2]), first_difference(shorter, longer)


def first_difference(shorter: bytes, longer: bytes) -> str:
    """Where two bodies part, for a reader."""
    at = next((at for at in range(min(len(shorter), len(longer))) if shorter[at] != longer[at]), 0)
    return f"…{shorter[max(0, at - 80) : at + 40]!r}\nbecame\n…{longer[max(0, at - 80) : at + 40]!r}"


@given(rounds, quirks, st.booleans())
def test_codex_and_opencode_conversations_only_grow(
    script: list[tuple[Answer, str, bool, bool, str]], chosen: dict[str, Any], codex: bool
) -> None:
    """Reasoning, texts, parallel and custom calls, images, outputs in any order, notes in between."""
    assert_stable(talk(ResponsesClient(profile(**chosen), codex=codex), script))


@given(rounds, quirks)
def test_chat_conversations_only_grow(
    script: list[tuple[Answer, str, bool, bool, str]], chosen: dict[str, Any]
) -> None:
    """The same over Chat Completions."""
    assert_stable(talk(ChatClient(profile(**chosen)), script))


@given(rounds, answers, st.booleans(), quirks)
def test_a_late_output_breaks_at_its_place_only(
    script: list[tuple[Answer, str, bool, bool, str]], last: Answer, some: bool, chosen: dict[str, Any]
) -> None:
    """A request that was sent while outputs were missing had notes in their place; only from there on bytes change.

    Unavoidable: an upstream wants each output directly behind its calls, so the note has to give way.
    """
    client = ResponsesClient(profile(**chosen), codex=True)
    talk(client, script)
    client.ask(Answer(("", "", [("shell", "ls", "own"), *last[2]])))
    waiting, client.waiting = client.waiting, client.waiting[: len(client.waiting) // 2 * some]
    early = len(client.waiting)
    client.answer_calls("early", image=False, backwards=False)
    before = client.ask(Answer(("", "waiting", [])))
    client.items.pop()  # the answer of that request came to nothing
    client.waiting = waiting[early:]
    client.answer_calls("late", image=False, backwards=False)
    after = client.ask(last)
    old, new = json.loads(before)["messages"], json.loads(after)["messages"]
    place = next(at for at, message in enumerate(old) if message.get("content") == NO_OUTPUT_NOTE)
    assert new[:place] == old[:place]
    assert old[place - early - 1]["tool_calls"]
