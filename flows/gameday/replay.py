"""Replay: a past incident again, in the simulation, with today's playbook and the people of then.

People answer what they answered, as late as they did. What differs is what today's playbook makes
of it; :func:`flows.gameday.replay_comparison.compare` says by how much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from flows.gameday.replay_comparison import MEASURED, NOTICEABLE, seconds_to
from flows.gameday.replay_people import Recalled, names_of, recall, whole
from flows.gameday.scenario import Event, Objective, Person, PersonInject, Scenario
from flows.gameday.twin import in_the_simulation
from flows.gameday.twin_scenario import STARTED_AFTER, STARTER, finding_inject, starts_by_itself
from flows.gameday.worlds import AccountWorld, World, load_world
from flows.incident import Incident, fold
from flows.journal.record import Record
from runbooks.calls import Change
from runbooks.errors import InvalidInput
from runbooks.playbook import Account, Playbooks

_SHORTEST = timedelta(hours=2)
_AFTERWARDS = timedelta(hours=1)
_SERVING = ("elb", "elbv2", "autoscaling")


@dataclass(frozen=True)
class Replay:
    """An incident to be played again.

    ``world`` is where, and ``target`` what it is called there. ``playbooks`` are today's, in the
    simulation. ``missing`` says what could not be rebuilt, a sentence each.
    """

    scenario: Scenario
    world: World | AccountWorld
    target: str
    playbooks: Playbooks
    missing: tuple[str, ...]


def replay_scenario(
    records: Sequence[Record],
    playbooks: Playbooks,
    world: AccountWorld | None = None,
    target_name: str | None = None,
) -> Replay:
    """An incident of the journal as a scenario.

    ``world`` is a twin's, with the target's name in it. Without one it is the small world, with the
    recorded tags, and the instance in it that is most like the target as the plan tells of it.

    Raises InvalidInput where the records are no incident's, its playbook is gone, or the target is
    not in the world.
    """
    incident = fold(records)
    if incident.playbook not in playbooks.playbooks:
        raise InvalidInput(
            f"{incident.id} was of the playbook {incident.playbook!r}, which is not there any more.",
            advice=f"There are: {', '.join(sorted(playbooks.playbooks))}.",
        )
    missing: list[str] = []
    ref = incident.targets[0]
    like = playbooks.accounts.get(ref.account)
    if like is None:
        like = Account(name=ref.account, environment="production")
        missing.append(
            f"the account {ref.account} is not in playbooks.yaml any more: production is assumed"
        )
    today = in_the_simulation(playbooks, ref.account, ref.region, like)
    played_in: World | AccountWorld
    if world is None:
        tags = _tags(records, incident, missing)
        played_in, target = _small_world(incident, tags, missing)
    else:
        if target_name not in world.instances:
            raise InvalidInput(f"There is no instance {target_name!r} in the twin.")
        played_in, target = world, f"instances/{target_name}"
        tags = world.instances[target_name].tags
        missing.append("the twin is the account as it was when it was taken, not as it was then")
    if len(incident.targets) > 1:
        missing.append(f"of its {len(incident.targets)} targets only {ref.id} is replayed")
    recalled = recall(records, today.playbooks[incident.playbook])
    missing += recalled.missing
    scenario = _scenario(records, incident, today, recalled, target, tags, missing)
    return Replay(scenario, played_in, target, today, tuple(missing))


def _scenario(
    records: Sequence[Record],
    incident: Incident,
    playbooks: Playbooks,
    recalled: Recalled,
    target: str,
    tags: Mapping[str, str],
    missing: list[str],
) -> Scenario:
    people = dict(recalled.people)
    timeline = list(_timeline(records, incident, playbooks, people, target, tags, missing))
    last = max((record.at for record in records), default=incident.opened_at)
    lasts = max(last - incident.opened_at + _AFTERWARDS, _SHORTEST)
    return Scenario(
        version=1,
        title=f"Replay of {incident.id}",
        purpose=f"{incident.id} again, with {incident.playbook} as it is today.",
        playbook=incident.playbook,
        lasts=whole(lasts),
        people=people,
        timeline=tuple(timeline),
        objectives=tuple(_objectives(records, incident, target)),
    )


def _timeline(
    records: Sequence[Record],
    incident: Incident,
    playbooks: Playbooks,
    people: dict[str, Person],
    target: str,
    tags: Mapping[str, str],
    missing: list[str],
) -> Iterator[Event]:
    names = names_of(records)
    started = _started_by(records)
    if incident.findings:
        first, *others = incident.findings
        inject = finding_inject(first.finding, target)
        yield Event(at=timedelta(), finding=inject)
        if others:
            missing.append(f"{len(others)} more findings that it was about are left out")
        if first.finding.get("source") != "guardduty":
            missing.append(f"its finding came from {first.finding.get('source')}, not GuardDuty")
        region = incident.targets[0].region
        if starts_by_itself(playbooks, incident.playbook, inject, region, tags):
            started = None
        elif started is None:
            missing.append("it began by itself; today somebody has to start it, who is assumed to")
            people[STARTER] = Person()
            yield Event(
                at=STARTED_AFTER, person=_start(STARTER, incident.playbook, target, "a replay")
            )
    if started is not None:
        who = names.get(started.actor.id, STARTER)
        people.setdefault(who, Person())
        at = whole(started.at - incident.opened_at) if incident.findings else timedelta()
        why = str(started.body.get("reason") or "as then")
        yield Event(at=at, person=_start(who, incident.playbook, target, why[:1000]))
    for record in records:
        does = _ENDS.get(record.kind)
        if does is None or record.actor.kind != "person" or record.body.get("step") is not None:
            continue
        who = names[record.actor.id]
        people.setdefault(who, Person())
        why = str(record.body.get("why") or "as then")[:1000]
        at = whole(record.at - incident.opened_at)
        yield Event(
            at=at, person=PersonInject.model_validate({"who": who, "does": does, "why": why})
        )


_ENDS = {"incident.aborted": "abort", "undo.started": "undo"}


def _started_by(records: Sequence[Record]) -> Record | None:
    """Whoever asked for it, where it did not begin by itself."""
    opened = records[0]
    if not opened.body["proposed"]:
        return opened if opened.actor.kind == "person" else None
    return next(
        (
            record
            for record in records
            if record.kind == "incident.started" and record.actor.kind == "person"
        ),
        None,
    )


def _start(who: str, playbook: str, target: str, why: str) -> PersonInject:
    return PersonInject(
        who=who, does="start", playbook=playbook, target=target.partition("/")[2] or target, why=why
    )


def _objectives(records: Sequence[Record], incident: Incident, target: str) -> Iterator[Objective]:
    """As soon as then; and contained at the end, whatever was then."""
    took = seconds_to(records)
    for milestone in MEASURED:
        if incident.findings and (seconds := took.get(milestone)) is not None:
            yield Objective(
                id=f"{milestone}-as-then",
                title=f"It is {_PAST[milestone]} no later than then",
                until=milestone,
                within=whole(timedelta(seconds=seconds + NOTICEABLE)),
            )
    yield Objective(id="isolated", title="It is isolated", holds="isolated", of=(target,))


_PAST = {
    "acknowledged": "acknowledged",
    "decided": "decided on",
    "isolated": "isolated",
    "contained": "contained",
    "evidence": "secured as evidence",
}


# The world


def _tags(records: Sequence[Record], incident: Incident, missing: list[str]) -> dict[str, str]:
    """The target's tags as the first plan was made with them; or as its finding has them."""
    target = incident.targets[0]
    told = [
        record.body.get("tags", {}).get(target.arn)
        for record in records
        if record.kind == "plan.made"
    ]
    for known in incident.findings:
        resources = known.finding.get("resources") or ()
        told += [item.get("tags") for item in resources if item.get("id") == target.id]
    for tags in told:
        if tags:
            # Name is that of the small world's group, and nobody can set those of AWS.
            return {
                key: value
                for key, value in tags.items()
                if key != "Name" and not key.startswith("aws:")
            }
    shipped = dict(load_world().tags)
    text = ", ".join(f"{key}={value}" for key, value in shipped.items())
    missing.append(f"the target's tags are not in the records: {text} is assumed")
    return shipped


def _small_world(
    incident: Incident, tags: Mapping[str, str], missing: list[str]
) -> tuple[World, str]:
    """The small world in the incident's Region, and the instance in it that is most like its target:
    serving in groups, or only with a role, or neither."""
    changes = _changes(incident)
    services = {change.call.service for change in changes}
    if not changes:
        target = "victim"
        missing.append("no plan was made then: the target is assumed to serve in a group")
    elif services & set(_SERVING):
        target = "victim"
    else:
        target = "bystander" if "iam" in services else "standalone"
    small = load_world()
    world = small.model_copy(update={"region": incident.targets[0].region, "tags": dict(tags)})
    missing.append(
        f"the account around {incident.targets[0].id} is not in the records: it is {target} of the "
        "small world; a twin's file (--twin) has the account itself"
    )
    moved = {
        str(change.call.params["NetworkInterfaceId"])
        for change in changes
        if change.call.operation == "modify_network_interface_attribute"
        and "Groups" in change.call.params
    }
    there = 2 if target == "victim" else 1
    if moved and len(moved) != there:
        missing.append(
            f"the target had {len(moved)} network interfaces; in the replay it has {there}"
        )
    return world, target


def _changes(incident: Incident) -> list[Change]:
    """What was planned for the target."""
    if incident.plan is None:
        return []
    arn = incident.targets[0].arn
    return [change for step in incident.plan.steps if step.target == arn for change in step.changes]
