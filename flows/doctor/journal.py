"""The journal: whether it can be read and is whole, and what it tells of that waits for somebody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from flows.approvals import GateState
from flows.automatic import Automatic
from flows.doctor.check import Check, NotLooked, Result, Shared, counted, ok, problem, some, warning
from flows.doctor.setup import Setup, sqlite_file
from flows.incident import Incident, is_incident
from flows.journal.journal import IncidentHead
from flows.journal.verify import verify
from flows.responder import Responder
from flows.serve import sweep
from flows.serve.dead_letters import dead_letters

_GROUP = "journal"
_NO_JOURNAL = "There is no journal that can be read."
_NOBODY_YET = timedelta(seconds=30)
_NEWEST = 100
_VERIFIED = 20
_RECENTLY = timedelta(days=7)
_LATE = timedelta(hours=3)


@dataclass(frozen=True)
class _Standing:
    """How an incident stands. ``held`` is whether a process is at it now, ``left`` whether somebody
    should be, and is not."""

    incident: Incident
    gates: Sequence[GateState]
    held: bool
    left: bool


def checks(setup: Setup) -> list[Check]:
    story = Story(setup)
    return [
        Check(
            _GROUP,
            "opens",
            lambda: _opens(setup),
            meaning="Nothing is changed in AWS without it.",
        ),
        Check(
            _GROUP,
            "whole",
            story.whole,
            meaning="What it says can't be relied on, and such an incident is not gone on with.",
        ),
        Check(
            _GROUP,
            "unfinished",
            story.unfinished,
            meaning="What they were to contain may not be contained.",
        ),
        Check(
            _GROUP,
            "unknown outcomes",
            story.unknown,
            meaning="AWS may or may not have done what was asked of it.",
        ),
        Check(
            _GROUP,
            "gates",
            story.gates,
            meaning="What stands behind a gate waits for people.",
        ),
        Check(
            _GROUP,
            "rejected findings",
            lambda: _rejected(setup),
            meaning="Nothing was done about what they may have told of.",
        ),
        Check(
            _GROUP,
            "sweep",
            lambda: _sweep(setup),
            meaning="Findings whose events were lost are noticed by nobody.",
        ),
        Check(
            _GROUP,
            "automatic",
            lambda: _automatic(setup),
            meaning="No finding starts anything by itself: all are proposed, and wait for people.",
        ),
    ]


def _opens(setup: Setup) -> Result:
    setup.journal()
    url = setup.settings.journal_url
    if file := sqlite_file(url):
        return ok(
            f"SQLite in {file}: it can be read, and its file written to. Nothing was appended."
        )
    parsed = sa.engine.make_url(url)
    return ok(
        f"PostgreSQL, database {parsed.database} at {parsed.host or 'this machine'}: it can be "
        "read. Nothing was appended."
    )


class Story:
    """What the journal tells of incidents on this side, read once for all checks."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._heads = Shared(self._read_heads)
        self._standing = Shared(self._read_standing)

    def whole(self) -> Result:
        """Verifies the newest chains: all of them may take longer than somebody waits."""
        journal = self._setup.journal.needed(_NO_JOURNAL)
        heads = self._heads()
        newest = sorted(heads, key=lambda head: (is_incident(head.incident), head.last_at))
        chains = [head.incident for head in newest[-_VERIFIED:]]
        checked = [verify(journal, chain) for chain in chains]
        problems = [found for chain in checked for found in chain.problems]
        if problems:
            first = problems[0]
            return problem(
                f"{counted(len(problems), 'record')} not what was written: {first.incident} record "
                f"{first.seq}: {first.kind}: {first.message}.",
                advice="`clampdown journal verify` shows all. Find out who can write to it.",
            )
        records = sum(chain.records for chain in checked)
        return ok(
            f"The newest {len(chains)} of {len(heads)} chains are whole ({records} records); "
            "`clampdown journal verify` looks at all."
        )

    def unfinished(self) -> Result:
        left = [stands.incident for stands in self._standing.needed(_NO_JOURNAL) if stands.left]
        stalled = [incident.id for incident in left if incident.status != "waiting"]
        if stalled:
            return problem(
                f"{counted(len(stalled), 'incident')} begun, and nobody goes on: {some(stalled)}.",
                advice="`clampdown resume ID`, or start `clampdown serve`, which does it for all.",
            )
        if left:
            return warning(
                f"{counted(len(left), 'incident')} waiting for people, and no process with them: "
                f"{some([incident.id for incident in left])}.",
                meaning="When people have decided, nobody goes on.",
                advice="`clampdown resume ID`, or start `clampdown serve`.",
            )
        return ok("Every incident that was begun has ended, or is being carried out.")

    def unknown(self) -> Result:
        found = [
            f"{stands.incident.id} ({count})"
            for stands in self._standing.needed(_NO_JOURNAL)
            # What a process is at is under way, and not unknown.
            if not stands.held and (count := len(list(stands.incident.unknown())))
        ]
        if found:
            return problem(
                f"The outcome of changes is unknown in {some(found)}.",
                advice="`clampdown resume ID` (or `undo ID`) reads back what AWS did.",
            )
        return ok(f"None among what is unfinished and the newest {_NEWEST} incidents.")

    def gates(self) -> Result:
        standing = self._standing.needed(_NO_JOURNAL)
        overdue = list(_gates(standing, "expired"))
        waiting = list(_gates(standing, "pending"))
        now = datetime.now(UTC)
        unreviewed = [
            f"{stands.incident.id} {gate.id}"
            for stands in standing
            for gate in stands.gates
            if gate.review_due is not None and gate.review_due < now
        ]
        if overdue:
            return problem(
                f"The time of {some(overdue)} is over, and nobody has drawn the conclusion.",
                advice="`clampdown resume ID` asks again, or ends it; `clampdown serve` does by itself.",
            )
        if unreviewed:
            return warning(
                f"Nobody has reviewed what one person alone approved: {some(unreviewed)}.",
                meaning="Break-glass was used, and the time for its review is over.",
                advice="Somebody else of its approvers looks at it and approves it, too.",
            )
        if waiting:
            return warning(
                f"People are asked: {some(waiting)}.",
                advice="`clampdown status ID` shows what is asked; `clampdown approve ID GATE`.",
            )
        return ok("No gate waits for anybody.")

    def _read_heads(self) -> list[IncidentHead]:
        return self._setup.journal.needed(_NO_JOURNAL).incidents()

    def _read_standing(self) -> list[_Standing]:
        journal = self._setup.journal.needed(_NO_JOURNAL)
        responder = Responder(self._setup.settings, self._setup.playbooks, journal=journal)
        newest = sorted(self._heads(), key=lambda head: head.last_at, reverse=True)
        chains = [head.incident for head in newest if is_incident(head.incident)][:_NEWEST]
        left = {incident.id for incident in responder.unfinished(_NOBODY_YET)}
        read = (self._read(responder, chain, left) for chain in dict.fromkeys([*chains, *left]))
        return [stands for stands in read if stands.incident.simulate == self._setup.simulate]

    def _read(self, responder: Responder, chain: str, left: set[str]) -> _Standing:
        held = False
        incident = responder.incident(chain)
        if incident.unfinished or any(incident.unknown()):
            held = responder.journal.is_held(chain)
            if not held:
                # It may have ended meanwhile, or have been begun.
                incident = responder.incident(chain)
                held = responder.journal.is_held(chain)
        return _Standing(
            incident,
            responder.gates(incident),
            held,
            chain in left and incident.unfinished and not held,
        )


def _gates(standing: Sequence[_Standing], status: str) -> Iterator[str]:
    """The gates of unfinished incidents that stand so."""
    for stands in standing:
        if stands.incident.unfinished and stands.incident.undo_begun is None:
            for gate in stands.gates:
                if gate.status == status:
                    until = f" ({gate.expires_at:%Y-%m-%d %H:%M} UTC)" if gate.expires_at else ""
                    yield f"gate {gate.id} of {stands.incident.id}{until}"


def _rejected(setup: Setup) -> Result:
    letters = dead_letters(setup.journal.needed(_NO_JOURNAL))
    since = datetime.now(UTC) - _RECENTLY
    recent = [letter for letter in letters if letter.at >= since]
    days = f"the last {_RECENTLY.days} days"
    if recent:
        reasons = list(dict.fromkeys(letter.reason.rstrip(".") for letter in recent))
        return warning(
            f"{counted(len(recent), 'document')} not understood within {days}, the newest at "
            f"{recent[0].at:%Y-%m-%d %H:%M} UTC: {some(reasons)}.",
            advice="`clampdown timeline dead-letters` lists them: look at what they tell of.",
        )
    if letters:
        return ok(f"None within {days}; {counted(len(letters), 'document')} before.")
    return ok("Every document that came was understood.")


def _sweep(setup: Setup) -> Result:
    """A service writes down once an hour that it has swept: that it doesn't tells that none runs."""
    journal = setup.journal.needed(_NO_JOURNAL)
    now = datetime.now(UTC)
    places = [
        f"{key}, {region}"
        for key, account in setup.playbooks.accounts.items()
        for region in setup.regions_of(account)
    ]
    if not setup.serve.sweep_minutes:
        raise NotLooked("It is switched off (CLAMPDOWNsweep.CHAIN_MINUTES is 0).")
    if journal.last(sweep.CHAIN) is None:
        raise NotLooked("No service has ever swept with this journal.")
    swept: dict[str, datetime] = {}
    for record in journal.find(kind=sweep.DONE, since=now - timedelta(days=1)):
        if record.body["simulate"] == setup.simulate:
            swept[f"{record.body['account']}, {record.body['region']}"] = record.at
    late = [place for place in places if place not in swept or now - swept[place] > _LATE]
    if late:
        return warning(
            f"There was no sweep within {_LATE.total_seconds() / 3600:g} hours of {some(late)}.",
            advice="Does `clampdown serve` run, and can it enter the account? Its log says more.",
        )
    return ok("GuardDuty is asked everywhere for findings whose events were lost.")


def _automatic(setup: Setup) -> Result:
    automatic = Automatic(setup.journal.needed(_NO_JOURNAL), setup.simulate)
    frozen = automatic.frozen()
    if frozen is not None:
        return problem(
            f"Everything automatic is frozen since {frozen.since:%Y-%m-%d %H:%M} UTC: {frozen.why}.",
            advice="See what is going on, then `clampdown resume-automatic --why …`.",
        )
    return ok("Nothing is frozen: routes that start by themselves do.")
