"""The intake desk: a document comes in, each finding in it is decided about, and the rest follows.

What comes over a queue or a webhook may be forged, repeated, late, or nothing at all. It starts
nothing by itself that GuardDuty does not confirm: the finding is asked for again, and only that copy
counts (a person who may put events on a bus could otherwise have anything isolated).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from flows.finding_log import FindingLog, Outcome
from flows.identity import SERVICE
from flows.intake.fetch import fetch_findings
from flows.intake.finding import Finding, FindingRejected, newest_of_each
from flows.intake.parse import parse_each
from flows.intake.route import Decision, Routed, Unrouted
from flows.responder import Responder
from runbooks.connections import Connections
from runbooks.errors import (
    AccessDenied,
    BudgetExceeded,
    InvalidInput,
    NoCredentials,
    Refused,
    Throttled,
    UnknownTarget,
    WrongAccount,
)

_LOCKS = 64
# A message that can't be dealt with now comes again; others wait behind it meanwhile.
_PATIENCE = timedelta(seconds=3)


@dataclass(frozen=True)
class Taken:
    """What became of a document.

    ``findings`` is how many were understood and ``rejected`` what was not, ``duplicates`` how many
    were known already, or older than what is known. ``incidents`` are those that were opened,
    proposed, joined or gone on with.
    """

    findings: int = 0
    rejected: int = 0
    duplicates: int = 0
    incidents: tuple[str, ...] = ()


class Rejections(Protocol):
    """Keeps what can't be understood, with the reason."""

    def put(self, document: bytes, rejected: list[FindingRejected], via: str) -> None: ...


class Hand(Protocol):
    """Has an incident carried out, here or by another process."""

    def __call__(self, incident: str, urgency: float) -> object: ...


Heard = Callable[[Finding, str], None]


class Intake:
    """Decides about findings, each version once.

    ``connections`` are the service's own, for asking GuardDuty; ``hand`` takes an incident that is
    to be carried out; ``heard`` is told of each finding and its outcome.
    """

    def __init__(
        self,
        responder: Responder,
        connections: Connections,
        rejections: Rejections,
        hand: Hand,
        heard: Heard = lambda finding, outcome: None,
    ) -> None:
        self._responder = responder
        self._connections = connections
        self._rejections = rejections
        self._hand = hand
        self._heard = heard
        self._log = FindingLog(responder.journal, SERVICE.actor, responder.settings.simulate)
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def take(self, document: bytes, via: str, *, confirmed: bool = False) -> Taken:
        """Decide about everything in a document; all that follows from it is durable at the return.

        ``via`` says where it came from. ``confirmed`` is whether it is GuardDuty's own answer.

        Raises ClampdownError where it can't be dealt with now, because the journal or AWS does not
        answer: it is to be kept and tried again.
        """
        results = parse_each(document)
        rejected = [result for result in results if isinstance(result, FindingRejected)]
        if rejected:
            self._rejections.put(document, rejected, via)
        findings = newest_of_each(result for result in results if isinstance(result, Finding))
        taken = Taken(findings=len(findings), rejected=len(rejected))
        for finding in findings:
            with self._one_at_a_time(finding):
                taken = self._decide(finding, document, via, confirmed, taken)
        return taken

    def _one_at_a_time(self, finding: Finding) -> AbstractContextManager[bool]:
        return self._locks[hash(finding.key) % _LOCKS]

    def _decide(
        self, finding: Finding, document: bytes, via: str, confirmed: bool, taken: Taken
    ) -> Taken:
        known = self._log.newest(finding)
        if known is not None and finding.updated_at <= known.updated_at:
            if finding.updated_at == known.updated_at:
                self._heard(finding, "duplicate")
            else:
                why = f"a version updated at {known.updated_at.isoformat()} is known already"
                self._conclude(finding, via, "older", known.incident, [why])
            return replace(taken, duplicates=taken.duplicates + 1)
        incident = known.incident if known else ""
        # What is heard later of a finding that was judged is as sure as what was judged.
        judged = known is not None and known.outcome == "shadowed"
        doubt = ""
        decision: Decision | None = None
        if not confirmed and not incident:
            decision = self._route(finding)
        # Floods of what is routed nowhere, and was never anything, ask nobody.
        if not confirmed and (incident or judged or isinstance(decision, Routed)):
            asked = self._ask(finding)
            if isinstance(asked, FindingRejected):
                self._rejections.put(document, [asked], via)
                self._conclude(finding, via, "unconfirmed", incident, [str(asked)])
                return replace(taken, rejected=taken.rejected + 1)
            confirmed = isinstance(asked, Finding)
            if isinstance(asked, Finding):
                finding, decision = asked, None
            else:
                doubt = asked
        return self._respond(finding, decision, via, incident, doubt, confirmed, taken)

    def _ask(self, finding: Finding) -> Finding | FindingRejected | str:
        """GuardDuty's own copy; or why there is some doubt about a finding."""
        if not finding.confirmable or finding.arn is None:
            return f"findings of {finding.source} can't be confirmed"
        try:
            found = fetch_findings([finding.arn], self._connections, patience=_PATIENCE)
        except (AccessDenied, NoCredentials, WrongAccount) as error:
            return f"GuardDuty could not be asked whether it has this finding: {error.what}"
        except Throttled as error:
            # It is tried again by itself; nobody has to do anything about it.
            error.advice = ""
            raise
        if not found:
            return FindingRejected(
                f"GuardDuty does not have the finding {finding.id} in a form that is understood: it "
                "may be forged, and nothing is done"
            )
        return found[0]

    def _respond(
        self,
        finding: Finding,
        decision: Decision | None,
        via: str,
        known: str,
        doubt: str,
        confirmed: bool,
        taken: Taken,
    ) -> Taken:
        sure = confirmed or not finding.confirmable
        if finding.archived:
            if known:
                body = {"finding": finding.lookup()}
                # That undoes nothing, but whoever looks at the incident knows.
                self._responder.journal.append(known, "finding.resolved", body, SERVICE.actor)
            why = "it is archived, suppressed or resolved: somebody has dealt with it"
            self._conclude(finding, via, "resolved", known, [why], sure=sure)
            return taken
        if finding.sample and not self._responder.settings.simulate:
            why = "one of GuardDuty's samples: its resources don't exist"
            self._conclude(finding, via, "sample", "", [why], sure=sure)
            return taken
        decision = decision or self._route(finding)
        if isinstance(decision, Unrouted):
            self._conclude(finding, via, "unrouted", "", decision.why, sure=sure)
            return taken
        if doubt and decision.mode == "automatic":
            why = f"{doubt[:1].upper()}{doubt[1:]}, so a person has to start the playbook."
            decision = replace(decision, mode="propose", why=(*decision.why, why))
        if decision.shadow:
            judged = self._responder.judge(finding, decision, SERVICE)
            said = (*judged.record.body["why"], judged.sentence)
            self._conclude(finding, via, "shadowed", "", said, sure=sure)
            return taken
        try:
            opened = self._responder.open_routed(finding, decision, SERVICE)
        except (Refused, BudgetExceeded, WrongAccount) as refused:
            why_not = [*decision.why, str(refused)]
            self._conclude(finding, via, "refused", "", why_not, sure=sure)
            return taken
        outcome: Outcome = "contained" if opened.go_on else "proposed"
        self._conclude(finding, via, outcome, opened.incident.id, opened.why, sure=sure)
        if opened.go_on:
            self._hand(opened.incident.id, finding.severity)
        return replace(taken, incidents=(*taken.incidents, opened.incident.id))

    def _route(self, finding: Finding) -> Decision:
        try:
            return self._responder.route(finding, self._connections)
        except (UnknownTarget, InvalidInput) as error:
            # Tags of what is gone, for one.
            return Unrouted((str(error),))

    def _conclude(
        self,
        finding: Finding,
        via: str,
        outcome: Outcome,
        incident: str,
        why: Sequence[str],
        *,
        sure: bool = False,
    ) -> None:
        self._log.decide(finding, via, outcome, incident, why, sure=sure)
        self._heard(finding, outcome)
