"""`codex-oss accounts dry-run`: every difference with its reason, nothing sent, nothing looked at."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from codex_oss.cli.dry_run import NOTHING, dry_run
from codex_oss.errors import InvalidRequest
from codex_oss.wire.account_body import FIELDS

BODY = {"model": "gpt-5.4", "input": "hi", "instructions": "I", "temperature": 0.2, "store": True, "foo": 1}


def ran(body: object, *flags: str) -> str:
    """What it prints for a body on stdin."""
    result = CliRunner().invoke(dry_run, ["-", *flags], input=json.dumps(body), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_each_difference_is_a_line() -> None:
    """What is forced, converted and dropped, with its reason."""
    lines = {line.split()[1]: line for line in ran(BODY).splitlines()}
    assert lines["temperature"].startswith("dropped")
    assert lines["temperature"].endswith("the backend refuses sampling numbers")
    assert lines["store"].startswith("forced")
    assert "not known" in lines["foo"]


def test_json_has_the_body_that_is_sent() -> None:
    """And what is sent once more has nothing left to change."""
    told = json.loads(ran(BODY, "--json"))
    assert {"field": "foo", "action": "dropped", "reason": "the backend is not known to take it"} in told["changes"]
    assert set(told["body"]) <= set(FIELDS)
    assert ran(told["body"]).strip() == NOTHING


def test_chat_completions_are_shown_as_responses() -> None:
    """What `/v1/chat/completions` would send."""
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "x"}]
    told = json.loads(ran({"model": "gpt-5.4", "messages": messages, "max_tokens": 9}, "--json"))
    assert told["body"]["instructions"] == "S"
    assert "max_output_tokens" not in told["body"]


@pytest.mark.parametrize("data", ["[1]", "{", '{"model": 1, "input": "x"}', '{"input": "x"}'])
def test_what_no_client_could_send(data: str) -> None:
    """One of our errors, which the command line turns into a sentence and exit status 2."""
    with pytest.raises(InvalidRequest):
        CliRunner().invoke(dry_run, ["-"], input=data, catch_exceptions=False)
