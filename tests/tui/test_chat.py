"""The chat on scripted sessions: what is streamed, asked, ended, folded and chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from codex_oss.agent.events import Notice, ReasoningDelta, TextDelta, TextEnded
from codex_oss.errors import StoreError, UnknownModel
from codex_oss.tui.approval import Approval
from codex_oss.tui.chat_app import KEYS, Chat
from codex_oss.tui.chat_view import PromptField
from tests.tui.conversation import (
    BROKEN,
    CUT,
    DONE,
    EDIT,
    LONG_EDIT,
    LOOKING,
    SHELL,
    WAIT,
    ScriptedHost,
    ScriptedSession,
    Step,
)
from tests.tui.screen import NARROW, WIDE, text_of, until, until_shown


class Running:
    """A chat under way."""

    def __init__(self, host: ScriptedHost, pilot: Pilot[Any]) -> None:
        self.host = host
        self.session = host.session
        self.pilot = pilot
        assert isinstance(pilot.app, Chat)
        self.app = pilot.app

    async def ask(self, prompt: str) -> None:
        """Type a prompt and send it."""
        await self.pilot.press(*prompt, "enter")

    async def shows(self, words: str) -> None:
        """Wait for words on the screen."""
        await until_shown(self.pilot, words)

    async def idle(self) -> None:
        """Wait for the end of the turn."""
        await until(self.pilot, lambda: not self.app.running)


@asynccontextmanager
async def chatting(
    *scripts: Sequence[Step], size: tuple[int, int] = WIDE, settle_s: float = 0.0
) -> AsyncIterator[Running]:
    """A chat with these turns."""
    host = ScriptedHost(ScriptedSession(*scripts), "ann@example.org (plus), 5h 72% left")
    async with Chat(host, settle_s=settle_s).run_test(size=size) as pilot:
        await pilot.pause()
        yield Running(host, pilot)


async def test_text_streams_in() -> None:
    """What came so far is on the screen while the turn goes on."""
    async with chatting([TextDelta("The first "), TextDelta("words"), WAIT, TextDelta(" and the last.")]) as chat:
        await chat.ask("tell me")
        await chat.shows("The first words")
        await chat.shows("working")
        chat.session.go_on.set()
        await chat.shows("The first words and the last.")
        await chat.idle()
        assert chat.session.prompts == ["tell me"]


@pytest.mark.parametrize(("key", "agreed"), [("y", True), ("n", False), ("enter", False), ("escape", False)])
async def test_what_changes_something_is_asked(key: str, agreed: bool) -> None:
    """The diff is shown, and nothing but y approves."""
    async with chatting([EDIT, *DONE]) as chat:
        await chat.ask("cap it")
        await chat.shows("+ return min(2 ** attempt, 30.0)")
        await chat.shows("May this be done?")
        await chat.pilot.press(key)
        await chat.idle()
        assert chat.session.answers == [agreed]
        await chat.shows("[done, 0.1 s]" if agreed else "[refused]")


async def test_all_of_a_long_diff_can_be_seen() -> None:
    """On a small terminal too: the keys stay in sight, and the last line is reached before anybody answers."""
    async with chatting([LONG_EDIT], size=NARROW) as chat:
        await chat.ask("more")
        await chat.shows("y yes · n, Enter or Esc no")
        assert "line 99" not in text_of(chat.app)
        await chat.pilot.press(*["pagedown"] * 12)
        await chat.shows("+line 99")
        await chat.shows("y yes · n, Enter or Esc no")


@pytest.mark.parametrize("size", [(20, 5), (10, 3), (1, 1)])
async def test_no_terminal_is_too_small(size: tuple[int, int]) -> None:
    """Nothing can be read there, nothing breaks, and the question still means no."""
    async with chatting([*LOOKING, LONG_EDIT, *DONE], size=size) as chat:
        await chat.ask("go")
        await until(chat.pilot, lambda: isinstance(chat.app.screen, Approval))
        await chat.pilot.press("enter")
        await chat.idle()
        assert chat.session.answers == [False]


async def test_a_command_is_shown_with_its_sandbox() -> None:
    """Whoever approves knows where it would run."""
    async with chatting([SHELL]) as chat:
        await chat.ask("test it")
        await chat.shows("in the sandbox (bwrap) pytest -q tests")


async def test_keys_of_the_prompt_are_no_answer() -> None:
    """While somebody types on, the question takes no key; after a pause it does."""
    async with chatting([EDIT, *DONE], settle_s=3600.0) as chat:
        await chat.ask("cap it")
        await chat.shows("May this be done?")
        await chat.pilot.press(*"yyyn", "enter")
        question = chat.app.screen
        assert isinstance(question, Approval)
        question._quiet_at = 0.0
        await chat.pilot.press("y")
        await chat.idle()
        assert chat.session.answers == [True]


@pytest.mark.parametrize("key", ["escape", "ctrl+c"])
async def test_a_turn_can_be_ended(key: str) -> None:
    """It is said, what came stays, and the next prompt is answered."""
    async with chatting([TextDelta("Half of it"), WAIT], [*DONE]) as chat:
        await chat.ask("go")
        await chat.shows("Half of it")
        await chat.pilot.press(key)
        await chat.shows("The turn was cancelled.")
        assert "Half of it" in text_of(chat.app)
        await chat.idle()
        await chat.ask("again")
        await chat.shows("capped at 30 seconds")


async def test_ending_a_turn_takes_its_question_away() -> None:
    """Ctrl-C while a question stands ends the turn, and answers nothing."""
    async with chatting([EDIT, *DONE]) as chat:
        await chat.ask("cap it")
        await chat.shows("May this be done?")
        await chat.pilot.press("ctrl+c")
        await chat.shows("The turn was cancelled.")
        await until(chat.pilot, lambda: not isinstance(chat.app.screen, Approval))
        assert chat.session.answers == []


async def test_one_turn_at_a_time() -> None:
    """A prompt that is sent meanwhile stays in the field."""
    async with chatting([WAIT]) as chat:
        await chat.ask("one")
        await chat.shows("working")
        await chat.ask("two")
        await chat.shows("A turn is under way; Esc ends it.")
        assert chat.app.query_one(PromptField).text == "two"
        assert chat.session.prompts == ["one"]


async def test_a_cut_stream_says_so() -> None:
    """Both the notice and how the turn ended stand below what came."""
    async with chatting([*CUT, BROKEN]) as chat:
        await chat.ask("all of it")
        await chat.shows("note: The answer was cut off.")
        await chat.shows("The answer did not come to its end. Ask it to go on.")


async def test_a_turn_that_cannot_begin_is_a_sentence() -> None:
    """A disk that is full costs the turn, not the program."""
    full = StoreError("The journal cannot be written: no space is left.", code="session_unwritable")
    async with chatting([full], [*DONE]) as chat:
        await chat.ask("go")
        await chat.shows("The journal cannot be written: no space is left.")
        await chat.ask("again")
        await chat.shows("capped at 30 seconds")


async def test_reasoning_and_output_unfold() -> None:
    """Ctrl-R shows what was folded, and folds it again."""
    async with chatting([*LOOKING, *DONE]) as chat:
        await chat.ask("why?")
        await chat.shows("▸ thought (2 lines)")
        await chat.idle()
        await chat.pilot.press("ctrl+r")
        await chat.shows("The wait grows without bound.")
        await chat.pilot.press("ctrl+r")
        await chat.shows("▸ thought (2 lines)")


async def test_who_answers_and_what_it_cost_are_told() -> None:
    """The account and the tokens stand below the field."""
    async with chatting([*DONE]) as chat:
        await chat.ask("go")
        await chat.shows("ann@example.org (plus), 5h 72% left · 2.1k in · 310 out")


async def test_another_model_can_be_chosen() -> None:
    """Ctrl-O lists the models; the session stays. One that cannot be had is a sentence, and the old one stays."""
    async with chatting([*DONE]) as chat:
        await chat.pilot.press("ctrl+o")
        await chat.shows("Which model answers from now on?")
        await chat.pilot.press("down", "enter")
        await chat.shows("gpt-5.5-codex session 5f0c2d1e")
        chat.host.refuses = UnknownModel("That model is not there.")
        await chat.pilot.press("ctrl+o")
        await chat.shows("Which model answers from now on?")
        await chat.pilot.press("up", "enter")
        await chat.shows("That model is not there.")
        assert chat.session.model == "gpt-5.5-codex"


async def test_a_prompt_may_have_several_lines() -> None:
    """Ctrl-J begins a line, what is pasted keeps its lines, and an empty prompt is not sent."""
    async with chatting([*DONE]) as chat:
        await chat.pilot.press("enter", "space", "enter")
        assert chat.session.prompts == []
        await chat.ask("")
        await chat.pilot.press(*"one", "ctrl+j", *"two", "enter")
        await chat.idle()
        assert chat.session.prompts == ["one\ntwo"]


async def test_hostile_text_is_shown_not_obeyed() -> None:
    """Escapes and markup of a model, and of a tool, stay text."""
    rude = "\x1b]0;owned\x07 [bold red]x[/] \u202eabc"
    async with chatting([TextDelta(rude), TextEnded(), Notice("retried", rude), ReasoningDelta(rude)]) as chat:
        await chat.ask("go")
        await chat.idle()
        await chat.shows("[bold red]x[/]")
        assert not {"\x1b", "\x07", "\u202e"} & set(text_of(chat.app))


async def test_scrolled_up_it_stays_there() -> None:
    """What streams in does not move what is being read; the end is followed otherwise."""
    many = TextDelta("".join(f"line {number}\n" for number in range(100)))
    async with chatting([many, TextEnded(), WAIT, many], size=NARROW) as chat:
        await chat.ask("go")
        await chat.shows("line 99")
        await chat.pilot.press("pageup", "pageup")
        view = chat.app.query_one("#view")
        await until(chat.pilot, lambda: "line 99" not in text_of(chat.app))
        top = view.scroll_y
        chat.session.go_on.set()
        await chat.idle()
        await chat.pilot.pause(0.1)
        assert view.scroll_y == top


async def test_a_long_answer_is_drawn_in_time() -> None:
    """Ten thousand pieces arrive, all of them, in blocks that stay small."""
    pieces = [TextDelta(f"word{number} " + ("\n" if number % 10 == 9 else "")) for number in range(10_000)]
    async with chatting([*pieces, TextEnded()]) as chat:
        await chat.ask("go")
        await chat.idle()
        await chat.shows("word9999")
        assert len(chat.app.query(".assistant")) > 10


async def test_ctrl_d_leaves_when_nothing_is_typed() -> None:
    """With text in the field it deletes, as in a shell."""
    async with chatting() as chat:
        await chat.pilot.press(*"ab", "left", "ctrl+d")
        assert chat.app.query_one(PromptField).text == "a"
        await chat.pilot.press("backspace", "ctrl+d")
        await until(chat.pilot, lambda: chat.app._exit)


async def test_help_names_the_keys() -> None:
    """F1 shows the table, and Esc takes it away without touching the turn."""
    async with chatting([WAIT]) as chat:
        await chat.ask("go")
        await chat.pilot.press("f1")
        await chat.shows(KEYS[4][1])
        await chat.pilot.press("escape")
        await until(chat.pilot, lambda: KEYS[4][1] not in text_of(chat.app))
        assert chat.app.running
