"""What a live drill would change, looked at before anything is opened."""

from __future__ import annotations

from flows.execution import Planner
from flows.gameday.live_finding import written_finding
from flows.gameday.live_state import FACTS
from flows.responder import Responder
from runbooks.aws import IncidentContext, Once, PlanningAws, Where
from runbooks.calls import Plan, is_pending, pending
from runbooks.connections import Connections
from runbooks.errors import NotForDrills
from runbooks.guardrails import DrillsOnly
from runbooks.targets.instance import Ec2Instance
from runbooks.targets.reading import read_instances
from runbooks.targets.reference import TargetRef

# What these make has the name that they give it, and so is known before it is made.
_NAMED_AS_MADE = frozenset({"create_instance_profile", "create_role", "create_stack"})


class Look:
    """The target, read afresh."""

    def __init__(self, connections: Connections, ref: TargetRef) -> None:
        self.connections = connections
        self.ref = ref

    def now(self) -> Ec2Instance:
        where = Where(self.ref.account, self.ref.region)
        context = IncidentContext("none")
        reader = PlanningAws(self.connections, where, context, "drill", Once())
        return read_instances(reader, [self.ref], FACTS)[0]


def refuse_what_is_not_for_drills(
    responder: Responder, playbook: str, target: Ec2Instance, connections: Connections
) -> None:
    """Plan it, and hold every change against what drills may change. Raises NotForDrills."""
    made: set[str] = set()
    scope = DrillsOnly("this", lambda: [target], lambda: made)
    scope.check_target(target.resource, "Nothing was done.")
    plan = _plan(responder, playbook, target, connections)
    made |= {change.on.arn for change in plan.changes if change.call.operation in _NAMED_AS_MADE}
    refused: dict[str, str] = {}
    for step in plan.steps:
        for change in step.changes:
            if is_pending(change.on.arn):
                # Of what the incident itself has yet to make.
                continue
            try:
                scope.check(change)
            except NotForDrills:
                refused.setdefault(change.on.arn, step.id)
    if refused:
        named = ", ".join(f"{arn} ({step})" for arn, step in refused.items())
        raise NotForDrills(
            f"The playbook {playbook} would change what is not tagged clampdown:drill=true: {named}. "
            "Nothing was done.",
            advice="Tag it if it is there for drills, or drill with a target that has none of it.",
        )


def _plan(
    responder: Responder, playbook: str, target: Ec2Instance, connections: Connections
) -> Plan:
    finding = written_finding(target, "0" * 32)
    context = IncidentContext(pending("incident"), finding.id, finding.remote_addresses)
    planner = Planner(
        playbook,
        responder.playbooks.playbooks[playbook],
        responder.playbooks,
        connections,
        context,
        finding.lookup(),
    )
    facts = planner.read([target.ref])
    return planner.plan([facts[target.ref]], {})
