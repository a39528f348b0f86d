"""10,000 generated conversations, in process: every request kind against every rude upstream, zero schema errors.

    request bytes ─► decode_request ─► encode_chat_request ─► a JSON body that an upstream would read
    answer bytes, cut anywhere ─► ChatDecoder ─► ResponseEncoder ─► openai types + order rules
                                             └─► ChatEncoder ────► openai types + order rules

A failure names its seed: `play(Random(SEED))` repeats that conversation alone. The daily run plays 2,000 of them, all
belong to `bin/test RUDE`.
"""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import pytest

from codex_oss.errors import InvalidRequest
from codex_oss.wire.chat_request import encode_chat_request
from codex_oss.wire.chat_stream import ChatDecoder
from codex_oss.wire.completions_stream import ChatEncoder
from codex_oss.wire.responses_request import decode_request
from codex_oss.wire.responses_stream import ResponseEncoder
from tests.conversations.requests import first_request, next_request
from tests.conversations.upstreams import answer
from tests.official import schema
from tests.wire import test_completions_stream as chat_rules
from tests.wire import test_responses_stream as response_rules
from tests.wire.scripts import frames, profile

CONVERSATIONS = 10_000
BLOCKS = 20
MAX_TURNS = 3
PROFILES = [profile(), profile(reasoning="hide"), profile(max_tokens_field="max_completion_tokens")]


def play(rng: Random) -> Counter[str]:
    """One conversation of up to MAX_TURNS turns; returns how its turns ended. Raises where a rule is broken."""
    outcomes: Counter[str] = Counter()
    request = first_request(rng)
    chosen = rng.choice(PROFILES)
    for number in range(rng.randint(1, MAX_TURNS)):
        response = turn(rng, request, number, chosen)
        outcomes[response["status"]] += 1
        if response["status"] != "failed":  # else it is asked again, as clients do
            request = next_request(rng, request, response["output"])
    return outcomes


def turn(rng: Random, request: dict[str, Any], number: int, chosen: Any) -> dict[str, Any]:
    """One turn through the whole wire; returns the response object."""
    decoded = decode_request(json.dumps(request).encode(), response_id=f"resp_{number}", created_at=1, headers={})
    sent, names = encode_chat_request(decoded, chosen)
    assert json.loads(sent)["messages"]
    decoder = ChatDecoder(names, chosen, request_bytes=len(sent))
    responses = ResponseEncoder(decoded, now=lambda: 2.0)
    chat = ChatEncoder(decoded, include_usage=True)
    streamed = chunked = b""
    for read in answer(rng):
        events = decoder.feed(read)
        streamed += responses.encode(events)
        chunked += chat.encode(events)
    events = decoder.finish()
    streamed += responses.encode(events) + responses.finish()
    chunked += chat.encode(events) + chat.finish()
    check_responses(frames(streamed), responses)
    check_chat(chat_rules.chunks(chunked), chat)
    return responses.response()


def check_responses(sent: list[dict[str, Any]], encoder: ResponseEncoder) -> None:
    """The official types, and our rules of order: numbers, ids, one terminal event, output equal to the done items."""
    for event in sent[:-1]:
        assert schema.problem_of_event(event) == ""
    response_rules.check_stream(sent)
    assert schema.problem_of_response(encoder.response()) == ""
    assert json.loads(json.dumps(encoder.response())) == sent[-2]["response"]


def check_chat(sent: list[dict[str, Any]], encoder: ChatEncoder) -> None:
    """The same for the chat surface."""
    for chunk in sent:
        assert schema.problem_of_chunk(chunk) == ""
    chat_rules.check_stream(sent, encoder)
    assert schema.problem_of_completion(encoder.response()) == ""


@pytest.mark.slow
@pytest.mark.parametrize("block", [*range(4), *(pytest.param(n, marks=pytest.mark.rude) for n in range(4, BLOCKS))])
def test_ten_thousand_conversations(block: int) -> None:
    """Each conversation keeps all rules, and the generator reaches every way in which a turn can end."""
    outcomes: Counter[str] = Counter()
    per_block = CONVERSATIONS // BLOCKS
    for seed in range(block * per_block, (block + 1) * per_block):
        try:
            outcomes += play(Random(seed))
        except (AssertionError, InvalidRequest) as exc:
            raise AssertionError(f"conversation {seed}: {exc!r}") from exc
    assert outcomes.total() > per_block
    assert set(outcomes) == {"completed", "incomplete", "failed"}
    assert outcomes["completed"] > outcomes.total() * 0.5, outcomes


def test_a_few_conversations() -> None:
    """The first fifty, every day."""
    for seed in range(50):
        play(Random(seed))
