"""`codex-oss accounts dry-run`: what of a request would reach the ChatGPT backend, and what would not, and why.

Counterparts: `wire.account_body` decides; `lanes.account_request` does the same for a real turn. Nothing is sent, no
account is looked at.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from codex_oss.cli.options import json_option

if TYPE_CHECKING:
    from codex_oss.wire.account_body import Change

MAX_BYTES: Final = 64 * 1024 * 1024
NOTHING: Final = "Nothing differs: the request is sent as it is."


@click.command("dry-run", epilog="Example: codex-oss accounts dry-run request.json")
@click.argument("file", type=click.File("rb"), metavar="FILE")
@json_option
def dry_run(file: Any, as_json: bool) -> None:
    """Show what a request's body becomes before it is sent to the ChatGPT backend.

    FILE holds the JSON of POST /v1/responses or /v1/chat/completions, `-` is stdin. Each field that is forced,
    converted or dropped is a line with its reason; --json has the whole body, too. Reasoning is shown as it goes back
    to the account that sealed it.
    """
    from codex_oss.policy.printable import printable

    body, changes = _adapted(file.read(MAX_BYTES))
    if as_json:
        told = [{"field": one.field, "action": one.action, "reason": one.reason} for one in changes]
        click.echo(json.dumps({"ok": True, "changes": told, "body": body}, ensure_ascii=False))
        return
    width = max((len(one.field) for one in changes), default=0)
    for one in changes:
        click.echo(printable(f"{one.action:<9}  {one.field:<{width}}  {one.reason}"))
    if not changes:
        click.echo(NOTHING)


def _adapted(data: bytes) -> tuple[dict[str, Any], tuple[Change, ...]]:
    """The body as it would be sent, and the changes. Raises InvalidRequest for what no client could send."""
    from msgspec import structs

    from codex_oss.contracts.profiles import raw_profile
    from codex_oss.policy.conversation import conversation_of
    from codex_oss.wire.account_body import account_body
    from codex_oss.wire.account_input import own_seals
    from codex_oss.wire.completions_request import decode_chat_turn
    from codex_oss.wire.responses_body import responses_request
    from codex_oss.wire.responses_request import decode_body, decode_turn

    obj = decode_body(data)
    chat = "messages" in obj
    previous = obj.get("previous_response_id")
    decode = decode_chat_turn if chat else decode_turn
    plain = {key: value for key, value in obj.items() if key != "previous_response_id"}
    request = decode(plain, response_id="resp_dry_run", created_at=0, headers={})
    raw: dict[str, Any] = plain if previous is None else {**plain, "previous_response_id": previous}
    if chat:
        profile = structs.replace(raw_profile(request.model, request.model, ""), api="responses")
        raw, _ = responses_request(request, profile)
    items = raw.get("input")
    if isinstance(items, list):
        raw = {**raw, "input": own_seals(items, None, keep_unmarked=True)}
    return account_body(raw, conversation=conversation_of(request).session)
