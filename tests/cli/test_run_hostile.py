"""`codex-oss run` with a model, an upstream or a caller that means no good: bounded, clean, one sentence, a code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_run import MODEL, SECRET, environ, events_of, project, run, told_by_tools
from tests.fakes.chat_upstream import (
    Answer,
    ChatUpstream,
    Request,
    cut,
    error,
    mute,
    stream,
    text,
    tool_call,
    tool_calls,
)

__all__ = ["project"]
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202eabc\u2066"


def clean(done: subprocess.CompletedProcess[str]) -> bool:
    """Nothing that moves a cursor or turns text around reached either stream."""
    return not {"\x1b", "\x07", "\r", "\u202e", "\u2066"} & set(done.stdout + done.stderr)


def test_terminal_escapes_reach_no_terminal(project: Path) -> None:
    """Neither in the text, nor in a diff, a command, a path, an error or a refusal."""
    (project / "esc.txt").write_text(f"a{ESCAPES}\nb\n")
    script = [
        tool_calls(
            [
                ("c1", "edit_file", {"path": "esc.txt", "old_text": "b", "new_text": f"c{ESCAPES}"}),
                ("c2", "shell", {"command": f"printf '{ESCAPES}'; exit 3"}),
                ("c3", "read_file", {"path": f"no{ESCAPES}"}),
                ("c4", f"rm{ESCAPES}", {}),
                ("c5", "read_file", {"path": "esc.txt", ESCAPES: 1}),
            ]
        ),
        text(f"Look: {ESCAPES} done\r", pieces=30),
    ]
    with ChatUpstream(script) as upstream:
        done = run(project, upstream, "-m", MODEL, "--yes", "go")
    assert done.returncode == 0
    assert clean(done)
    assert "Look: \ufffd" in done.stdout
    assert "owned" in done.stderr


def test_escapes_in_json_are_escaped(project: Path) -> None:
    """The value stays what it was, the line holds no control character."""
    with ChatUpstream([text(f"x{ESCAPES}")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "--json", "go")
    assert clean(done)
    assert "".join(event["text"] for event in events_of(done) if event["type"] == "text") == f"x{ESCAPES}"


def test_secrets_do_not_reach_the_model(project: Path) -> None:
    """Denied files are refused; secrets in others, in AGENTS.md and in what commands print are hidden."""
    (project / "AGENTS.md").write_text(f"Use tabs. token = '{SECRET}'\n")
    script = [
        tool_calls(
            [
                ("c1", "read_file", {"path": "app/keys.py"}),
                ("c2", "read_file", {"path": ".env"}),
                ("c3", "search", {"pattern": "ghp_|KEY"}),
                ("c4", "shell", {"command": "cat app/keys.py .env; env; cat /proc/1/environ ~/.ssh/* 2>&1; true"}),
            ]
        ),
        text("ok"),
    ]
    with ChatUpstream(script) as upstream:
        done = run(project, upstream, "-m", MODEL, "--yes", "go")
        asked = "\n".join(json.dumps(request.json) for request in upstream.requests)
        outputs = told_by_tools(upstream.requests[1])
    assert SECRET not in asked + done.stdout + done.stderr
    assert "synthetic-upstream-key" not in asked + done.stderr
    assert "Use tabs." in asked
    assert [output.startswith("path_denied") for output in outputs] == [False, True, False, False]
    kept = "".join(path.read_text() for path in (project.parent / "home").rglob("*.jsonl"))
    assert SECRET not in kept


def test_the_project_hides_what_it_says(project: Path) -> None:
    """Its ignore file holds for the agent as for missions: neither read, nor found, nor written."""
    (project / ".codex-oss").mkdir()
    (project / ".codex-oss/ignore").write_text("app/\n")
    calls = [
        ("c1", "read_file", {"path": "app/retry.py"}),
        ("c2", "search", {"pattern": "MAX_RETRIES"}),
        ("c3", "create_file", {"path": "app/new.py", "content": "x"}),
    ]
    with ChatUpstream([tool_calls(calls), text("ok")]) as upstream:
        run(project, upstream, "-m", MODEL, "--yes", "go")
        outputs = told_by_tools(upstream.requests[1])
    assert [output.partition(":")[0].partition(" (")[0] for output in outputs] == [
        "path_denied", "No matches", "path_denied",
    ]  # fmt: skip
    assert not (project / "app/new.py").exists()


def test_a_gpt_name_that_is_placed_on_an_open_model(project: Path) -> None:
    """With the strategy `oss` no account is asked, and the person is told who answers."""
    with ChatUpstream([text("ok")]) as upstream:
        done = run(project, upstream, "-m", "gpt-5.4", "go", GPT_MODEL_STRATEGY="oss")
    assert (done.returncode, done.stdout) == (0, "ok\n")
    assert "[model_replaced]" in done.stderr


def test_a_model_that_calls_for_ever(project: Path) -> None:
    """The same again and again ends by itself, new nonsense each time at the step limit; both are not done."""
    with ChatUpstream(lambda request: tool_call("list_files", {})) as upstream:
        same = run(project, upstream, "-m", MODEL, "go")
        assert len(upstream.requests) < 20
    assert (same.returncode, "[no_progress]" in same.stderr) == (1, True)
    with ChatUpstream(lambda request: tool_call("list_files", {"path": f"d{len(request.messages)}"})) as upstream:
        new = run(project, upstream, "-m", MODEL, "--max-steps", "5", "go")
        assert len(upstream.requests) == 5
    assert (new.returncode, "[step_limit]" in new.stderr) == (1, True)


def test_arguments_that_are_none(project: Path) -> None:
    """Broken JSON, another shape, an unknown tool and a huge text are told to the model, which then may do better."""
    script = [
        tool_call("read_file", '{"path": "app/re'),
        tool_call("read_file", "[]", call_id="c2"),
        tool_call("launch", {}, call_id="c3"),
        tool_call("create_file", {"path": "big.txt", "content": "x" * 1_000_000}, call_id="c4"),
        text("I give up."),
    ]
    with ChatUpstream(script) as upstream:
        done = run(project, upstream, "-m", MODEL, "--yes", "go")
        outputs = told_by_tools(upstream.requests[-1])
        assert len(upstream.requests[-1].body) < 20_000
    assert (done.returncode, done.stdout) == (0, "I give up.\n")
    assert [output.partition(":")[0] for output in outputs] == [
        "arguments_malformed", "arguments_malformed", "tool_unknown", "arguments_too_long",
    ]  # fmt: skip
    assert not (project / "big.txt").exists()


@pytest.mark.parametrize(
    "answer", [cut(text("Half of an answer", pieces=4), 700), text("Half", done=False, finish=None)]
)
def test_an_upstream_that_breaks_off(project: Path, answer: Answer) -> None:
    """What came stands on stdout, stderr says that it is not all, and the code is 1."""
    with ChatUpstream([answer]) as upstream:
        done = run(project, upstream, "-m", MODEL, "go")
    assert done.stdout.startswith("Half")
    assert done.stdout.endswith("\n")
    assert (done.returncode, "[stream_cut]" in done.stderr) == (1, True)


def test_a_call_that_is_cut_is_not_run(project: Path) -> None:
    """Half a command is no command."""
    whole = tool_call("shell", {"command": "touch made.txt && touch more.txt"})
    with ChatUpstream([cut(whole, 900)]) as upstream:
        done = run(project, upstream, "-m", MODEL, "--yes", "go")
    assert done.returncode == 1
    assert not (project / "made.txt").exists()


def test_what_the_upstream_refuses_is_one_sentence(project: Path) -> None:
    """Its status becomes a code and a sentence, without the secret that it repeats; the session stays."""
    with ChatUpstream([error(400, f"bad key {SECRET}"), text("ok")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "--session", "s1", "go")
        again = run(project, upstream, "--session", "s1", "go on")
    assert (done.returncode, done.stdout) == (1, "")
    assert SECRET not in done.stderr
    assert "Traceback" not in done.stderr
    assert (again.returncode, again.stdout) == (0, "ok\n")


def test_a_retry_is_told_once(project: Path) -> None:
    """The lane tries again before anything was shown; that is a note, not an error."""
    with ChatUpstream([error(503), text("ok")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "go", UPSTREAM_RETRIES="1")
    assert (done.returncode, done.stdout) == (0, "ok\n")
    assert done.stderr.count("[retried]") == 1


def test_a_silent_upstream(project: Path) -> None:
    """The turn ends with its own time, however patient the lane is."""
    with ChatUpstream([mute()]) as upstream:
        done = run(project, upstream, "-m", MODEL, "--timeout", "0.5", "go")
    assert (done.returncode, "[turn_timeout]" in done.stderr) == (1, True)


def test_parallel_calls_are_settled_in_order(project: Path) -> None:
    """Each has its outcome, whatever ids the model gives."""
    calls = [("", "list_files", {"path": "app"}), ("x", "read_file", {"path": "app/retry.py"}), ("x", "rm", {})]
    with ChatUpstream([tool_calls(calls), text("ok")]) as upstream:
        done = run(project, upstream, "-m", MODEL, "go")
        ids = [call["id"] for call in upstream.requests[1].messages[2]["tool_calls"]]
        answered = [message["tool_call_id"] for message in upstream.requests[1].messages if message["role"] == "tool"]
    assert done.returncode == 0
    assert ids == answered
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["go"], "model_missing"),
        (["-m", "no-such-model", "go"], "model_not_found"),
        (["-m", MODEL, " "], "prompt_invalid"),
        (["-m", MODEL, "-"], "prompt_invalid"),
        (["-m", MODEL, "--session", "../x", "go"], "session_id_invalid"),
        (["-m", "mission-a9-kimi", "go"], "model_not_found"),
    ],
)
def test_asked_wrongly(project: Path, arguments: list[str], code: str) -> None:
    """Exit 2, a sentence with its code and what to do; with --json the same as one object; nothing is left behind."""
    done = run(project, None, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"[{code}]" in done.stderr
    told = run(project, None, "--json", *arguments)
    assert (told.returncode, json.loads(told.stdout)["error"]) == (2, code)
    assert not list((project.parent / "home").rglob("*.jsonl"))


def test_the_default_model_is_a_setting(project: Path) -> None:
    """Without -m and without a session the configuration says who answers."""
    with ChatUpstream([text("ok")]) as upstream:
        done = run(project, upstream, "go", CODEX_OSS_RUN_MODEL=MODEL)
    assert (done.returncode, done.stdout) == (0, "ok\n")


def test_without_a_home_nothing_begins(project: Path) -> None:
    """There is no place for a session: one sentence, exit 1."""
    done = run(project, None, "-m", MODEL, "go", HOME=str(project.parent / "no-home"), XDG_CONFIG_HOME=str(project))
    assert done.returncode == 1
    assert "[session_unreadable]" in done.stderr


def test_help_is_light(project: Path) -> None:
    """Neither the event loop nor an HTTP library is imported to print help."""
    program = (
        "import sys\nfrom codex_oss.cli.main import main\n"
        "try:\n    main(['run', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'asyncio', 'aiohttp', 'msgspec', 'httptools', 'codex_oss.wiring'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ(project, None), timeout=60
    )
    assert done.stdout.endswith("heavy: []\n"), done.stdout[-200:]


def test_the_begin_of_every_question_is_the_same(project: Path) -> None:
    """Instructions, tools and what was said before are the same bytes, so that the upstream's cache hits."""
    script = [tool_call("list_files", {}), text("a"), text("b")]
    with ChatUpstream(script) as upstream:
        run(project, upstream, "-m", MODEL, "--session", "s1", "go")
        run(project, upstream, "--session", "s1", "on")
        first, second, third = upstream.requests
    for before, after in ((first, second), (second, third)):
        assert after.messages[: len(before.messages)] == before.messages
        assert after.json["tools"] == before.json["tools"]


def test_reasoning_is_not_the_answer(project: Path) -> None:
    """What a model thinks is in the events of --json and never on a plain stdout."""

    def script(request: Request) -> Answer:
        return stream([{"reasoning_content": "secret thought"}, {"content": "said"}])

    with ChatUpstream(script) as upstream:
        plain = run(project, upstream, "-m", MODEL, "go")
        told = run(project, upstream, "-m", MODEL, "--json", "go")
    assert plain.stdout == "said\n"
    assert "secret thought" not in plain.stderr
    assert [event["text"] for event in events_of(told) if event["type"] == "reasoning"] == ["secret thought"]
