"""Gates and their decisions: folded from the journal, decided only through it.

A gate is a ``gate.requested`` record: who may decide, until when, and the digest of the plan that
is decided on. A decision is a ``gate.decided`` record of an authenticated identity. Whether the
gate is open is computed from these records each time, by everybody who needs to know; nothing else
(no message, no button, no state of Prefect) opens it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from flows.identity import Identity
from flows.incident import fold
from flows.journal.errors import HeadMoved
from flows.journal.journal import Journal
from flows.journal.record import Actor, Record
from runbooks import clock
from runbooks.calls import Plan
from runbooks.errors import ApprovalRefused, InvalidInput
from runbooks.playbook import ApproverGroup, Gate

Answer = Literal["approve", "deny", "more_info"]
Status = Literal["pending", "approved", "denied", "expired", "skipped"]

SYSTEM = Actor("system", "clampdown", "executor")

# A code of six digits is guessed in the end; RFC 4226, section 7.3, asks for a limit.
_WRONG_CODES = 5
# A one-time password can't be valid for longer than this (RFC 6238, section 5.2).
_CODE_LIFE = timedelta(minutes=5)


class StepUp(Protocol):
    """A second proof of who somebody is, checked at the moment of the decision."""

    def verify(self, identity: Identity, code: str) -> int:
        """A number that is the same for the same code and grows with time.

        Raises ApprovalRefused.
        """


class _CodeRefused(ApprovalRefused):
    """The second proof was wrong, or can't be checked here."""


@dataclass(frozen=True)
class Vote:
    """A decision that counts."""

    principal: str
    answer: Answer
    at: datetime
    why: str
    groups: tuple[str, ...]
    break_glass: bool


@dataclass(frozen=True)
class GateState:
    """How a gate stands at a moment. ``needed`` says in words what is still missing."""

    id: str
    status: Status
    nonce: str
    digest: str
    round: int
    requested_at: datetime | None
    expires_at: datetime | None
    votes: tuple[Vote, ...]
    needed: str
    escalated: bool
    review_due: datetime | None
    request: Mapping[str, Any]
    reason: str = ""

    @property
    def decided_by(self) -> str:
        return ", ".join(f"{vote.principal} at {vote.at:%H:%M:%S}" for vote in self.votes)


def request(
    journal: Journal,
    incident: str,
    gate: Gate,
    plan: Plan,
    *,
    round_: int,
    differences: tuple[Sequence[str], Sequence[str]] = ((), ()),
    now: datetime | None = None,
) -> Record:
    """Ask for a decision on the part of the plan that stands behind the gate.

    ``differences`` are the calls that are gone and new since the plan that was approved before.
    """
    now = now or clock.now()
    behind = plan.behind(gate.id)
    return journal.append(
        incident,
        "gate.requested",
        {
            "gate": gate.id,
            "round": round_,
            "nonce": secrets.token_hex(8),
            "digest": behind.digest,
            "plan": behind.to_json(),
            "any_of": [{"group": item.group, "count": item.count} for item in gate.alternatives],
            "deny_at": gate.deny_at,
            "distinct_from": list(gate.distinct_from),
            "expires_at": _text(now + gate.within),
            "within_seconds": int(gate.within.total_seconds()),
            "otherwise": gate.otherwise,
            "escalate_to": gate.escalate_to,
            "remind_seconds": (
                int(gate.remind_every.total_seconds()) if gate.remind_every else None
            ),
            "notify": list(gate.notify or [item.group for item in gate.alternatives]),
            "break_glass": gate.break_glass,
            "review_seconds": int(gate.review_within.total_seconds()),
            "step_up": gate.step_up,
            "gone": list(differences[0]),
            "added": list(differences[1]),
        },
        SYSTEM,
    )


def state(
    records: Sequence[Record],
    gate_id: str,
    approvers: Mapping[str, ApproverGroup],
    *,
    now: datetime | None = None,
) -> GateState | None:
    """How the gate stands, from the incident's records alone; None if it was never asked for.

    Only votes count that were given for the newest request, in time, by people who are on the
    allow-list as it is now. Whether somebody was in a Slack user group that is on it was looked up
    when they decided.
    """
    now = now or clock.now()
    asked: Record | None = None
    escalated: Record | None = None
    decided: list[Record] = []
    reviewed = False
    for record in records:
        if record.body.get("gate") != gate_id:
            continue
        if record.kind in {"gate.requested", "gate.skipped"}:
            asked, escalated, decided, reviewed = record, None, [], False
        elif record.kind == "gate.escalated":
            escalated = record
        elif record.kind == "gate.decided":
            decided.append(record)
        elif record.kind == "gate.reviewed":
            reviewed = True
    if asked is None:
        return None
    if asked.kind == "gate.skipped":
        return _skipped(gate_id, asked)
    alternatives = [(item["group"], item["count"]) for item in asked.body["any_of"]]
    expires_at = _time(asked.body["expires_at"])
    if escalated is not None:
        alternatives.append((escalated.body["to"], 1))
        expires_at = _time(escalated.body["expires_at"])
    votes = _votes(asked, decided, alternatives, approvers, expires_at, records)
    status, needed = _tally(asked, votes, alternatives)
    if status == "pending" and now >= expires_at:
        status, needed = "expired", ""
    broken = [vote for vote in votes if vote.break_glass and vote.answer == "approve"]
    return GateState(
        id=gate_id,
        status=status,
        nonce=asked.body["nonce"],
        digest=asked.body["digest"],
        round=asked.body["round"],
        requested_at=asked.at,
        expires_at=expires_at,
        votes=tuple(votes),
        needed=needed,
        escalated=escalated is not None,
        review_due=(
            broken[0].at + timedelta(seconds=asked.body["review_seconds"])
            if broken and not reviewed
            else None
        ),
        request=asked.body,
    )


def decide(
    journal: Journal,
    incident: str,
    gate_id: str,
    identity: Identity,
    answer: Answer,
    approvers: Mapping[str, ApproverGroup],
    *,
    why: str = "",
    nonce: str | None = None,
    seen: str = "",
    break_glass: bool = False,
    code: str = "",
    step_up: StepUp | None = None,
) -> GateState:
    """Record somebody's decision on a gate, once, if it may count.

    ``nonce`` is what the face showed; a newer request makes it void. ``seen`` is the SHA-256 of
    what the person was shown. ``why`` is needed to deny and to break the glass.

    Returns how the gate stands afterwards. Raises ApprovalRefused (which is itself recorded), or
    InvalidInput where the incident has no such gate.
    """
    while True:
        records = journal.records(incident)
        gate = state(records, gate_id, approvers) if records else None
        if gate is None:
            raise InvalidInput(
                f"{incident} has no gate {gate_id!r} that is waiting.",
                advice=f"`clampdown status {incident}` lists its gates.",
            )
        try:
            reviewing = gate.status == "approved" and gate.review_due is not None
            groups = _admit(gate, identity, answer, approvers, records, nonce, why, break_glass)
            proof = _prove(gate, identity, code, step_up, journal, records)
        except ApprovalRefused as refusal:
            journal.append(
                incident,
                "gate.refused",
                {
                    "gate": gate_id,
                    "answer": answer,
                    "why": refusal.what,
                    "wrong_code": isinstance(refusal, _CodeRefused),
                },
                identity.actor,
            )
            raise
        body = {
            "gate": gate_id,
            "nonce": gate.nonce,
            "answer": answer,
            "digest": gate.digest,
            "principal": identity.principal,
            "groups": list(groups),
            "why": why,
            "break_glass": break_glass,
            "seen": seen,
            "step_up": proof,
            "usergroups": list(identity.usergroups),
            "latency_seconds": round(
                (clock.now() - (gate.requested_at or clock.now())).total_seconds(), 3
            ),
        }
        kind = "gate.reviewed" if reviewing else "gate.decided"
        try:
            journal.append(incident, kind, body, identity.actor, after_seq=records[-1].seq)
        except HeadMoved:
            continue
        if break_glass:
            journal.append(
                incident,
                "page.requested",
                {"gate": gate_id, "groups": gate.request["notify"], "why": f"glass broken: {why}"},
                SYSTEM,
            )
        after = state(journal.records(incident), gate_id, approvers)
        if after is None:
            raise InvalidInput(f"{incident}: the gate {gate_id!r} is gone.")
        return after


def escalate(journal: Journal, incident: str, gate: GateState) -> bool:
    """Nobody decided in time: ask the next group, once. False if there is nobody left to ask."""
    to = gate.request.get("escalate_to")
    if gate.status != "expired" or gate.escalated or gate.request["otherwise"] != "escalate":
        return False
    within = timedelta(seconds=gate.request["within_seconds"])
    journal.append(
        incident,
        "gate.escalated",
        {"gate": gate.id, "to": to, "expires_at": _text(clock.now() + within)},
        SYSTEM,
    )
    return True


def groups_of(identity: Identity, approvers: Mapping[str, ApproverGroup]) -> tuple[str, ...]:
    """The groups of playbooks.yaml that list this identity; none for one that may decide nothing."""
    if identity.objection:
        return ()
    return tuple(
        name
        for name, group in approvers.items()
        if (identity.kind == "local" and identity.id in group.local_users)
        or (
            identity.kind == "slack"
            and bool(identity.team)
            and identity.team == group.slack_team
            and (identity.id in group.slack_users or group.slack_usergroup in identity.usergroups)
        )
    )


def _admit(
    gate: GateState,
    identity: Identity,
    answer: Answer,
    approvers: Mapping[str, ApproverGroup],
    records: Sequence[Record],
    nonce: str | None,
    why: str,
    break_glass: bool,
) -> tuple[str, ...]:
    """The groups for which the identity decides. Raises ApprovalRefused with the reason."""
    who = identity.principal
    if identity.objection:
        raise ApprovalRefused(f"{who} can't decide: {identity.objection}.")
    if (status := fold(records).status) in {"aborted", "undone"}:
        raise ApprovalRefused(f"{records[0].incident} is {status}: there is nothing to decide.")
    if gate.status == "skipped":
        raise ApprovalRefused(f"The gate {gate.id} was not needed: {gate.reason}")
    groups = groups_of(identity, approvers)
    allowed = _allowed_groups(gate)
    if break_glass and gate.request["break_glass"] in groups:
        allowed = {*allowed, gate.request["break_glass"]}
    if not allowed.intersection(groups):
        raise ApprovalRefused(
            f"{who} is not on the list of approvers of the gate {gate.id} "
            f"({', '.join(sorted(allowed))}).",
            advice="The list is `approvers` in playbooks.yaml.",
        )
    if break_glass and (gate.request["break_glass"] not in groups or not why.strip()):
        raise ApprovalRefused(
            f"The glass of the gate {gate.id} can only be broken by "
            f"{gate.request['break_glass'] or 'nobody'}, with a reason."
        )
    if excluded := _excluded(who, gate.request["distinct_from"], records, approvers):
        raise ApprovalRefused(excluded)
    review = gate.review_due is not None and answer == "approve" and not break_glass
    if gate.status == "expired":
        raise ApprovalRefused(
            f"Too late: the gate {gate.id} expired at {gate.expires_at:%Y-%m-%d %H:%M:%S} UTC.",
            advice="`clampdown resume` asks again.",
        )
    if gate.status in {"approved", "denied"} and not review:
        raise ApprovalRefused(f"The gate {gate.id} is already {gate.status} by {gate.decided_by}.")
    person = _person(who, approvers)
    if any(_person(vote.principal, approvers) == person for vote in gate.votes):
        raise ApprovalRefused(f"{who} has decided already; nobody counts twice. {gate.needed}")
    if nonce is not None and not secrets.compare_digest(nonce.encode(), gate.nonce.encode()):
        raise ApprovalRefused(
            "The plan has changed since this was shown: it must be looked at and decided again."
        )
    if answer == "deny" and not why.strip():
        raise ApprovalRefused("A denial needs a reason (--why).")
    return tuple(sorted(allowed.intersection(groups)))


def _prove(
    gate: GateState,
    identity: Identity,
    code: str,
    step_up: StepUp | None,
    journal: Journal,
    records: Sequence[Record],
) -> dict[str, Any] | None:
    """What the decision records of the second proof. Raises _CodeRefused."""
    provider = gate.request["step_up"]
    if not provider:
        return None
    if step_up is None:
        raise _CodeRefused(
            f"The gate {gate.id} asks for a second proof ({provider}), which is not set up here."
        )
    wrong = sum(
        r.kind == "gate.refused" and r.actor == identity.actor and bool(r.body.get("wrong_code"))
        for r in records
    )
    if wrong >= _WRONG_CODES:
        raise ApprovalRefused(
            f"{identity.principal} gave {wrong} wrong codes in this incident; no more are taken.",
            advice="Somebody else must decide.",
        )
    try:
        number = step_up.verify(identity, code)
    except ApprovalRefused as refusal:
        raise _CodeRefused(refusal.what, advice=refusal.advice) from refusal
    if number <= _last_code(identity, provider, journal):
        raise ApprovalRefused("This code was used already; wait for the next one.")
    return {"provider": provider, "number": number}


def _last_code(identity: Identity, provider: str, journal: Journal) -> int:
    """The newest code that this person has used up, in whichever incident; -1 if none."""
    since = clock.now() - _CODE_LIFE
    return max(
        (
            record.body["step_up"]["number"]
            for kind in ("gate.decided", "gate.reviewed")
            for record in journal.find(kind=kind, since=since)
            if record.actor.id == identity.principal
            and record.body["step_up"] is not None
            and record.body["step_up"]["provider"] == provider
        ),
        default=-1,
    )


def _excluded(
    who: str,
    distinct_from: Sequence[str],
    records: Sequence[Record],
    approvers: Mapping[str, ApproverGroup],
) -> str:
    """Why somebody who is on the list can't decide on this incident; empty if they can."""
    person = _person(who, approvers)
    requesters = {_person(requester, approvers) for requester in _requesters(records)}
    if "requester" in distinct_from and person in requesters:
        return f"{who} started this incident and can't decide on it as well: somebody else must."
    if "author" in distinct_from:
        authors = records[0].body.get("authors")
        if not authors:
            return "Nobody can decide: who wrote this playbook is not known, and can't be left out."
        if person in {_person(author, approvers) for author in authors}:
            return f"{who} wrote this playbook and can't decide on it as well."
    return ""


def _person(principal: str, approvers: Mapping[str, ApproverGroup]) -> str:
    """One name for one person, who may be known at several faces (``same_person``)."""
    for group in approvers.values():
        for local, slack in group.same_person.items():
            if principal == Identity("slack", slack, group.slack_team or "").principal:
                return Identity("local", local).principal
    return principal


def _requesters(records: Sequence[Record]) -> set[str]:
    """Who asked for the containment: whoever opened it, and whoever started what was proposed.

    Going on with an incident later asks for nothing new.
    """
    opened = records[0]
    started = next((record for record in records if record.kind == "incident.started"), None)
    return {opened.actor.id, *([started.actor.id] if started and opened.body["proposed"] else [])}


def _allowed_groups(gate: GateState) -> set[str]:
    groups = {item["group"] for item in gate.request["any_of"]}
    return {*groups, gate.request["escalate_to"]} if gate.escalated else groups


def _votes(
    asked: Record,
    decided: Sequence[Record],
    alternatives: Sequence[tuple[str, int]],
    approvers: Mapping[str, ApproverGroup],
    expires_at: datetime,
    records: Sequence[Record],
) -> list[Vote]:
    groups = {group for group, _ in alternatives}
    votes: dict[str, Vote] = {}
    for record in decided:
        body, who = record.body, record.actor.id
        person = _person(who, approvers)
        # Records from before user groups counted know of none.
        listed = _listed(who, approvers, body.get("usergroups", ()))
        broken = bool(body["break_glass"]) and asked.body["break_glass"] in listed
        counting = listed & (groups | ({asked.body["break_glass"]} if broken else set()))
        counts = (
            record.actor.kind == "person"
            and body["nonce"] == asked.body["nonce"]
            and body["digest"] == asked.body["digest"]
            and body["principal"] == who
            and record.at < expires_at
            and person not in votes
            and body["answer"] in ("approve", "deny")
            and not _excluded(who, asked.body["distinct_from"], records, approvers)
            and bool(counting)
            and (not asked.body["step_up"] or body["step_up"] is not None)
        )
        if counts:
            groups_counted = tuple(sorted(counting))
            votes[person] = Vote(
                who, body["answer"], record.at, body["why"], groups_counted, broken
            )
    return list(votes.values())


def _listed(
    principal: str, approvers: Mapping[str, ApproverGroup], usergroups: Sequence[str]
) -> set[str]:
    kind, _, rest = principal.partition(":")
    team, _, user = rest.partition("/")
    identity = (
        Identity("slack", user, team, usergroups=tuple(usergroups))
        if kind == "slack"
        else Identity("local", rest)
    )
    return set(groups_of(identity, approvers))


def _tally(
    asked: Record, votes: Sequence[Vote], alternatives: Sequence[tuple[str, int]]
) -> tuple[Status, str]:
    if sum(vote.answer == "deny" for vote in votes) >= asked.body["deny_at"]:
        return "denied", ""
    approving = [vote for vote in votes if vote.answer == "approve"]
    if any(vote.break_glass for vote in approving):
        return "approved", ""
    missing = []
    for group, count in alternatives:
        got = sum(group in vote.groups for vote in approving)
        if got >= count:
            return "approved", ""
        missing.append(f"{got}/{count} of {group}")
    return "pending", " or ".join(missing)


def _skipped(gate_id: str, record: Record) -> GateState:
    return GateState(
        id=gate_id,
        status="skipped",
        nonce="",
        digest="",
        round=0,
        requested_at=record.at,
        expires_at=None,
        votes=(),
        needed="",
        escalated=False,
        review_due=None,
        request=record.body,
        reason=str(record.body["why"]),
    )


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
