"""What Slack is told of freezes: that nothing starts by itself any more, and who has lifted that.

There is a message for each freeze, in the channel where all incidents are told that go nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flows.automatic import FROZEN, RESUMED
from flows.journal.record import Record
from flows.slack.actions import RESUME_AUTOMATIC, FreezeValue
from flows.slack.away import NOBODY_AWAY, Away, pings
from flows.slack.blocks import actions, button, context, header, section
from flows.slack.message import GATE_URGENCY, Block, Message
from flows.slack.text import codes, plain, safe, when, who
from runbooks.playbook import Playbooks

# A Slack that is set up today need not hear of all that was ever frozen.
_TOLD_FOR = timedelta(days=7)
_MOST_PINGED = 100


@dataclass(frozen=True)
class Freeze:
    """A freeze of everything automatic on one side. ``lifted`` is the record that lifted it."""

    frozen: Record
    lifted: Record | None = None

    @property
    def seq(self) -> int:
        """The number of the record that began it: its name."""
        return self.frozen.seq

    @property
    def key(self) -> str:
        """The key of its message."""
        return f"frozen:{self.seq}"

    @property
    def since(self) -> datetime:
        return self.frozen.at

    @property
    def why(self) -> str:
        return str(self.frozen.body["why"])

    @property
    def simulate(self) -> str:
        """The simulated AWS on which nothing starts by itself; empty for the live side."""
        return str(self.frozen.body["simulate"])

    @property
    def mark(self) -> str:
        return "[SIMULATED]" if self.simulate else "LIVE"


def freezes(records: Iterable[Record]) -> list[Freeze]:
    """All freezes, the oldest first, from the records of the journal's chain of them."""
    found: dict[int, Freeze] = {}
    in_force: dict[str, int] = {}
    for record in records:
        if record.kind == FROZEN:
            seq = in_force.setdefault(record.body["simulate"], record.seq)
            found.setdefault(seq, Freeze(record))
        elif record.kind == RESUMED:
            lifted = in_force.pop(record.body["simulate"], None)
            if lifted is not None:
                found[lifted] = Freeze(found[lifted].frozen, record)
    return list(found.values())


def freeze_messages(
    records: Sequence[Record], playbooks: Playbooks, now: datetime, away: Away = NOBODY_AWAY
) -> list[Message]:
    """The messages about the freezes of late, in their order."""
    return [
        _message(freeze, playbooks, away)
        for freeze in freezes(records)
        if now - (freeze.lifted or freeze.frozen).at < _TOLD_FOR
    ]


def freeze_button(freeze: Freeze) -> Block:
    """The button that asks why it is to be lifted."""
    return button("Resume automatic…", RESUME_AUTOMATIC, FreezeValue(freeze.seq), style="primary")


def paged(playbooks: Playbooks, away: Away) -> list[str]:
    """What pings everybody whom a freeze concerns: who may start incidents, each once."""
    places = playbooks.slack
    names = (places.triggers if places else ()) or tuple(playbooks.approvers)
    groups = [playbooks.approvers[name] for name in names if name in playbooks.approvers]
    found = [ping for group in groups for ping in pings(group, away)]
    return list(dict.fromkeys(found))[:_MOST_PINGED]


def _message(freeze: Freeze, playbooks: Playbooks, away: Away) -> Message:
    if freeze.lifted is not None:
        title = f"{freeze.mark} Incidents start automatically again"
        blocks = _over(freeze, freeze.lifted, title)
    else:
        title = f"{freeze.mark} Everything automatic is frozen"
        blocks = _in_force(freeze, title, playbooks, away)
    text = plain(f"{title}: {freeze.why}", 300)
    return Message(freeze.key, text, tuple(blocks), GATE_URGENCY, thread=False)


def _in_force(freeze: Freeze, title: str, playbooks: Playbooks, away: Away) -> list[Block]:
    asked = " ".join(paged(playbooks, away)) or "Nobody who may lift it is in Slack."
    return [
        header(f"🧊 {title}"),
        section(f"{asked}\n{_sentence(freeze.why)}"),
        section(
            "Findings are only *proposed* meanwhile: each waits for somebody to start it. What is "
            "under way goes on.\n"
            f"Look first at what started them: one of {codes(playbooks.approvers, 8)} lifts it then, "
            "here, with `/clampdown resume-automatic WHY`, or with `clampdown resume-automatic`."
        ),
        actions(freeze_button(freeze)),
        context(f"Frozen {when(freeze.since)}"),
    ]


def _over(freeze: Freeze, lifted: Record, title: str) -> list[Block]:
    return [
        header(f"✅ {title}"),
        section(
            f"Lifted by {who(lifted.actor.id)}, {when(lifted.at)}: {safe(lifted.body['why'], 600)}\n"
            "What was proposed meanwhile still waits for somebody to start it."
        ),
        context(f"Frozen {when(freeze.since)}. {_sentence(freeze.why)}"),
    ]


def _sentence(why: str) -> str:
    said = safe(why, 600).rstrip(".")
    return f"{said[:1].upper()}{said[1:]}."
