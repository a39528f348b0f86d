"""Both programs as real processes on a real terminal: keys, ends, and what is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codex_oss.services.account_store import AccountStore
from codex_oss.services.sandbox import probe_sandbox
from codex_oss.tui.approval import SETTLE_S
from tests.fakes.chat_upstream import ChatUpstream, held, text, tool_call
from tests.tui.real_terminal import LEFT_SCREEN, SHOWN_CURSOR, Terminal
from tests.tui.world import ANN, CANARY, FAY, book

TUI = (sys.executable, "-m", "codex_oss", "tui")
CHAT = (sys.executable, "-m", "codex_oss", "chat", "-m", "ocg-kimi-k2.6")
ESCAPE, CTRL_C, CTRL_D = "\x1b", "\x03", "\x04"


def environ(home: Path, **more: str) -> dict[str, str]:
    """A home of its own."""
    inherited = {name: os.environ[name] for name in os.environ if name.startswith(("COVERAGE", "CODEX_OSS_TEST"))}
    return {**inherited, "PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **more}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two accounts."""
    folder = tmp_path / "home"
    folder.mkdir()
    AccountStore(folder / ".config" / "codex-oss").change(lambda _: book(ANN, FAY, active=ANN))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "retry.py").write_text("MAX_RETRIES = 5\n")
    return folder


def restored(terminal: Terminal) -> bool:
    """Whether the terminal is as it was: its settings, the screen, the cursor."""
    tail = bytes(terminal.output).rpartition(b"\x1b[?1049h")[2]
    return terminal.after() == terminal.before and LEFT_SCREEN in tail and SHOWN_CURSOR in tail


@pytest.mark.parametrize("leave", ["q", CTRL_C, "\x11"])
def test_the_account_manager_ends_cleanly(home: Path, leave: str) -> None:
    """q, Ctrl-C and Ctrl-Q end it with 0, and the terminal is as before, with nothing left on it."""
    with Terminal(TUI, environ(home)) as terminal:
        terminal.until("fay@example.org")
        assert terminal.after() != terminal.before
        terminal.send(leave)
        assert terminal.end() == 0
        assert restored(terminal)
        assert terminal.after_screen().strip() == b""
        assert CANARY not in terminal.words()


def test_a_key_changes_the_real_file(home: Path) -> None:
    """Down and e disable the second account, in the file of this home."""
    with Terminal(TUI, environ(home)) as terminal:
        terminal.until("fay@example.org")
        terminal.send("\x1b[B")
        terminal.until("acc-fay|")
        terminal.send("e")
        terminal.until("is disabled.")
        terminal.send("q")
        assert terminal.end() == 0
    accounts = AccountStore(home / ".config" / "codex-oss").read().accounts
    assert [account.switch.enabled for account in accounts] == [True, False]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(home: Path, number: signal.Signals) -> None:
    """Whoever ends it from outside leaves no raw terminal behind."""
    with Terminal(TUI, environ(home)) as terminal:
        terminal.until("fay@example.org")
        terminal.process.send_signal(number)
        assert terminal.end() == 128 + number
        assert restored(terminal)


def test_it_does_not_outlive_its_terminal(home: Path) -> None:
    """When the window is gone so is the program, even where nobody sends a signal."""
    with Terminal(TUI, environ(home)) as terminal:
        terminal.until("fay@example.org")
        assert terminal.hang_up() != 0


def test_no_colour_means_none(home: Path) -> None:
    """With NO_COLOR not one colour is sent; with NO_COLOR=0 they are."""
    colour = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")
    for value, coloured in (("1", False), ("0", True)):
        with Terminal(TUI, environ(home, NO_COLOR=value)) as terminal:
            terminal.until("fay@example.org")
            terminal.send("q")
            assert terminal.end() == 0
            assert bool(colour.search(bytes(terminal.output))) is coloured


BREAKS = """
import asyncio, sys
from codex_oss.cli.main import main
from codex_oss.tui import account_manager
def breaks(self):
    token = "rt-CANARY-in-a-local"
    raise KeyError(token)
account_manager.AccountManager.on_mount = breaks
main(["tui"])
"""


def test_a_fault_restores_the_terminal_and_shows_no_variables(home: Path) -> None:
    """A fault of ours is one sentence and a hint, exit 1; no traceback, no value of any variable."""
    with Terminal((sys.executable, "-c", BREAKS), environ(home)) as terminal:
        assert terminal.end() == 1
        assert terminal.after() == terminal.before
        assert "error: The screen ended by a fault of its own (KeyError). [internal]" in terminal.words()
        assert "CANARY" not in terminal.words()
        assert "Traceback" not in terminal.words()


MISSING = "import sys; sys.modules['textual'] = None\nfrom codex_oss.cli.main import main\nmain([{verb!r}])"


@pytest.mark.parametrize("verb", ["tui", "chat"])
def test_a_missing_extra_is_one_sentence(home: Path, project: Path, verb: str) -> None:
    """Without the library: exit 1, a sentence, and how to install it."""
    with Terminal((sys.executable, "-c", MISSING.format(verb=verb)), environ(home), cwd=project) as terminal:
        assert terminal.end() == 1
        assert "[extra_missing]" in terminal.words()
        assert "hint: Install it: pip install 'codex-oss[tui]'" in terminal.words()


@pytest.mark.parametrize("verb", ["tui", "chat"])
def test_without_a_terminal_nothing_is_shown(home: Path, project: Path, verb: str) -> None:
    """In a pipe: exit 2, a sentence and what does the same; stdout stays empty. So on a terminal that is dumb."""
    argv = (sys.executable, "-m", "codex_oss", verb)
    done = subprocess.run(argv, env=environ(home), cwd=project, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "[not_a_terminal]" in done.stderr
    assert "hint: Without a terminal: codex-oss " in done.stderr
    with Terminal(argv, environ(home, TERM="dumb"), cwd=project) as terminal:
        assert terminal.end() == 2


def test_the_library_is_imported_for_a_screen_only() -> None:
    """Neither the list of verbs nor the help of these two imports it."""
    script = (
        "import sys, click\nfrom codex_oss.cli.main import cli\n"
        "for verb in ('tui', 'chat'):\n"
        "    command = cli.get_command(click.Context(cli), verb)\n"
        "    command.get_help(click.Context(command))\n"
        "print({'textual', 'rich', 'asyncio', 'msgspec'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n", done.stderr


def upstream_environ(home: Path, upstream: ChatUpstream) -> dict[str, str]:
    """The environment of a chat with a scripted model."""
    return environ(
        home, UPSTREAM_BASE=upstream.base_url, OPENCODE_GO_API_KEY="synthetic-upstream-key", UPSTREAM_RETRIES="0"
    )


EDIT = tool_call("edit_file", {"path": "retry.py", "old_text": "MAX_RETRIES = 5", "new_text": "MAX_RETRIES = 7"})


def test_a_chat_edits_after_a_yes_and_leaves_nothing_on_stdout(home: Path, project: Path, tmp_path: Path) -> None:
    """Text streams, the diff is shown, y applies it, and afterwards only the session's id is on the terminal."""
    out = tmp_path / "stdout"
    with (
        ChatUpstream([EDIT, text("The limit is seven now.")]) as upstream,
        Terminal(CHAT, upstream_environ(home, upstream), cwd=project, stdout_to=out) as terminal,
    ):
        terminal.until("session ")
        terminal.send("raise the limit\r")
        terminal.until("May this be done?")
        terminal.until("+MAX_RETRIES = 7")
        assert "5" in (project / "retry.py").read_text()
        answered(terminal, "y")
        terminal.until("The limit is seven now.")
        terminal.send(CTRL_D)
        assert terminal.end() == 0
        assert restored(terminal)
        assert re.fullmatch(rb"\s*session: [0-9a-f-]+\s*", terminal.after_screen())
    assert (project / "retry.py").read_text() == "MAX_RETRIES = 7\n"
    assert out.read_bytes() == b""


def answered(terminal: Terminal, key: str) -> None:
    """Answer a question: keys count once nothing was typed for a moment."""
    terminal.read_for(2 * SETTLE_S)
    terminal.send(key)


def test_typing_on_approves_nothing(home: Path, project: Path) -> None:
    """Keys that were meant for the prompt when the question came up are no answer; Enter then declines."""
    with (
        ChatUpstream([EDIT, text("Nothing was changed.")]) as upstream,
        Terminal(CHAT, upstream_environ(home, upstream), cwd=project) as terminal,
    ):
        terminal.until("session ")
        terminal.send("raise the limit\r")
        terminal.until("May this be done?")
        terminal.send("yyyy")
        answered(terminal, "\r")
        terminal.until("Nothing was changed.")
        terminal.send(CTRL_C)
        assert terminal.end() == 0
    assert (project / "retry.py").read_text() == "MAX_RETRIES = 5\n"


def test_a_chat_is_resumed_by_its_id(home: Path, project: Path) -> None:
    """The second program shows what was said in the first, and the model is told it too."""
    with ChatUpstream([text("The limit is five."), text("As I said, five.")]) as upstream:
        for prompt, answer in (("what is the limit?", "The limit is five."), ("and again?", "As I said, five.")):
            argv = (*CHAT, "--session", "limits")
            with Terminal(argv, upstream_environ(home, upstream), cwd=project) as terminal:
                terminal.until("session limits" if prompt.startswith("what") else "The limit is five.")
                terminal.send(f"{prompt}\r")
                terminal.until(answer)
                terminal.send(CTRL_D)
                assert terminal.end() == 0
                assert b"session: limits" in terminal.after_screen()
        assert [message["role"] for message in upstream.requests[-1].messages[-3:]] == ["user", "assistant", "user"]


def test_escape_ends_a_turn_and_the_session_goes_on(home: Path, project: Path) -> None:
    """A turn that hangs is ended by Esc, is said to be, and the next one is answered."""
    with (
        ChatUpstream([held(text("Never whole."), "gate"), text("Here I am.")]) as upstream,
        Terminal(CHAT, upstream_environ(home, upstream), cwd=project) as terminal,
    ):
        terminal.until("session ")
        terminal.send("hang\r")
        terminal.until("working")
        terminal.send(ESCAPE)
        terminal.until("cancelled")
        terminal.send("still there?\r")
        terminal.until("Here I am.")
        terminal.send(CTRL_C)
        assert terminal.end() == 0


def test_a_cut_stream_says_so(home: Path, project: Path) -> None:
    """What came stays on the screen, with a sentence that it is not all."""
    broken = text("One two three four five", finish=None, usage=None, done=False)
    with (
        ChatUpstream([broken]) as upstream,
        Terminal(CHAT, upstream_environ(home, upstream), cwd=project) as terminal,
    ):
        terminal.until("session ")
        terminal.send("count\r")
        terminal.until("One two three")
        terminal.until("The answer was cut off; what stands above is not all of it.")
        terminal.send(CTRL_C)
        assert terminal.end() == 0


def test_an_unknown_model_is_refused_before_the_screen(home: Path, project: Path) -> None:
    """Exit 2 and a sentence; the screen is never taken."""
    argv = (sys.executable, "-m", "codex_oss", "chat", "-m", "no-such-model")
    with Terminal(argv, environ(home), cwd=project) as terminal:
        assert terminal.end() == 2
        assert b"\x1b[?1049h" not in bytes(terminal.output)
        assert "[model_not_found]" in terminal.words()


def test_a_command_runs_in_the_sandbox(home: Path, project: Path) -> None:
    """What it writes is folded into the conversation, never written over the screen; it never runs without one."""
    shell = tool_call("shell", {"command": "echo from-the-command; echo to-stderr >&2"})
    with (
        ChatUpstream([shell, text("It said so.")]) as upstream,
        Terminal(CHAT, upstream_environ(home, upstream), cwd=project) as terminal,
    ):
        terminal.until("session ")
        terminal.send("run it\r")
        terminal.until("It said so." if probe_sandbox() == "none" else "in the sandbox (")
        if "May this be done?" in terminal.words():
            answered(terminal, "y")
            terminal.until("It said so.")
            terminal.send("\x12")
            terminal.until("│ from-the-command")
        terminal.send(CTRL_C)
        assert terminal.end() == 0
        assert restored(terminal)


def test_what_is_pasted_keeps_its_lines(home: Path, project: Path) -> None:
    """A bracketed paste of several lines is one prompt, sent by the Enter after it."""
    with (
        ChatUpstream([text("Two lines.")]) as upstream,
        Terminal(CHAT, upstream_environ(home, upstream), cwd=project) as terminal,
    ):
        terminal.until("session ")
        terminal.send("\x1b[200~first line\rsecond line\x1b[201~")
        terminal.until("second line")
        terminal.send("\r")
        terminal.until("Two lines.")
        terminal.send(CTRL_D)
        assert terminal.end() == 0
        assert str(upstream.requests[0].messages[-1]["content"]).split() == ["first", "line", "second", "line"]
        assert "\n" in str(upstream.requests[0].messages[-1]["content"])


def test_a_signal_in_the_middle_of_a_question(home: Path, project: Path) -> None:
    """SIGTERM while a question stands changes nothing, restores the terminal, and the session can be resumed."""
    with (
        ChatUpstream([EDIT, text("Nothing was changed.")]) as upstream,
        Terminal((*CHAT, "--session", "cut"), upstream_environ(home, upstream), cwd=project) as terminal,
    ):
        terminal.until("session ")
        terminal.send("raise the limit\r")
        terminal.until("May this be done?")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 128 + signal.SIGTERM
        assert restored(terminal)
        with Terminal((*CHAT, "--session", "cut"), upstream_environ(home, upstream), cwd=project) as again:
            again.until("raise the limit")
            again.send("go on\r")
            again.until("Nothing was changed.")
            again.send(CTRL_C)
            assert again.end() == 0
    assert (project / "retry.py").read_text() == "MAX_RETRIES = 5\n"
