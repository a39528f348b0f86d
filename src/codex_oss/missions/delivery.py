"""What became of everything that was said: created, emitted, observed, as a fold of two logs.

    events.jsonl   ─► created    every remark of the commentary, and the report
    delivery.jsonl ─► emitted    ItemsEmitted: handed to a client, on this channel, to this thread of it
                   ─► observed   TranscriptJudged: found in what the client itself wrote down

Counterparts: `missions.commentary` words the remarks, `missions.transcript` reads what clients write down,
`missions.observing` judges it, `services.delivery_log` keeps the events.

Rules that hold here:

1. Emission is never proof of being seen. Only a client's own transcript makes an item *observed*, and only an item that
   had been emitted to the thread of that transcript.
2. Texts are held against each other whole, by their SHA-256; the log keeps no second copy of them, and no thread id:
   only a digest, which whoever has the client's own output can make again.
3. Nothing of a delivery changes a mission: its log is closed, its report and its projections stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from codex_oss.missions.commentary import Commentator
from codex_oss.missions.envelope import Envelope
from codex_oss.missions.events import Recorded
from codex_oss.missions.projections import final_report, render_final_text
from codex_oss.missions.record import RunRecord, evolve, new_record

Channel = Literal["responses", "mcp", "cli"]
"""The way to the client: a turn of the bridge, a tool call over MCP, or a terminal (or pipe) of our own command."""
Verdict = Literal["PASS", "WARN", "FAIL", "UNKNOWN"]
Source = Literal["file", "captured"]
"""Where a transcript came from: a file that somebody gave, or a client that this program ran itself."""
State = Literal["created", "emitted", "observed"]

REPORT: Final = "report"
"""Id of the report among the items of a run; remarks are `remark:<seq>`. What is said of the handoff itself, before
there is a log, is `note:<n>`: emitted, and never among what the log created."""


class EmittedItem(Struct, frozen=True):
    """One thing that was handed over."""

    item: str
    text_sha256: str
    """Of the text as it was handed over; a report has another form on each channel."""


class ItemsEmitted(Struct, frozen=True, tag="ItemsEmitted", tag_field="event_type"):
    """These items were written towards a client, in this order. Nobody knows yet whether it showed them."""

    channel: Channel
    items: tuple[EmittedItem, ...]
    thread: str = ""
    """Digest of the client's thread (`thread_digest`); empty when it named none."""
    client: str = ""
    """Name and version of the client's program, as it told them."""


class TranscriptJudged(Struct, frozen=True, tag="TranscriptJudged", tag_field="event_type"):
    """A client's transcript was held against what had been emitted."""

    verdict: Verdict
    code: str
    form: str
    transcript_sha256: str
    thread: str = ""
    source: Source = "file"
    observed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


DeliveryEvent = ItemsEmitted | TranscriptJudged
_KINDS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    kind.__name__: msgspec.json.Decoder(kind) for kind in (ItemsEmitted, TranscriptJudged)
}


class Created(Struct, frozen=True):
    """Something that the log of a mission says: a remark or the report."""

    item: str
    text: str


class ItemDelivery(Struct):
    """What became of one item."""

    item: str
    text: str
    state: State = "created"
    emitted: list[str] = []
    """Channels on which it was handed over, each once."""
    observed: list[str] = []
    """Forms of the transcripts in which it stands, each once."""


class Delivery(Struct):
    """The fold of a run's delivery."""

    run_id: str
    mission_id: str
    items: list[ItemDelivery]
    emissions: list[ItemsEmitted]
    judgements: list[TranscriptJudged]

    def counts(self) -> dict[str, int]:
        """How many items reached each state; an observed one was emitted, and each was created."""
        return {
            "created": len(self.items),
            "emitted": sum(item.state != "created" for item in self.items),
            "observed": sum(item.state == "observed" for item in self.items),
        }


def text_digest(text: str) -> str:
    """Lower-case hex SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def thread_digest(run_id: str, thread_id: str) -> str:
    """How a client's thread is named in the log of a run; empty for no thread.

    A thread id is known to its client and to whom it talks to. The run goes in, so that two runs do not show that they
    had the same client.
    """
    return hashlib.sha256(f"thread\0{run_id}\0{thread_id}".encode()).hexdigest() if thread_id else ""


def emitted_item(item: str, text: str) -> EmittedItem:
    """An item as it goes into the log."""
    return EmittedItem(item, text_digest(text))


def open_delivery(envelope: Envelope) -> DeliveryEvent | None:
    """The event inside an envelope of a delivery log; None for a kind, or a form, that this version does not know."""
    decoder = _KINDS.get(envelope.event_type)
    try:
        return decoder.decode(envelope.payload) if decoder is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def created_items(run_id: str, mission_id: str, events: Iterable[Recorded]) -> tuple[list[Created], RunRecord]:
    """Everything that a mission's log says to a person, in order, and the record it folds to."""
    record, commentator, created = new_record(run_id, mission_id), Commentator(), []
    for recorded in events:
        evolve(record, recorded)
        created += [Created(remark.item, remark.message) for remark in commentator.take(record, recorded)]
    if record.closed is not None:
        created.append(Created(REPORT, render_final_text(final_report(record))))
    return created, record


def fold_delivery(
    run_id: str, mission_id: str, created: Sequence[Created], events: Iterable[DeliveryEvent]
) -> Delivery:
    """The state of every item. What was emitted and never created, by another version of the program, is left out."""
    items = {entry.item: ItemDelivery(entry.item, entry.text, emitted=[], observed=[]) for entry in created}
    delivery = Delivery(run_id, mission_id, list(items.values()), [], [])
    sent: set[tuple[str, str]] = set()
    for event in events:
        if isinstance(event, ItemsEmitted):
            delivery.emissions.append(event)
            for entry in event.items:
                sent.add((entry.item, event.thread))
                _advance(items.get(entry.item), "emitted", event.channel)
        else:
            delivery.judgements.append(event)
            if event.verdict not in ("PASS", "WARN") or not event.thread:
                continue
            for name in event.observed:
                if (name, event.thread) in sent:
                    _advance(items.get(name), "observed", event.form)
    return delivery


def _advance(item: ItemDelivery | None, state: State, where: str) -> None:
    if item is None:
        return
    places = item.emitted if state == "emitted" else item.observed
    if where not in places:
        places.append(where)
    if item.state != "observed":
        item.state = state


def delivery_as_data(delivery: Delivery) -> dict[str, Any]:
    """What `show-delivery --json` prints."""
    return {
        "mission_id": delivery.mission_id,
        "run_id": delivery.run_id,
        "counts": delivery.counts(),
        "items": [
            {
                "item": item.item,
                "state": item.state,
                "emitted": item.emitted,
                "observed": item.observed,
                "text": item.text.partition("\n")[0],
            }
            for item in delivery.items
        ],
        "transcripts": [
            {
                "verdict": judged.verdict,
                "code": judged.code,
                "form": judged.form,
                "source": judged.source,
                "transcript_sha256": judged.transcript_sha256,
                "observed": len(judged.observed),
                "missing": list(judged.missing),
            }
            for judged in delivery.judgements
        ],
    }
