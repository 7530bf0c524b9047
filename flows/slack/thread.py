"""An incident's thread in Slack, as a function of the journal: which messages there must be, and how.

Nothing in Slack is state. Whoever posts compares this with what was posted, and makes up for the
difference, after whatever kept it from that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from flows.journal.record import Record
from flows.slack.away import NOBODY_AWAY, Away
from flows.slack.findings import finding_messages
from flows.slack.gates import gate_message
from flows.slack.message import Message
from flows.slack.nudges import escalated, paged, reminded
from flows.slack.opening import opening
from flows.slack.progress import progress
from flows.slack.summary import closing_messages
from flows.slack.tasks import task_messages
from flows.slack.told import Told
from runbooks.playbook import Playbooks


def messages(
    records: Sequence[Record], playbooks: Playbooks, now: datetime, away: Away = NOBODY_AWAY
) -> list[Message]:
    """The messages of an incident's thread at a moment, in the order in which they came about.

    ``away`` says who is away: their deputies are pinged. Once a message is there, later records
    change what it says, and neither its key nor its place. Records of Slack itself say nothing.
    """
    own = [record for record in records if not record.kind.startswith("slack.")]
    told = Told(own, playbooks, now, away)
    placed = [
        *_gate_messages(told),
        *finding_messages(told),
        *task_messages(told),
        *closing_messages(told),
    ]
    if (shown := progress(told)) is not None:
        placed.append(shown)
    placed.sort(key=lambda item: item[0])
    return [opening(told), *(message for _, message in placed)]


def _gate_messages(told: Told) -> Iterator[tuple[int, Message]]:
    """A message for each request of each gate, and for each time that people were pinged again."""
    for index, record in enumerate(told.records):
        body = record.body
        if record.kind == "page.requested":
            yield record.seq, paged(told, body["gate"], body["groups"], body["why"], record.seq)
        elif record.kind in ("gate.requested", "gate.escalated", "gate.reminded"):
            again = _asked_again(told, index)
            gate = told.gate(body["gate"], again)
            if gate is None:
                continue
            if record.kind == "gate.requested":
                yield record.seq, gate_message(told, gate, latest=again is None)
            elif record.kind == "gate.escalated":
                yield record.seq, escalated(told, gate, body["to"])
            else:
                yield record.seq, reminded(told, gate, record.seq)


def _asked_again(told: Told, index: int) -> int | None:
    """Where the gate of the record at ``index`` was asked for the next time; None if it wasn't."""
    gate = told.records[index].body["gate"]
    for later in range(index + 1, len(told.records)):
        record = told.records[later]
        asked = record.kind in ("gate.requested", "gate.skipped")
        if asked and record.body["gate"] == gate:
            return later
    return None
