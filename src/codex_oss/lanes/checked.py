"""A lane around another one: its answers are held against what the request demands, and asked for once more.

Counterparts: `policy.answer_rules` judges; `wiring` puts it around the lane of raw open models, for clients only:
a mission judges the answers of its model by itself.

    request ─► rules? ── none ─► the inner lane, untouched
                 └─ some ─► first try ─ accepted ─► shown
                                └─ violation ─► second try, with advice ─ accepted ─► shown
                                                                            └─ AnswerInvalid

Rules that hold here:

1. A request without demands costs nothing: the inner lane's own generator is returned.
2. There is one second try, whatever the first one broke, and its tokens are counted.
3. `answer_invalid` ends the turn for good: Codex would ask a `server_error` five times more, each with two tries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from codex_oss.contracts.profiles import StructuredOutput
from codex_oss.errors import AnswerInvalid, UpstreamError
from codex_oss.policy.answer_rules import AnswerRules, CheckedAnswer, rules_of, with_advice
from codex_oss.policy.json_answer import JsonJudge
from codex_oss.wire.events import Batches, Lane, TurnFailed, UsageReported, batches_of
from codex_oss.wire.items import TurnRequest

log = logging.getLogger(__name__)


_RANK: Final[dict[StructuredOutput, int]] = {"none": 0, "json_object": 1, "json_schema": 2}
"""A server that honours one form honours those before it."""


class CheckedLane:
    """A `Lane`. able: which structured output the server of this model name honours."""

    def __init__(self, inner: Lane, *, able: Callable[[str], StructuredOutput]) -> None:
        self._inner = inner
        self._able = able

    def __call__(self, request: TurnRequest) -> Batches:
        """Answer one turn. Raises what the inner lane raises, before the first event only."""
        kind = request.text_format.kind
        honours = kind != "text" and _RANK[self._able(request.model)] >= _RANK[kind]
        rules = rules_of(request, honours_format=honours)
        return batches_of(self._inner, request) if rules is None else self._checked(request, rules)

    async def _checked(self, request: TurnRequest, rules: AnswerRules) -> Batches:
        judge = JsonJudge(request.text_format) if rules.json != "no" else None
        answer = CheckedAnswer(rules, judge)
        async with aclosing(self._tried(request, answer)) as batches:
            async for batch in batches:
                yield batch
        if answer.violation is None:
            return
        log.info("%s: a second try: %s", request.response_id, answer.violation.problem)
        again = with_advice(request, answer)
        answer = CheckedAnswer(rules, judge, first_index=answer.next_index, last=True, spent=answer.usage)
        try:
            async with aclosing(self._tried(again, answer)) as batches:
                async for batch in batches:
                    yield batch
        except UpstreamError as exc:
            # The first try has begun the turn.
            yield [TurnFailed(exc.code, exc.message)]
            return
        if answer.violation is not None:
            usage = [] if answer.usage is None else [UsageReported(answer.usage)]
            yield [*usage, TurnFailed(AnswerInvalid.code, answer.violation.problem)]

    async def _tried(self, request: TurnRequest, answer: CheckedAnswer) -> Batches:
        async with aclosing(batches_of(self._inner, request)) as batches:
            async for batch in batches:
                if shown := answer.take(batch):
                    yield shown
        if answer.dropped:
            log.info("%s: %d calls left out that the request does not allow", request.response_id, len(answer.dropped))
