"""`TurnRequest`, the one request that every lane understands, and the items it is made of.

Counterparts: `wire.responses_request` decodes a Responses body into it, `wire.chat` encodes it for a Chat
Completions upstream, `lanes.mission` builds one per question to its model.

Rules that hold here:

1. Items keep the order in which the client sent them. Nothing is merged or dropped at this level.
2. Tool arguments stay the JSON *string* that was sent; only a lane that needs the value parses it.
3. An item that we know by name but do not translate is an `OpaqueItem`: it is kept, counted and left out with a
   log line, never an error (erroring would break each Codex turn).
Source: Open Responses 2026-04-24 and captures of Codex CLI 0.169 and OpenCode 1.18.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Role = Literal["user", "assistant", "system", "developer"]


class TextPart(Struct, frozen=True, tag="text", gc=False):
    """Plain text of a message."""

    text: str


class ImagePart(Struct, frozen=True, tag="image", gc=False):
    """An image by data or http URL. detail: low, high, auto or original."""

    url: str
    detail: str = "auto"


class FilePart(Struct, frozen=True, tag="file", gc=False):
    """A file inside a message: base64 data, or a URL or an id that only some upstreams can open."""

    filename: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""


class RefusalPart(Struct, frozen=True, tag="refusal", gc=False):
    """The assistant's refusal in an earlier turn."""

    text: str


Part = TextPart | ImagePart | FilePart | RefusalPart


class Message(Struct, frozen=True, tag="message"):
    """A message of any role. phase: `commentary` or `final_answer`, kept because both clients send it back."""

    role: Role
    parts: tuple[Part, ...]
    phase: str | None = None
    id: str = ""


class FunctionCall(Struct, frozen=True, tag="function_call", gc=False):
    """The assistant called a function tool. namespace: as Codex sends it for grouped tools."""

    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    id: str = ""


class CustomToolCall(Struct, frozen=True, tag="custom_tool_call", gc=False):
    """The assistant called a freeform tool; input is raw text."""

    call_id: str
    name: str
    input: str
    namespace: str | None = None
    id: str = ""


class ToolOutput(Struct, frozen=True, tag="tool_output"):
    """The client's answer to a function or custom call. custom says which of the two."""

    call_id: str
    parts: tuple[Part, ...]
    custom: bool = False


class ReasoningItem(Struct, frozen=True, tag="reasoning", gc=False):
    """Reasoning of an earlier turn. encrypted_content is the ciphertext of whoever made it."""

    summary: str = ""
    text: str = ""
    encrypted_content: str = ""
    id: str = ""


class CompactionItem(Struct, frozen=True, tag="compaction", gc=False):
    """The older turns of a conversation as a summary that this bridge sealed.

    sealed: as it travels. summary: what it holds; empty until the server opened it (`services.sealing`).
    """

    sealed: str
    summary: str = ""
    id: str = ""


class OpaqueItem(Struct, frozen=True):
    """An item kept as it came because this bridge has no translation for it."""

    type: str
    raw: dict[str, Any]


Item = Message | FunctionCall | CustomToolCall | ToolOutput | ReasoningItem | CompactionItem | OpaqueItem


class FunctionTool(Struct, frozen=True, tag="function"):
    """A tool that takes a JSON object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool | None = None
    namespace: str | None = None


class CustomTool(Struct, frozen=True, tag="custom"):
    """A freeform tool that takes raw text. grammar: the definition the client gave, for the description."""

    name: str
    description: str = ""
    grammar: str = ""
    namespace: str | None = None
    syntax: str = "lark"


class SearchTool(Struct, frozen=True, tag="tool_search"):
    """The client's own search for further tools; what it finds comes back in a `tool_search_output` item.

    Called, it is answered with a `tool_search_call` item and not with a function call. It has no name in the API; this
    is the one that the model sees. namespace is always None.
    """

    description: str = ""
    parameters: dict[str, Any] = {}
    name: str = "tool_search"
    namespace: str | None = None


Tool = FunctionTool | CustomTool | SearchTool


class ToolChoice(Struct, frozen=True):
    """Which tools the model may or must call.

    mode named: `names` holds the one. `allowed_tools` of a client fills `names` with mode auto or required.
    """

    mode: Literal["auto", "none", "required", "named"] = "auto"
    names: tuple[str, ...] = ()


class TextFormat(Struct, frozen=True):
    """Structured output. kind json_schema has name, schema and strict.

    spoken: where the upstream cannot be told, the system message says it. A mission says its shapes itself and changes
    the schema from turn to turn, which would cost the upstream's prompt cache each time.
    """

    kind: Literal["text", "json_object", "json_schema"] = "text"
    name: str = ""
    schema: dict[str, Any] = {}
    strict: bool | None = None
    spoken: bool = True


class Sampling(Struct, frozen=True):
    """Sampling numbers; None means that the client did not say."""

    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class TurnRequest(Struct, frozen=True):
    """One turn, whoever asked and whichever lane answers."""

    response_id: str
    """`resp_…`, given by the edge that accepted the turn; item ids are derived from it."""
    model: str
    """The name the client asked for, unresolved."""
    items: tuple[Item, ...]
    created_at: int = 0
    """Seconds since the epoch, given by the edge."""
    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    dropped_tools: tuple[str, ...] = ()
    """Types of hosted tools that no open model can serve; left out and logged."""
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    """Texts at which the model is to stop; only chat clients can ask for it."""
    max_output_tokens: int | None = None
    reasoning_effort: str | None = None
    text_format: TextFormat = TextFormat()
    stream: bool = False
    store: bool = True
    background: bool = False
    """It runs on when its client leaves, and is looked at later."""
    compacts: bool = False
    """The input ended in a `compaction_trigger`: the answer is the conversation so far as one sealed summary."""
    truncates: bool = False
    """`truncation: auto`: the oldest items may be left out when the model cannot read them all."""
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    session_id: str = ""
    """Root session of the client (`session-id` of Codex, `x-session-id` of OpenCode); empty when unknown."""
    thread_id: str = ""
    """The agent inside the session (`thread-id` of Codex); empty when unknown."""
    window: int | None = None
    """How often the client has compacted this thread (the number in `x-codex-window-id`); None when it does not say."""
    client: str = ""
    """Name and version of the client's program, from its `User-Agent`; empty when unknown."""
    echo: dict[str, Any] = {}
    """Request fields that the response object repeats (metadata, tools, reasoning, text …), as they came."""
    untranslated: dict[str, Any] | None = None
    """The Responses body of the client with its whole conversation in `input`, given by an edge that can pass on an
    answer as it comes (`Relayed`). A lane whose upstream speaks Responses sends it; every other lane ignores it."""
