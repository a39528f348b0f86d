"""Generated conversations, the client's side: create requests of every item and tool kind, and what follows a turn.

    first_request(rng) ─► answered ─► next_request(rng, request, output) ─► answered ─► …

Rules that hold here:

1. Everything is drawn from one `random.Random`: the same seed is the same conversation.
2. A request is one that a real client could send. What the bridge must refuse is not drawn here.
3. A continuation sends back the output as it came, with an output for (nearly) every call, as clients do.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

Request = dict[str, Any]
WORDS: Final = (
    "hi",
    "",
    "déjà vu",
    "日本語",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "<think>",
    "```py\nx\n```",
    '"quoted"',
    "\\",
    "\u2028",
    "a" * 300,
    "null",
)
SCHEMA: Final = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
PIXEL: Final = "data:image/png;base64,iVBORw0KGgo="

FUNCTIONS: Final[tuple[dict[str, Any], ...]] = (
    {"type": "function", "name": "read", "parameters": SCHEMA, "strict": False, "description": "Read a file."},
    {"type": "function", "name": "list", "parameters": None, "strict": None},
    {"type": "function", "name": "a_tool_with_a_long_name_" + "x" * 40, "parameters": {}, "strict": True},
)
CUSTOMS: Final[tuple[dict[str, Any], ...]] = (
    {"type": "custom", "name": "note"},
    {
        "type": "custom",
        "name": "apply_patch",
        "description": "Patch files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
    },
)
NAMESPACE: Final[dict[str, Any]] = {
    "type": "namespace",
    "name": "agents",
    "description": "Agents.",
    "tools": [
        {"type": "function", "name": "spawn", "parameters": SCHEMA, "strict": False},
        {"type": "custom", "name": "exec"},
    ],
}
HOSTED: Final[tuple[dict[str, Any], ...]] = (
    {"type": "web_search", "external_web_access": False},
    {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "local_shell"},
    {"type": "image_generation"},
)
CALL_NAMES: Final = ("read", "list", "note", "apply_patch", "agents__spawn", "agents__exec", "spawn", "never_offered")
"""Names that a model may call: flat names of the tools above, short ones, and one that nobody offered."""


def first_request(rng: Random) -> Request:
    """The first create of a conversation."""
    request: Request = {"model": "ocg-glm", "input": _input(rng), "stream": True}
    if rng.random() < 0.3:
        request["instructions"] = rng.choice(WORDS)
    if tools := _tools(rng):
        request["tools"] = tools
    for key, values in OPTIONS.items():
        if rng.random() < 0.15:
            request[key] = rng.choice(values)
    names = [tool["name"] for tool in request.get("tools", ()) if tool["type"] in ("function", "custom")]
    if names and rng.random() < 0.3:
        name = rng.choice(names)
        kind = next(tool["type"] for tool in request["tools"] if tool.get("name") == name)
        one = {"type": kind, "name": name}
        request["tool_choice"] = rng.choice([one, {"type": "allowed_tools", "mode": "auto", "tools": [one]}])
    return request


OPTIONS: Final[dict[str, tuple[Any, ...]]] = {
    "tool_choice": ("auto", "none", "required"),
    "parallel_tool_calls": (True, False),
    "reasoning": ({"effort": "low"}, {"effort": "high", "summary": "auto"}, {"summary": "detailed"}, {"effort": None}),
    "text": (
        {"verbosity": "low"},
        {"format": {"type": "text"}},
        {"format": {"type": "json_object"}},
        {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}},
    ),
    "include": (["reasoning.encrypted_content"], []),
    "store": (True, False, None),
    "max_output_tokens": (16, 4000, None),
    "max_tool_calls": (1, None),
    "temperature": (0, 0.7, 2, None),
    "top_p": (0.5, 1),
    "presence_penalty": (0, 1.5),
    "frequency_penalty": (0, -1),
    "top_logprobs": (0, None),
    "truncation": ("auto", "disabled"),
    "metadata": ({}, {"run": "7"}),
    "service_tier": ("auto", "default", "flex", "priority"),
    "prompt_cache_key": ("session-1", None),
    "safety_identifier": ("user-1", None),
    "user": ("someone",),
    "client_metadata": ({"x": "y"},),
    "unknown_field": (1, {"deep": []}),
}
"""Fields of a create besides input, tools and instructions, and values that clients send."""


def next_request(rng: Random, request: Request, output: list[dict[str, Any]]) -> Request:
    """The create that follows a turn with this output: the whole history, results of the calls, something new."""
    history = request["input"]
    if isinstance(history, str):
        history = [{"type": "message", "role": "user", "content": history}]
    echoed = [_echoed(rng, item) for item in output]
    results = [_result(rng, item) for item in output if item["type"].endswith("_call") and rng.random() < 0.95]
    rng.shuffle(results)
    new = [_message(rng, "user")] if not results or rng.random() < 0.2 else []
    return {**request, "input": [*history, *echoed, *results, *new]}


def _echoed(rng: Random, item: dict[str, Any]) -> dict[str, Any]:
    """An output item as clients send it back: whole, without its id (OpenCode), or with a null content (Codex)."""
    kept = dict(item)
    if rng.random() < 0.5:
        kept.pop("id", None)
        kept.pop("status", None)
    if item["type"] == "reasoning" and rng.random() < 0.5:
        kept["content"] = None
    return kept


def _result(rng: Random, call: dict[str, Any]) -> dict[str, Any]:
    text = rng.choice(WORDS)
    parts = [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": PIXEL, "detail": "auto"}]
    output: Any = text if rng.random() < 0.7 else parts[: rng.randint(1, 2)]
    return {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": output}


def _tools(rng: Random) -> list[dict[str, Any]]:
    tools = [tool for tool in (*FUNCTIONS, *CUSTOMS, NAMESPACE, *HOSTED) if rng.random() < 0.3]
    rng.shuffle(tools)
    return tools


def _input(rng: Random) -> Any:
    if rng.random() < 0.2:
        return rng.choice(WORDS) or "hi"
    items = [rng.choice(ITEM_KINDS)(rng) for _ in range(rng.randint(0, 4))]
    return [item for group in items for item in group] + [_message(rng, "user")]


def _message(rng: Random, role: str) -> dict[str, Any]:
    texts = [rng.choice(WORDS) for _ in range(rng.randint(1, 3))]
    kind = "output_text" if role == "assistant" else "input_text"
    parts: list[dict[str, Any]] = [{"type": kind, "text": text} for text in texts]
    if role == "user" and rng.random() < 0.2:
        parts.append({"type": "input_image", "image_url": PIXEL, "detail": rng.choice(["low", "auto", "original"])})
    if role == "user" and rng.random() < 0.1:
        parts.append({"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="})
    if role == "assistant" and rng.random() < 0.2:
        parts = [{"type": "refusal", "refusal": "No."}]
    message: dict[str, Any] = {"role": role, "content": texts[0] if rng.random() < 0.5 else parts}
    if rng.random() < 0.7:
        message["type"] = "message"
    if role == "assistant" and rng.random() < 0.4:
        message["phase"] = rng.choice(["commentary", "final_answer"])
    return message


def _messages(rng: Random) -> list[dict[str, Any]]:
    return [_message(rng, rng.choice(["user", "assistant", "system", "developer"]))]


def _function_call(rng: Random) -> list[dict[str, Any]]:
    call_id = f"call_{rng.randrange(50)}"
    arguments = rng.choice(['{"path":"a"}', "{}", "", '{"path":', "not json"])
    call = {"type": "function_call", "call_id": call_id, "name": rng.choice(CALL_NAMES), "arguments": arguments}
    if rng.random() < 0.2:
        call["namespace"] = "agents"
    return [call, _result(rng, call)] if rng.random() < 0.8 else rng.sample([call, _result(rng, call)], 1)


def _custom_call(rng: Random) -> list[dict[str, Any]]:
    call = {"type": "custom_tool_call", "call_id": f"call_c{rng.randrange(50)}", "name": "note", "input": "raw ☃"}
    return [call, _result(rng, call)]


def _reasoning(rng: Random) -> list[dict[str, Any]]:
    item: dict[str, Any] = {"type": "reasoning", "summary": [{"type": "summary_text", "text": rng.choice(WORDS)}]}
    item |= rng.choice([{}, {"content": None}, {"content": [{"type": "reasoning_text", "text": "raw"}]}])
    item |= rng.choice([{}, {"encrypted_content": "gAAAA=="}, {"id": "rs_1", "encrypted_content": None}])
    return [item]


def _additional_tools(rng: Random) -> list[dict[str, Any]]:
    return [{"type": "additional_tools", "role": "developer", "tools": [NAMESPACE, *_tools(rng)]}]


def _agent_message(_: Random) -> list[dict[str, Any]]:
    content = [
        {"type": "input_text", "text": "Message Type: TASK"},
        {"type": "encrypted_content", "encrypted_content": "look around"},
    ]
    return [{"type": "agent_message", "author": "/root", "recipient": "/root/scout", "content": content}]


def _hosted_call(rng: Random) -> list[dict[str, Any]]:
    kinds: tuple[dict[str, Any], ...] = (
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_l1", "status": "completed", "action": {}},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": None},
        {"type": "configuration_update", "reasoning": {"effort": "low"}},
        {"type": "an_item_of_next_year", "payload": [1, None]},
    )
    return [json.loads(json.dumps(rng.choice(kinds)))]


ITEM_KINDS: Final = (
    _messages,
    _messages,
    _function_call,
    _custom_call,
    _reasoning,
    _additional_tools,
    _agent_message,
    _hosted_call,
)
