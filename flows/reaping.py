"""Deleting clean rooms whose time is over, each as an undo of the change that made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from flows.execution import Surroundings, protected_rules
from flows.incident import Incident, RecordedChange, fold
from flows.ledger import JournalLedger, Recorder
from flows.settings import Settings
from runbooks import clock
from runbooks.aws import IncidentContext, LiveAws, Once, Reader, Where
from runbooks.calls import Call
from runbooks.clean_room.stack import ROOM_PREFIX, Stack, first_failure, stacks_in
from runbooks.errors import ClampdownError, Interrupted, WrongAccount
from runbooks.guardrails import Guardrails
from runbooks.undo import take_back


@dataclass(frozen=True)
class Room:
    """A clean room that stands in an account after its time."""

    account: str
    region: str
    stack: str
    incident: str
    expires: str


@dataclass
class Reaped:
    """What was done about expired clean rooms.

    ``deleted`` are those whose deletion was begun. ``foreign`` are those that no incident of this
    journal has made: they are left. ``failures`` are sentences.
    """

    deleted: list[Room] = field(default_factory=list)
    foreign: list[Room] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def reap_expired(
    around: Surroundings, settings: Settings, *, now: datetime | None = None
) -> Reaped:
    """Delete the clean rooms whose ``clampdown:expires`` is over, in all accounts and Regions.

    Each is deleted by the undo that its incident recorded when it was made, and written down in
    that incident. A stack that no incident of this journal has made is never touched, whatever
    its name and tags. What can't be looked at or deleted does not keep the others from it.

    Raises Interrupted when asked to stop.
    """
    reaped = Reaped()
    moment = now or clock.now()
    for account, details in around.playbooks.accounts.items():
        regions = details.regions or ((settings.region,) if settings.region else ())
        if not regions:
            reaped.failures.append(
                f"Account {account} was not looked at: playbooks.yaml gives no regions for it. "
                "Give them there, or --region."
            )
        for region in regions:
            _reap_place(Where(account, region), around, settings, moment, reaped)
    return reaped


def _reap_place(
    where: Where, around: Surroundings, settings: Settings, now: datetime, reaped: Reaped
) -> None:
    reader = Reader(around.connections, where, around.stop)
    try:
        # Without a role an account is entered as the caller is: it may be another one's rooms
        # that are seen.
        if (owner := around.connections.identity(where.account, where.region)) != where.account:
            raise WrongAccount(f"the credentials belong to account {owner}.")
        answer = reader.read(Call("cloudformation", "describe_stacks"))
    except Interrupted:
        raise
    except ClampdownError as error:
        reaped.failures.append(
            f"The clean rooms in {where.account}, {where.region} were not looked at: {error}"
        )
        return
    for stack in stacks_in(answer):
        if not stack.name.startswith(ROOM_PREFIX) or stack.status == "DELETE_IN_PROGRESS":
            continue
        try:
            if _time_is_over(stack, now):
                _reap(stack, where, reader, around, settings, reaped)
        except Interrupted:
            raise
        except ClampdownError as error:
            reaped.failures.append(
                f"{stack.name} in {where.account}, {where.region} was not deleted: {error}"
            )


def _time_is_over(stack: Stack, now: datetime) -> bool:
    try:
        expires = datetime.strptime(stack.expires, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ClampdownError(
            f"its tag clampdown:expires is {stack.expires!r}, which is no time.",
            advice="Somebody has changed it: `clampdown undo` of its incident deletes the room.",
        ) from None
    return expires <= now


def _reap(
    stack: Stack,
    where: Where,
    reader: Reader,
    around: Surroundings,
    settings: Settings,
    reaped: Reaped,
) -> None:
    room = Room(where.account, where.region, stack.name, stack.incident, stack.expires)
    records = around.journal.records(stack.incident) if stack.incident else []
    incident = fold(records) if records else None
    makings = list(_makings(incident, stack, where)) if incident else []
    if incident is None or not makings or incident.simulate != settings.simulate:
        reaped.foreign.append(room)
        return
    if stack.status == "DELETE_FAILED":
        reaped.failures.append(
            f"{stack.name} in {where.account}, {where.region} could not be deleted before, and is "
            f"tried again: {first_failure(reader, stack, 'DELETE_FAILED')}"
        )
    with around.journal.hold(incident.id):
        _delete(room, incident, makings, where, around)
    reaped.deleted.append(room)


def _makings(incident: Incident, stack: Stack, where: Where) -> Iterator[RecordedChange]:
    """The changes with which the incident made this very room; after a rollback there are more."""
    for recorded in incident.changes:
        call = recorded.change.call
        if (
            call.action == "cloudformation:CreateStack"
            and call.params["StackName"] == stack.name
            and (recorded.target.account, recorded.target.region) == (where.account, where.region)
            and recorded.may_have_happened
        ):
            yield recorded


def _delete(
    room: Room,
    incident: Incident,
    makings: Sequence[RecordedChange],
    where: Where,
    around: Surroundings,
) -> None:
    recorder = Recorder(
        around.journal, incident.id, listener=around.listener, progress=around.progress
    )
    recorder.append("room.expired", {"stack": room.stack, "expires": room.expires})
    made = makings[-1]
    aws = LiveAws(
        around.connections,
        where,
        IncidentContext(incident.id),
        ledger=JournalLedger(recorder, made.step, made.target, mode=incident.mode, undoes=made.seq),
        guard=Guardrails(protected_rules(around.playbooks), 10**9, lambda account: 0),
        permit=None,
        once=Once(),
        stop=around.stop,
    )
    take_back(aws, [made.change])
    for recorded in makings:
        if not recorded.undone:
            recorder.append("change.undone", {"intent": recorded.seq})
