"""The scenario that is played in a twin: its target is found out, and the real plan contains it."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.gameday.scenario import (
    Event,
    FindingInject,
    Objective,
    Person,
    PersonInject,
    Scenario,
)
from flows.gameday.worlds import ACCOUNT, AccountWorld
from flows.intake.finding import Finding, ResourceRef
from flows.intake.route import Routed, choose
from flows.ownership import decided_by_owner, team_of
from runbooks.errors import InvalidInput
from runbooks.playbook import Approve, Playbook, Playbooks
from runbooks.targets.reference import partition_of

SAMPLE = {"type": "Backdoor:EC2/C&CActivity.B", "severity": 8.0, "resource_role": "ACTOR"}
"""What is found where no finding is given."""
STARTER = "first-responder"
"""Who starts what is only proposed; in no group, so that everybody else may decide."""

_LASTS = timedelta(hours=2)
STARTED_AFTER = timedelta(minutes=3)
# How long isolation and containment may take, and snapshots, which AWS needs its time for.
_ISOLATED_WITHIN = timedelta(minutes=15)
_CONTAINED_WITHIN = timedelta(minutes=30)
_EVIDENCE_WITHIN = timedelta(hours=1)


def twin_scenario(
    world: AccountWorld,
    target_name: str,
    playbook: str,
    playbooks: Playbooks,
    finding: Mapping[str, Any] | None = None,
) -> Scenario:
    """A finding on the target, the playbook with stand-ins for all who decide, and what is to hold.

    ``playbooks`` are those of the twin (:func:`flows.gameday.twin.playbooks_of_twin`). ``finding``
    is a real one as records have it (``Finding.lookup()``), of which type, severity, role and
    remote address are taken. Where no route starts the playbook for it, somebody does.

    Raises InvalidInput where there is no such instance or playbook.
    """
    if target_name not in world.instances:
        raise InvalidInput(f"There is no instance {target_name!r} in the twin.")
    if playbook not in playbooks.playbooks:
        raise InvalidInput(
            f"There is no playbook {playbook!r}.",
            advice=f"There are: {', '.join(sorted(playbooks.playbooks))}.",
        )
    tags = world.instances[target_name].tags
    inject = finding_inject(finding or SAMPLE, f"instances/{target_name}")
    decided = decided_by_owner(playbooks.playbooks[playbook], team_of(playbooks, [tags]))
    people = stand_ins(decided)
    timeline = [Event(at=timedelta(), finding=inject)]
    if not starts_by_itself(playbooks, playbook, inject, world.region, tags):
        people[STARTER] = Person()
        timeline.append(Event(at=STARTED_AFTER, person=starting(playbook, target_name)))
    return Scenario(
        version=1,
        title=f"Twin of {target_name}",
        purpose=f"The plan of {playbook} is carried out in a copy of the account around the target.",
        playbook=playbook,
        world="twin.yaml",
        lasts=_LASTS,
        people=people,
        timeline=tuple(timeline),
        objectives=tuple(_objectives(world, target_name, decided)),
    )


def finding_inject(finding: Mapping[str, Any], on: str) -> FindingInject:
    """The finding again, on an instance of a world. An address that is none is left out."""
    inject = FindingInject(
        type=str(finding["type"]),
        on=on,
        severity=float(finding["severity"]),
        role="TARGET" if finding.get("resource_role") == "TARGET" else "ACTOR",
    )
    addresses = list(_addresses(finding.get("remote_addresses") or ()))
    return inject.model_copy(update={"remote": addresses[0]}) if addresses else inject


def stand_ins(playbook: Playbook) -> dict[str, Person]:
    """People for every group of the playbook's gates: as many as a gate asks for."""
    needed: dict[str, int] = {}
    for entry in playbook.steps:
        if isinstance(entry, Approve):
            counts = {item.group: item.count for item in entry.approve.alternatives}
            for group in entry.approve.groups:
                needed[group] = max(needed.get(group, 1), counts.get(group, 1))
    return {
        _name(group, number): Person(groups=(group,))
        for group, count in needed.items()
        for number in range(1, count + 1)
    }


def starts_by_itself(
    playbooks: Playbooks,
    playbook: str,
    inject: FindingInject,
    region: str,
    tags: Mapping[str, str],
) -> bool:
    """Whether the routes start the playbook for such a finding in the simulated account."""
    on = ResourceRef(
        kind="ec2.instance", id="i-00000000", arn=None, account=ACCOUNT, region=region, tags=tags
    )
    now = datetime.now(UTC)
    found = Finding(
        source="guardduty",
        shape="guardduty-finding",
        id="0" * 32,
        arn=None,
        account=ACCOUNT,
        region=region,
        partition=partition_of(region),
        type=inject.type,
        severity=float(inject.severity),
        title=inject.type,
        description="",
        created_at=now,
        updated_at=now,
        archived=False,
        sample=False,
        resource_role=inject.role,
        resources=(on,),
        remote_addresses=(inject.remote,),
        actions=(),
        count=1,
        raw_sha256=hashlib.sha256(b"").hexdigest(),
    )
    kinds = {name: item.target for name, item in playbooks.playbooks.items()}
    account = playbooks.accounts.get(ACCOUNT)
    decision = choose(
        playbooks.routes, found, account, {on.id: tags}, target_kinds=kinds, live=False
    )
    return (
        isinstance(decision, Routed)
        and decision.playbook == playbook
        and decision.mode == "automatic"
        and not decision.shadow
    )


def starting(playbook: str, target_name: str) -> PersonInject:
    """Somebody starts the playbook by hand."""
    return PersonInject(who=STARTER, does="start", playbook=playbook, target=target_name)


def _addresses(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        try:
            yield str(ipaddress.IPv4Address(text))
        except ValueError:
            continue


def _name(group: str, number: int) -> str:
    """A name for one of a group's people; of long names of groups only a digest tells them apart."""
    if len(group) <= 56:
        return f"{group}-{number}"
    return f"{group[:44]}-{hashlib.sha256(group.encode()).hexdigest()[:8]}-{number}"


def _objectives(world: AccountWorld, target: str, playbook: Playbook) -> Iterator[Objective]:
    steps = {entry.step for entry in playbook.run_steps()}
    for milestone, within, step in (
        ("isolated", _ISOLATED_WITHIN, "ec2.isolate"),
        ("contained", _CONTAINED_WITHIN, ""),
        ("evidence", _EVIDENCE_WITHIN, "evidence.wait"),
    ):
        if not step or step in steps:
            minutes = round(within.total_seconds() / 60)
            title = f"The target is {milestone} within {minutes} minutes"
            if milestone == "evidence":
                title = f"Evidence is secured within {minutes} minutes"
            yield Objective.model_validate(
                {"id": f"{milestone}-in-time", "title": title, "until": milestone, "within": within}
            )
    of = (f"instances/{target}",)
    if "ec2.isolate" in steps:
        yield Objective(id="isolated", title="The target is isolated", holds="isolated", of=of)
    if {"ec2.isolate", "elb.deregister", "autoscaling.detach"} <= steps:
        yield Objective(id="contained", title="The target is contained", holds="contained", of=of)
    if "ec2.snapshot" in steps and world.instances[target].volumes:
        yield Objective(id="evidence", title="Its disks are kept", holds="evidence", of=of)
    others = tuple(f"instances/{name}" for name in world.instances if name != target)
    if others:
        yield Objective(
            id="others", title="No other instance is touched", holds="untouched", of=others
        )
    groups = tuple(
        f"scaling_groups/{name}"
        for name, group in world.scaling_groups.items()
        if target not in group.instances
    )
    if groups:
        yield Objective(
            id="groups",
            title="All other Auto Scaling groups are in service",
            holds="in_service",
            of=groups,
        )
