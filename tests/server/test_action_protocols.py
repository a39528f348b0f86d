"""The two action protocols on the wire: what an upstream is asked, byte by byte, and what rude answers come to."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_missions import run_cli
from tests.fakes.chat_upstream import (
    Answer,
    ChatUpstream,
    Request,
    action,
    call_of,
    error,
    text,
    tool_call,
    tool_calls,
)
from tests.fakes.responses_upstream import function_call, said, streamed

PROTOCOLS = ["json", "tools"]
HANDOFF: dict[str, Any] = {
    "schema_version": "oss_agent_mission.v1",
    "mission_id": "m_protocol",
    "tier": "A3",
    "objective": "Where is LIMIT defined, and what is it?",
    "allowed_roots": ["app"],
    "allowed_tool_classes": ["read", "search", "list"],
    "required_outputs": ["findings"],
    "tool_budget": 8,
    "time_budget_seconds": 60,
}


def tool(name: str, **arguments: Any) -> dict[str, Any]:
    """A tool call as an action object."""
    return {"action_type": "tool_call", "tool_name": name, "arguments": arguments, "reason": "look"}


def report(claim: str, *refs: str, status: str = "COMPLETE") -> dict[str, Any]:
    """A closing report as an action object."""
    found = [{"claim": claim, "evidence_refs": list(refs), "confidence": "MEDIUM", "kind": "value"}]
    body = {"status": status, "confidence": "MEDIUM", "findings": found, "uncertainties": [], "caveats": []}
    return {"action_type": "final_report", "report": body}


READ = tool("rtk_read", path="app/limits.py")
TRUE = report("`LIMIT` is 3 at app/limits.py:1", "file:app/limits.py#extract:1")
SCRIPT = (
    tool("rtk_grep", pattern="LIMIT", path="app"),
    tool("rtk_read", path="../outside.py"),
    READ,
    tool("rtk_read", path="app/other.py"),
    report("`LIMIT` is 4 at app/limits.py:1", "file:app/limits.py#extract:1"),
    TRUE,
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two files."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "app/limits.py").write_text("LIMIT = 3\n")
    (folder / "app/other.py").write_text("".join(f"other_{n} = {n}\n" for n in range(40)))
    return folder


def run(
    project: Path, answers: Sequence[Answer], protocol: str, model: str = "mission-a3-kimi"
) -> tuple[dict[str, Any], list[Request]]:
    """Run the mission in a process of its own; its outcome, and what the upstream was asked."""
    with ChatUpstream(answers) as upstream:
        done = run_cli(
            project,
            *("mission", "run", "-", "--json", "--model", model),
            upstream=upstream.base_url,
            stdin=json.dumps(HANDOFF),
            CODEX_OSS_ACTION_PROTOCOL=protocol,
        )
    assert done.stdout, done.stderr
    return json.loads(done.stdout), upstream.chats


def events(project: Path, event_type: str) -> list[dict[str, Any]]:
    """Payloads of one type in the log of the only run."""
    (log,) = project.glob(".codex-oss/runs/*/events.jsonl")
    lines = map(json.loads, log.read_text().splitlines())
    return [line["payload"] for line in lines if line["event_type"] == event_type]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_same_mission_ends_alike_in_both_protocols(project: Path, protocol: str) -> None:
    """A denial, two reads, a search, a refused report and one that stands; each question in the form asked for."""
    outcome, asked = run(project, [action(each) for each in SCRIPT], protocol)
    assert (outcome["status"], outcome["reason_codes"]) == ("COMPLETE", [])
    assert [request.speaks_tools for request in asked] == [protocol == "tools"] * len(SCRIPT)
    assert [made["action_protocol"] for made in events(project, "MissionOpened")] == [protocol]
    denied = [event["code"] for event in events(project, "ActionDenied")]
    assert denied == ["path_traversal"]
    assert len(events(project, "ReportRefused")) == 1


def message_bytes(request: Request) -> list[bytes]:
    """Each message of a request as bytes."""
    return [json.dumps(message, ensure_ascii=False).encode() for message in request.messages]


STRICT = """
[profiles.strict]
model = "strict"
tiers = ["A3"]
quirks = { structured_output = "json_schema" }
"""


@pytest.mark.parametrize(
    ("protocol", "model"),
    [("json", "mission-a3-kimi"), ("tools", "mission-a3-kimi"), ("json", "mission-a3-strict")],
)
def test_prompts_only_grow(project: Path, protocol: str, model: str) -> None:
    """Every message byte of a request stands again, first and as it was, in the next one; tools never change."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/models.toml").write_text(STRICT)
    _, asked = run(project, [action(each) for each in SCRIPT], protocol, model)
    for before, after in itertools.pairwise(asked):
        shared = message_bytes(before)
        assert message_bytes(after)[: len(shared)] == shared
        assert before.json.get("tools") == after.json.get("tools")
        # On the wire, where `messages` is the last field.
        sent, then = (request.body[request.body.index(b'"messages":') :] for request in (before, after))
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(sent, then, strict=False)))
        assert same >= 0.95 * len(sent)


def test_a_schema_follows_the_state_outside_of_the_prompt(project: Path) -> None:
    """It is a `response_format` that differs from turn to turn; no message holds any of it."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/models.toml").write_text(STRICT)
    _, asked = run(project, [action(each) for each in SCRIPT], "json", "mission-a3-strict")
    schemas = [json.dumps(request.json["response_format"]["json_schema"]["schema"]) for request in asked]
    assert "final_report" not in schemas[0]
    assert "file:app/limits.py#extract:1" in schemas[-1]
    assert len(set(schemas)) > 2
    assert not any("additionalProperties" in request.text for request in asked)


def test_a_refused_schema_costs_no_turn(project: Path) -> None:
    """First the schema goes, then the object, and neither comes back."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/models.toml").write_text(STRICT)
    refused = error(400, "response_format is not supported")
    outcome, asked = run(project, [refused, refused, action(READ), action(TRUE)], "json", "mission-a3-strict")
    assert outcome["status"] == "COMPLETE"
    formats = [(request.json.get("response_format") or {}).get("type") for request in asked]
    assert formats == ["json_schema", "json_object", None, None]
    assert len(events(project, "ModelAsked")) == 2


def test_several_calls_of_one_answer_are_done_in_order(project: Path) -> None:
    """Each is judged by itself and answered by itself; text beside them is kept."""
    several = tool_calls(
        [
            ("a", "rtk_grep", {"pattern": "LIMIT"}),
            ("b", "rtk_read", {"path": "/etc/passwd"}),
            ("c", "rtk_read", {"path": "app/limits.py"}),
        ]
    )
    outcome, asked = run(project, [several, action(TRUE)], "tools")
    assert outcome["status"] == "COMPLETE"
    *_, called, first, second, third = asked[1].messages
    assert [made["id"] for made in called["tool_calls"]] == ["a", "b", "c"]
    assert [(made["role"], made["tool_call_id"]) for made in (first, second, third)] == [
        ("tool", "a"),
        ("tool", "b"),
        ("tool", "c"),
    ]
    assert "OBSERVATION rtk_grep" in first["content"]
    assert "path_absolute" in second["content"]
    assert "LIMIT = 3" in third["content"]


RUDE: dict[str, tuple[Answer, str]] = {
    "no call": (text("I would look into the file."), "action_missing"),
    "malformed": (tool_call("rtk_read", '{"path": "app/limits.py"'), "action_parse_failed"),
    "no object": (tool_call("rtk_read", '["app/limits.py"]'), "action_parse_failed"),
    "two ways": (tool_call("rtk_read", '{"path": "app/limits.py", "path": "app/other.py"}'), "action_ambiguous"),
    "unknown tool": (tool_call("open_browser", {"url": "x"}), "tool_unknown"),
    "a writer": (tool_call("apply_patch", {"patch": "x"}), "write_blocked"),
    "unknown argument": (tool_call("rtk_read", {"path": "app/limits.py", "color": 1}), "argument_unsupported"),
    "report and read": (
        tool_calls([("a", "final_report", TRUE["report"]), ("b", "rtk_ls", {"path": "app"})]),
        "report_not_alone",
    ),
    "too many": (
        tool_calls([(f"c{n}", "rtk_read", {"path": "app/limits.py"}) for n in range(17)]),
        "too_many_calls",
    ),
}


@pytest.mark.parametrize("name", RUDE)
def test_a_rude_answer_in_native_calls_gets_one_chance(project: Path, name: str) -> None:
    """It is refused with a code, every call gets its answer, and the mission goes on to a truthful end."""
    rude, code = RUDE[name]
    outcome, asked = run(project, [rude, action(READ), action(TRUE)], "tools")
    assert (outcome["status"], outcome["reason_codes"]) == ("COMPLETE", [])
    assert {event["code"] for event in events(project, "ActionDenied")} == {code}
    made = [call["id"] for message in asked[1].messages for call in message.get("tool_calls", ())]
    answered = [message["tool_call_id"] for message in asked[1].messages if message["role"] == "tool"]
    assert answered == made


@pytest.mark.parametrize("name", ["no call", "malformed", "too many"])
def test_the_same_rudeness_twice_ends_the_mission(project: Path, name: str) -> None:
    """As in JSON: one repair, then the mission closes with the code."""
    rude, code = RUDE[name]
    outcome, _ = run(project, [rude, rude], "tools")
    assert (outcome["status"], outcome["reason_codes"]) == ("FAILED", [code])


def test_native_calls_nobody_asked_for_are_no_action(project: Path) -> None:
    """In the protocol json a call beside or instead of the object counts for nothing."""
    outcome, _ = run(project, [tool_call("rtk_read", {"path": "app/limits.py"}), action(READ), action(TRUE)], "json")
    assert outcome["status"] == "COMPLETE"
    assert [event["code"] for event in events(project, "ActionDenied")] == ["action_empty"]


@pytest.mark.parametrize(("protocol", "forms"), [("json", ["json_object", "text"]), ("tools", ["required", "auto"])])
def test_a_refused_form_costs_no_turn(project: Path, protocol: str, forms: list[str]) -> None:
    """HTTP 400 for `response_format` or `tool_choice`: the same question again without, and never with it again."""
    answers = [error(400, "unsupported parameter"), action(READ), action(TRUE)]
    outcome, asked = run(project, answers, protocol)
    assert outcome["status"] == "COMPLETE"
    assert len(events(project, "ModelAsked")) == 2
    assert [made["form"] for made in events(project, "ModelAnswered")] == [forms[1]] * 2
    if protocol == "json":
        assert [request.json.get("response_format") for request in asked] == [{"type": "json_object"}, None, None]
    else:
        assert [request.json["tool_choice"] for request in asked] == ["required", "auto", "auto"]
    assert asked[0].messages == asked[1].messages


def test_a_server_without_tools_is_quoted(project: Path) -> None:
    """Refused in every form, the mission fails at once and says what the server said."""
    outcome, asked = run(project, [error(400, "this model does not support tools")] * 3, "tools")
    assert (outcome["status"], outcome["reason_codes"]) == ("FAILED", ["model_call_failed", "upstream_refused"])
    assert any("does not support tools" in caveat for caveat in outcome["report"]["caveats"])
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("variable", "key", "place"),
    [
        ("xml", "json", "environment: CODEX_OSS_ACTION_PROTOCOL"),
        ("", "xml", ".codex-oss/models.toml: profiles.kimi.action_protocol"),
    ],
)
def test_a_bad_protocol_is_refused(project: Path, variable: str, key: str, place: str) -> None:
    """A value that is none of the two stops the program with the code of a bad configuration, and says where."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/models.toml").write_text(f'[profiles.kimi]\naction_protocol = "{key}"\n')
    arguments = ("mission", "run", "-", "--json")
    done = run_cli(project, *arguments, stdin=json.dumps(HANDOFF), CODEX_OSS_ACTION_PROTOCOL=variable)
    refused = json.loads(done.stdout)
    assert (done.returncode, refused["error"]) == (2, "config_invalid")
    assert f"{place}: expected one of json, tools, got 'xml'" in refused["message"]
    assert not (project / ".codex-oss/runs").exists()


def test_the_profile_chooses_and_the_environment_overrides(project: Path) -> None:
    """`action_protocol` in models.toml is the profile's; the variable stands above it."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/models.toml").write_text('[profiles.kimi]\naction_protocol = "tools"\n')
    for variable, protocol in (("", "tools"), ("json", "json")):
        with ChatUpstream([action(READ), action(TRUE)]) as upstream:
            done = run_cli(
                project,
                *("mission", "run", "-", "--json", "--model", "mission-a3-kimi"),
                upstream=upstream.base_url,
                stdin=json.dumps({**HANDOFF, "mission_id": f"m_{protocol}"}),
                **({"CODEX_OSS_ACTION_PROTOCOL": variable} if variable else {}),
            )
        assert json.loads(done.stdout)["status"] == "COMPLETE"
        assert upstream.chats[0].speaks_tools is (protocol == "tools")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_upstream_of_responses_is_asked_alike(project: Path, protocol: str) -> None:
    """The same mission over `api = "responses"`: an input that only grows, and calls with their outputs."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/models.toml").write_text('[profiles.kimi]\napi = "responses"\n')

    def answer(value: dict[str, Any], number: int) -> Answer:
        if protocol == "json":
            return said(json.dumps(value))
        name, arguments = call_of(value)
        return streamed([function_call(name, arguments, f"call_{number}")])

    answers = [answer(value, number) for number, value in enumerate(SCRIPT)]
    outcome, asked = run(project, answers, protocol)
    assert (outcome["status"], outcome["reason_codes"]) == ("COMPLETE", [])
    for before, after in itertools.pairwise(asked):
        assert after.json["input"][: len(before.json["input"])] == before.json["input"]
        assert before.json.get("tools") == after.json.get("tools")
        assert before.json["instructions"] == after.json["instructions"]
    outputs = [item["call_id"] for item in asked[-1].json["input"] if item.get("type") == "function_call_output"]
    assert outputs == ([f"call_{number}" for number in range(len(SCRIPT) - 1)] if protocol == "tools" else [])


WINDOW = 4_096
TINY = f"""
[profiles.tiny]
model = "tiny"
context_tokens = {WINDOW}
max_output_tokens = 512
tiers = ["A3"]
"""


def tokens_of(request: Request) -> int:
    """What a request takes of the window: a token for three bytes of text, and what the answer may be."""
    said = [str(message.get("content") or "") for message in request.messages]
    said += [json.dumps(message.get("tool_calls", "")) for message in request.messages]
    said.append(json.dumps(request.json.get("tools", "")))
    return sum(len(text.encode()) for text in said) // 3 + int(request.json["max_tokens"])


def test_a_mission_fits_whoever_may_answer(project: Path) -> None:
    """A fallback with a small window makes the mission small: no matter who answers, nobody is asked too much."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/models.toml").write_text(
        TINY + '\n[profiles.wide]\nmodel = "wide"\ntiers = ["A3"]\nfallbacks = ["tiny"]\n'
    )
    run(project, [action(READ), action(TRUE)], "json", "mission-a3-wide")
    assert [made["context_tokens"] for made in events(project, "MissionOpened")] == [WINDOW]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_request_exceeds_a_small_window(project: Path, protocol: str) -> None:
    """A model that reads on and on in large files is ordered to report while its report still fits."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/models.toml").write_text(TINY)
    for number in range(8):
        lines = (f"value_{number}_{line} = '{'嗨' * (line % 7)}'" for line in range(400))
        (project / f"app/big{number}.py").write_text("\n".join(lines))

    def strict(request: Request) -> Answer:
        if tokens_of(request) > WINDOW:
            return error(400, "too long", code="context_length_exceeded")
        if "STOP: the conversation is nearly as long as you can read" in request.text:
            return action(report("`value_0_0 = ''` stands at app/big0.py:1", "file:app/big0.py#extract:1"))
        seen = request.text.count("OBSERVATION rtk_read")
        return action(tool("rtk_read", path=f"app/big{seen}.py"))

    with ChatUpstream(strict) as upstream:
        done = run_cli(
            project,
            *("mission", "run", "-", "--json", "--model", "mission-a3-tiny"),
            upstream=upstream.base_url,
            stdin=json.dumps(HANDOFF),
            CODEX_OSS_ACTION_PROTOCOL=protocol,
        )
    outcome = json.loads(done.stdout)
    assert (outcome["status"], outcome["reason_codes"]) == ("COMPLETE", [])
    sizes = [tokens_of(request) for request in upstream.chats]
    assert max(sizes) <= WINDOW
    assert len(sizes) > 2
    assert max(sizes) > WINDOW // 2
