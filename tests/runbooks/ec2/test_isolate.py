"""``ec2.isolate``: nothing in, nothing out, on every interface, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client
from runbooks.aws import IncidentContext, Once, Permit, PlanningAws, Where
from runbooks.calls import Call, Change, Keep, Resource, is_pending
from runbooks.ec2 import isolate
from runbooks.ec2.isolate import IsolateInstance, Isolation
from runbooks.errors import AwsRefused, NotContained
from runbooks.targets.instance import (
    AclEntry,
    Ec2Instance,
    GroupRule,
    Network,
    NetworkAcl,
    NetworkInterface,
    PublicAddress,
    SecurityGroup,
)
from tests.runbooks.driver import ACCOUNT, REGION, Incident, MemoryLedger
from tests.runbooks.instances import INCIDENT, INSTANCE, Plan, arn, instance, interface

GROUP = "sg-isolation"
C2 = "198.51.100.7"


def group(*rules: GroupRule, vpc_id: str = "vpc-1", identity: str = GROUP) -> SecurityGroup:
    return SecurityGroup(
        Resource(arn(f"security-group/{identity}")), identity, "clampdown", vpc_id, rules
    )


def rule(
    identity: str, *, egress: bool = True, protocol: str = "-1", ports: int = -1, peer: str
) -> GroupRule:
    return GroupRule(identity, egress, protocol, ports, ports, peer)


def entry(number: int, *, egress: bool, allow: bool = True, cidr: str = "0.0.0.0/0") -> AclEntry:
    return AclEntry(number, egress, allow, "-1", cidr)


def acl(*entries: AclEntry, subnets: Sequence[str] = ("subnet-1",)) -> NetworkAcl:
    """A network ACL that ends as AWS has every one end."""
    last = [entry(32767, egress=egress, allow=False) for egress in (False, True)]
    return NetworkAcl(
        Resource(arn("network-acl/acl-1")), "acl-1", tuple(subnets), (*entries, *last)
    )


OPEN_ACL = acl(entry(100, egress=False), entry(100, egress=True))


def target(
    *interfaces: NetworkInterface,
    groups: Sequence[SecurityGroup] = (),
    acls: Sequence[NetworkAcl] = (),
) -> Ec2Instance:
    return instance(
        interfaces=interfaces or [interface()], facts=[Network(tuple(groups), tuple(acls))]
    )


def plan(facts: Ec2Instance, remote: Sequence[str] = (), **params: Any) -> Plan:
    return Plan(IsolateInstance, facts, params, remote_addresses=remote)


def verify(facts: Ec2Instance, remote: Sequence[str] = (), **params: Any) -> None:
    # It looks at facts only, so there is nothing to connect to.
    aws = PlanningAws(
        None,  # type: ignore[arg-type]
        Where(ACCOUNT, REGION),
        IncidentContext(INCIDENT, remote_addresses=tuple(remote)),
        "verify",
        Once(),
    )
    IsolateInstance().verify(aws, facts, Isolation.model_validate(params))


def actions(changes: Sequence[Change]) -> list[str]:
    return [change.call.api_name for change in changes]


def regrouped(changes: Sequence[Change]) -> dict[str, Any]:
    """Which interface goes into which groups."""
    return {
        change.call.params["NetworkInterfaceId"]: change.call.params["Groups"]
        for change in changes
        if change.call.operation == "modify_network_interface_attribute"
    }


# The isolation group


def test_a_group_is_made_tagged_in_the_same_call_and_every_default_rule_is_revoked() -> None:
    made = plan(target())

    assert actions(made.changes) == [
        "CreateSecurityGroup",
        "RevokeSecurityGroupEgress",
        "ModifyNetworkInterfaceAttribute",
    ]
    creation, revoke, _ = made.changes
    (specification,) = creation.call.params["TagSpecifications"]
    assert {tag["Key"]: tag["Value"] for tag in specification["Tags"]} == {
        "clampdown:isolation": "vpc-1",
        "clampdown:incident": INCIDENT,
    }
    assert list(revoke.call.params) == ["GroupId", "SecurityGroupRuleIds"]


def test_a_group_that_is_there_and_right_is_used_as_it_is() -> None:
    made = plan(target(groups=[group()]))

    assert actions(made.changes) == ["ModifyNetworkInterfaceAttribute"]
    assert regrouped(made.changes) == {interface().id: [GROUP]}


def test_every_rule_of_a_group_that_somebody_opened_is_revoked_by_its_id() -> None:
    opened = group(
        rule("sgr-4", peer="0.0.0.0/0"),
        rule("sgr-6", peer="::/0"),
        rule("sgr-in", egress=False, protocol="tcp", ports=22, peer="203.0.113.9/32"),
    )

    made = plan(target(interface(groups=(GROUP,)), groups=[opened]))

    assert [change.call for change in made.changes] == [
        Call(
            "ec2",
            "revoke_security_group_ingress",
            GroupId=GROUP,
            SecurityGroupRuleIds=["sgr-in"],
        ),
        Call(
            "ec2",
            "revoke_security_group_egress",
            GroupId=GROUP,
            SecurityGroupRuleIds=["sgr-4", "sgr-6"],
        ),
    ]


def test_the_forensics_network_gets_in_and_reaches_its_endpoints_in_both_families() -> None:
    made = plan(target(groups=[group()]), allow_from=["192.0.2.0/24", "2001:db8::/64"])

    ingress, egress, _ = (change.call.params.get("IpPermissions") for change in made.changes)
    assert ingress == [
        {
            "IpProtocol": "tcp",
            "FromPort": 0,
            "ToPort": 65535,
            "IpRanges": [{"CidrIp": "192.0.2.0/24"}],
        },
        {
            "IpProtocol": "tcp",
            "FromPort": 0,
            "ToPort": 65535,
            "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/64"}],
        },
    ]
    assert egress is not None
    assert {(item["FromPort"], item["ToPort"]) for item in egress} == {(443, 443)}


def test_rules_that_are_asked_for_are_kept_and_others_not() -> None:
    allowed = (
        GroupRule("sgr-a", False, "tcp", 0, 65535, "192.0.2.0/24"),
        GroupRule("sgr-b", True, "tcp", 443, 443, "192.0.2.0/24"),
    )
    facts = target(interface(groups=(GROUP,)), groups=[group(*allowed)])

    assert plan(facts, allow_from=["192.0.2.0/24"]).calls == []
    verify(facts, allow_from=["192.0.2.0/24"], tracked_connections="leave")
    assert actions(plan(facts).changes) == [
        "RevokeSecurityGroupIngress",
        "RevokeSecurityGroupEgress",
    ]


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "::/0", "192.0.2.1/24", "the office"])
def test_a_network_that_would_isolate_nothing_or_is_none_is_refused(cidr: str) -> None:
    with pytest.raises(ValidationError):
        Isolation.model_validate({"allow_from": [cidr]})


# Interfaces


def test_every_interface_is_swapped_by_a_call_of_its_own_and_undo_gives_back_its_groups() -> None:
    first, second = interface(0, groups=("sg-1", "sg-2")), interface(1, groups=("sg-3",))

    made = plan(target(first, second, groups=[group()]))

    assert regrouped(made.changes) == {first.id: [GROUP], second.id: [GROUP]}
    undone = [undo.call.params["Groups"] for change in made.changes for undo in change.undos]
    assert undone == [["sg-1", "sg-2"], ["sg-3"]]


def test_an_interface_that_is_in_another_group_as_well_is_not_isolated() -> None:
    half = interface(groups=(GROUP, "sg-1"))

    assert regrouped(plan(target(half, groups=[group()])).changes) == {half.id: [GROUP]}
    with pytest.raises(NotContained, match=half.id):
        verify(target(half, groups=[group()]))


def test_an_interface_in_another_vpc_goes_into_that_vpcs_isolation_group() -> None:
    near, far = interface(0), interface(1, vpc_id="vpc-2")
    there = group(vpc_id="vpc-2", identity="sg-there")

    made = plan(target(near, far, groups=[group(), there]))

    assert regrouped(made.changes) == {near.id: [GROUP], far.id: ["sg-there"]}
    contained = target(
        interface(0, groups=(GROUP,)),
        interface(1, vpc_id="vpc-2", groups=("sg-there",)),
        groups=[group(), there],
    )
    verify(contained)
    with pytest.raises(NotContained, match="vpc-2"):
        verify(replace(contained, facts={Network: Network((group(),), ())}))


def test_interfaces_of_a_service_and_branches_of_a_trunk_are_named_and_left() -> None:
    managed, trunk = interface(0, managed=True), interface(1, kind="trunk")

    made = plan(target(managed, trunk, groups=[group()]))

    assert regrouped(made.changes) == {trunk.id: [GROUP]}
    assert f"{managed.id} is managed" in made.warnings
    assert f"{trunk.id} is a trunk" in made.warnings


def test_the_plan_allows_for_one_more_interface_that_is_not_there_yet() -> None:
    made = plan(target(groups=[group()]))

    (change,) = made.contingent
    assert is_pending(change.call.params["NetworkInterfaceId"])
    assert change.call.params["Groups"] == [GROUP]


def test_an_instance_that_is_isolated_already_takes_no_call() -> None:
    contained = target(interface(groups=(GROUP,)), groups=[group()], acls=[OPEN_ACL])
    denied = acl(
        *(entry(1, egress=egress, allow=False, cidr=f"{C2}/32") for egress in (False, True)),
        *(entry(100, egress=egress) for egress in (False, True)),
    )

    assert plan(contained).calls == []
    assert (
        plan(replace(contained, facts={Network: Network((group(),), (denied,))}), [C2]).calls == []
    )


# Tracked connections


def test_the_findings_addresses_are_denied_both_ways_before_the_first_allow() -> None:
    made = plan(target(interface(groups=(GROUP,)), groups=[group()], acls=[OPEN_ACL]), [C2])

    assert [change.call for change in made.changes] == [
        Call(
            "ec2",
            "create_network_acl_entry",
            NetworkAclId="acl-1",
            RuleNumber=1,
            Protocol="-1",
            RuleAction="deny",
            Egress=egress,
            CidrBlock=f"{C2}/32",
        )
        for egress in (False, True)
    ]


def test_ipv6_addresses_are_denied_in_the_form_in_which_aws_gives_them_back() -> None:
    made = plan(target(groups=[group()], acls=[OPEN_ACL]), ["2001:DB8:0::1"])

    cidrs = [call.params.get("Ipv6CidrBlock") for call in made.calls[1:]]
    assert cidrs == ["2001:db8::1/128"] * 2


def test_numbers_that_are_taken_are_left_out_and_a_deny_behind_an_allow_does_not_count() -> None:
    crowded = acl(
        entry(1, egress=False, allow=False, cidr="192.0.2.1/32"),
        entry(3, egress=False),
        entry(4, egress=False, allow=False, cidr=f"{C2}/32"),
        entry(1, egress=True, allow=False, cidr=f"{C2}/32"),
        entry(100, egress=True),
    )

    made = plan(target(interface(groups=(GROUP,)), groups=[group()], acls=[crowded]), [C2])

    (call,) = made.calls
    assert (call.params["Egress"], call.params["RuleNumber"]) == (False, 2)


@pytest.mark.parametrize(
    ("there", "room"),
    [(18, 2), (19, 1), (20, 0), (21, 2), (39, 1), (40, 0)],
)
def test_no_more_entries_are_planned_than_the_quota_has_room_for(there: int, room: int) -> None:
    full = acl(*(entry(100 + n, egress=egress) for n in range(there) for egress in (False, True)))
    remote = [C2, "198.51.100.8"]

    made = plan(target(interface(groups=(GROUP,)), groups=[group()], acls=[full]), remote)

    assert len(made.calls) == 2 * room
    assert ("no room" in made.warnings) == (room < 2)
    for address in remote[room:]:
        assert f"{address}/32" in made.warnings


def test_an_acl_whose_first_entry_allows_leaves_no_room_before_it() -> None:
    full = acl(entry(1, egress=False), entry(1, egress=True))

    made = plan(target(interface(groups=(GROUP,)), groups=[group()], acls=[full]), [C2])

    assert made.calls == []
    assert "traffic from 198.51.100.7/32 is not denied" in made.warnings
    assert "traffic to 198.51.100.7/32 is not denied" in made.warnings


def test_the_plan_says_what_a_network_acl_hits_and_what_it_cannot_cut() -> None:
    shared = acl(entry(100, egress=True), subnets=("subnet-1", "subnet-2"))

    warnings = plan(target(groups=[group()], acls=[shared]), [C2]).warnings

    assert "every host of subnet-1, subnet-2" in warnings
    assert "hosts in the same subnet" in warnings


def test_without_an_address_to_deny_the_plan_says_that_connections_stay() -> None:
    assert "no remote address" in plan(target(groups=[group()], acls=[OPEN_ACL])).warnings


def test_leave_denies_nothing_and_says_so() -> None:
    made = plan(target(groups=[group()], acls=[OPEN_ACL]), [C2], tracked_connections="leave")

    assert actions(made.changes) == ["ModifyNetworkInterfaceAttribute"]
    assert "No tracked connection is cut" in made.warnings


def test_untrack_opens_to_both_families_before_it_closes() -> None:
    made = plan(target(groups=[group()]), tracked_connections="untrack")

    assert actions(made.changes) == [
        "CreateSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "ModifyNetworkInterfaceAttribute",
        "ModifyNetworkInterfaceAttribute",
    ]
    everything = {
        "IpProtocol": "-1",
        "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
        "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
    }
    assert made.calls[1].params["IpPermissions"] == [everything]
    first, second = (change.call.params["Groups"] for change in made.changes[2:])
    assert is_pending(first)
    assert second == [GROUP]


def test_untrack_names_every_path_that_it_cannot_cut() -> None:
    warnings = plan(target(groups=[group()]), tracked_connections="untrack").warnings

    for path in ("NAT", "Load Balancer", "Transit", "Firewall", "Accelerator", "ICMP"):
        assert path in warnings
    assert "stays open until `clampdown resume`" in warnings


@pytest.mark.parametrize(
    "reachable",
    [
        interface(public_addresses=(PublicAddress("203.0.113.5", "10.0.0.5", None, None),)),
        interface(addresses=("10.0.0.5", "2600:1f18::5")),
    ],
    ids=["IPv4", "IPv6"],
)
def test_an_instance_that_the_internet_reaches_is_never_opened(reachable: Any) -> None:
    made = plan(target(reachable, groups=[group()]), tracked_connections="untrack")

    assert actions(made.changes) == ["ModifyNetworkInterfaceAttribute"]
    assert "untrack was left out" in made.warnings


# Public addresses, the metadata service, and what stays open

ELASTIC = PublicAddress("203.0.113.5", "10.0.0.5", "eipalloc-1", "eipassoc-1")


def test_an_elastic_ip_is_taken_away_and_undo_knows_where_it_was() -> None:
    facts = target(interface(groups=(GROUP,), public_addresses=(ELASTIC,)), groups=[group()])

    made = plan(facts, remove_public_address=True)

    (change,) = made.changes
    assert change.call == Call("ec2", "disassociate_address", AssociationId="eipassoc-1")
    assert change.undos[0].call == Call(
        "ec2",
        "associate_address",
        AllocationId="eipalloc-1",
        NetworkInterfaceId=interface().id,
        PrivateIpAddress="10.0.0.5",
    )
    assert "another public address" in made.warnings
    assert plan(facts).calls == []


def test_an_address_that_aws_gave_is_named_as_what_cannot_be_taken_away() -> None:
    given = PublicAddress("203.0.113.5", "10.0.0.5", None, None)
    facts = target(interface(groups=(GROUP,), public_addresses=(given,)), groups=[group()])

    made = plan(facts, remove_public_address=True)

    assert made.calls == []
    assert "203.0.113.5 was given by AWS" in made.warnings
    verify(facts, remove_public_address=True)


def test_the_metadata_service_is_switched_off_only_where_asked_for() -> None:
    facts = target(interface(groups=(GROUP,)), groups=[group()])

    (change,) = plan(facts, disable_imds=True).changes

    assert change.call.params == {"InstanceId": INSTANCE, "HttpEndpoint": "disabled"}
    assert change.undos[0].call.params["HttpEndpoint"] == "enabled"
    assert plan(facts).calls == []
    assert plan(replace(facts, metadata_endpoint="disabled"), disable_imds=True).calls == []


def test_dns_and_the_metadata_service_are_named_as_what_stays_open() -> None:
    facts = target(groups=[group()])

    assert "DNS" in plan(facts).warnings
    assert "metadata service" in plan(facts).warnings
    assert "metadata service" not in plan(facts, disable_imds=True).warnings


def test_other_ways_in_and_surprised_peers_are_named() -> None:
    warnings = plan(target(groups=[group()])).warnings

    for way in ("serial console", "Session Manager", "Instance Connect", "by its security group"):
        assert way in warnings


# Verification


@pytest.mark.parametrize(
    ("lacking", "facts", "params"),
    [
        ("no isolation group", target(), {}),
        (
            "sgr-6",
            target(interface(groups=(GROUP,)), groups=[group(rule("sgr-6", peer="::/0"))]),
            {},
        ),
        ("eni-", target(groups=[group()]), {}),
        (
            "acl-1 does not deny traffic from 198.51.100.7/32",
            target(interface(groups=(GROUP,)), groups=[group()], acls=[OPEN_ACL]),
            {},
        ),
        (
            "203.0.113.5",
            target(interface(groups=(GROUP,), public_addresses=(ELASTIC,)), groups=[group()]),
            {"remove_public_address": True},
        ),
        (
            "metadata",
            target(interface(groups=(GROUP,)), groups=[group()]),
            {"disable_imds": True},
        ),
    ],
)
def test_verify_names_what_is_lacking(
    lacking: str, facts: Ec2Instance, params: Mapping[str, Any]
) -> None:
    with pytest.raises(NotContained, match=lacking):
        verify(facts, [C2], **params)


def test_verify_does_not_ask_for_entries_for_which_there_is_no_room() -> None:
    full = acl(entry(1, egress=False), entry(1, egress=True))

    verify(target(interface(groups=(GROUP,)), groups=[group()], acls=[full]), [C2])


# On a simulated AWS


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "UNTRACK_WAIT", timedelta(milliseconds=10))


class Meanwhile(MemoryLedger):
    """Something that happens once, right after the first change of an operation was made."""

    def __init__(self, operation: str, happens: Callable[[], object]) -> None:
        super().__init__()
        self.operation = operation
        self.happens: list[Callable[[], object]] = [happens]

    def done(self, intent: int, request_id: str, identifiers: Mapping[str, Any]) -> None:
        super().done(intent, request_id, identifiers)
        if self.intents[intent - 1].call.operation == self.operation and self.happens:
            self.happens.pop()()


class Intruder:
    """Somebody else with EC2 rights, in the same account."""

    def __init__(self, world: WorldIds) -> None:
        self.world = world
        self.ec2 = client(world.url, REGION, "ec2")

    def attaches_an_interface(self) -> str:
        (victim,) = self.interfaces(DeviceIndex=0)
        made = self.ec2.create_network_interface(
            SubnetId=victim["SubnetId"], Groups=[self.world.ids["web_group"]]
        )
        identity = str(made["NetworkInterface"]["NetworkInterfaceId"])
        self.ec2.attach_network_interface(
            NetworkInterfaceId=identity, InstanceId=self.world.victim, DeviceIndex=5
        )
        return identity

    def opens(self, group_id: str) -> None:
        for peer in ({"IpRanges": [{"CidrIp": "0.0.0.0/0"}]},):
            self.ec2.authorize_security_group_ingress(
                GroupId=group_id, IpPermissions=[{"IpProtocol": "-1", **peer}]
            )

    def makes_a_group(self, name: str, tags: Mapping[str, str] | None = None) -> str:
        listed = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        specified = [{"ResourceType": "security-group", "Tags": listed}] if listed else []
        made = self.ec2.create_security_group(
            GroupName=name,
            Description="theirs",
            VpcId=self.world.ids["vpc"],
            TagSpecifications=specified,
        )
        return str(made["GroupId"])

    def acl(self) -> str:
        (acl,) = self.ec2.describe_network_acls(
            Filters=[
                {
                    "Name": "association.subnet-id",
                    "Values": [self.interfaces(DeviceIndex=0)[0]["SubnetId"]],
                }
            ]
        )["NetworkAcls"]
        return str(acl["NetworkAclId"])

    def denies(self, cidr: str, number: int, *, egress: bool) -> None:
        self.ec2.create_network_acl_entry(
            NetworkAclId=self.acl(),
            RuleNumber=number,
            Protocol="-1",
            RuleAction="deny",
            Egress=egress,
            CidrBlock=cidr,
        )

    def denied(self, *, egress: bool) -> dict[str, int]:
        """The networks that the victim's network ACL denies before anything else, by number."""
        (acl,) = self.ec2.describe_network_acls(NetworkAclIds=[self.acl()])["NetworkAcls"]
        return {
            entry["CidrBlock"]: entry["RuleNumber"]
            for entry in acl["Entries"]
            if entry["RuleAction"] == "deny"
            and entry["Egress"] is egress
            and entry["RuleNumber"] < 100
        }

    def interfaces(self, **attachment: Any) -> list[dict[str, Any]]:
        found = self.ec2.describe_network_interfaces(
            Filters=[{"Name": "attachment.instance-id", "Values": [self.world.victim]}]
        )["NetworkInterfaces"]
        return [eni for eni in found if attachment.items() <= eni["Attachment"].items()]

    def groups(self) -> set[str]:
        """All groups that the victim's interfaces are in."""
        return {group["GroupId"] for eni in self.interfaces() for group in eni["Groups"]}

    def rules(self, group_id: str) -> list[dict[str, Any]]:
        found = self.ec2.describe_security_group_rules(
            Filters=[{"Name": "group-id", "Values": [group_id]}]
        )
        rules: list[dict[str, Any]] = found["SecurityGroupRules"]
        return rules


@pytest.fixture
def incident(world: WorldIds) -> Iterator[Incident]:
    incident = Incident(world.url)
    yield incident
    incident.close()


@pytest.fixture
def intruder(world: WorldIds) -> Intruder:
    return Intruder(world)


def isolation_group(ledger: MemoryLedger) -> str:
    (groups,) = {
        tuple(change.call.params["Groups"])
        for change in ledger.intents
        if change.call.operation == "modify_network_interface_attribute"
    }
    (group_id,) = groups
    return str(group_id)


def test_an_interface_attached_during_the_swap_is_isolated_too(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    ledger = Meanwhile("modify_network_interface_attribute", intruder.attaches_an_interface)

    incident.run(IsolateInstance, world.victim, ledger=ledger)

    assert len(intruder.interfaces()) == 3
    assert intruder.groups() == {isolation_group(ledger)}
    incident.undo(ledger)
    assert intruder.groups() == {world.ids["web_group"]}


def test_an_interface_that_somebody_puts_back_is_isolated_again(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    def put_back() -> None:
        intruder.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=world.ids["victim_eni"], Groups=[world.ids["web_group"]]
        )

    # After the last call that the swap makes, so that it is certainly put back and not overtaken.
    ledger = Meanwhile("create_network_acl_entry", put_back)

    incident.run(IsolateInstance, world.victim, ledger=ledger)

    assert intruder.groups() == {isolation_group(ledger)}


def test_a_rule_that_appears_in_a_new_group_during_the_swap_is_revoked(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    ledger = Meanwhile(
        "modify_network_interface_attribute", lambda: intruder.opens(isolation_group(ledger))
    )

    incident.run(IsolateInstance, world.victim, ledger=ledger)

    assert intruder.rules(isolation_group(ledger)) == []
    assert "RevokeSecurityGroupIngress" in actions(ledger.intents)


def test_a_number_that_another_incident_takes_first_is_no_failure(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    def another_incident() -> None:
        for egress in (False, True):
            intruder.denies("203.0.113.9/32", 1, egress=egress)

    planned = incident.plan(IsolateInstance, world.victim)
    facts = incident.target(IsolateInstance, world.victim)
    another_incident()
    ledger = MemoryLedger()

    IsolateInstance().contain(incident.live(ledger, Permit(planned)), facts, Isolation())

    for egress in (False, True):
        assert intruder.denied(egress=egress).keys() == {"203.0.113.9/32", f"{C2}/32"}
        assert intruder.denied(egress=egress)["203.0.113.9/32"] == 1
    incident.undo(ledger)
    assert intruder.denied(egress=False) == {"203.0.113.9/32": 1}
    assert intruder.denied(egress=True) == {"203.0.113.9/32": 1}


def test_room_that_other_incidents_take_first_is_no_failure_but_said(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    planned = incident.plan(IsolateInstance, world.victim)
    facts = incident.target(IsolateInstance, world.victim)
    for number in range(19):
        intruder.denies(f"203.0.113.{number}/32", 2 + number, egress=True)
    ledger = MemoryLedger()

    IsolateInstance().contain(incident.live(ledger, Permit(planned)), facts, Isolation())

    assert f"{C2}/32" in intruder.denied(egress=False)
    assert f"{C2}/32" not in intruder.denied(egress=True)
    assert any(f"traffic to {C2}/32 is not denied" in text for text in ledger.warnings)
    incident.verify(IsolateInstance, world.victim)


def test_until_all_are_isolated_nothing_is_read_but_the_new_groups_rules(
    incident: Incident, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    permit = Permit(incident.plan(IsolateInstance, world.victim))
    facts = incident.target(IsolateInstance, world.victim)
    simulated_aws.calls.clear()

    IsolateInstance().contain(incident.live(MemoryLedger(), permit), facts, Isolation())

    made = [call.operation for call in simulated_aws.calls if call.service == "ec2"]
    swapped = max(n for n, name in enumerate(made) if name == "ModifyNetworkInterfaceAttribute")
    assert [name for name in made[:swapped] if name.startswith("Describe")] == [
        "DescribeSecurityGroupRules"
    ]
    assert sorted(name for name in made[swapped:] if name.startswith("Describe")) == [
        "DescribeNetworkAcls",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroupRules",
    ]


def test_a_group_that_is_right_is_not_read_again_and_nothing_at_all_once_isolated(
    incident: Incident, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    incident.run(IsolateInstance, world.ids["standalone"])
    for expected in (["DescribeNetworkInterfaces"], []):
        permit = Permit(incident.plan(IsolateInstance, world.victim))
        facts = incident.target(IsolateInstance, world.victim)
        simulated_aws.calls.clear()

        IsolateInstance().contain(incident.live(MemoryLedger(), permit), facts, Isolation())

        reads = [call.operation for call in simulated_aws.calls if not call.changes]
        assert [name for name in reads if name != "GetCallerIdentity"] == expected


def test_both_families_of_default_egress_are_revoked(
    incident: Incident, simulated_aws: SimulatedAws, intruder: Intruder, world: WorldIds
) -> None:
    intruder.ec2.associate_vpc_cidr_block(VpcId=world.ids["vpc"], AmazonProvidedIpv6CidrBlock=True)
    simulated_aws.calls.clear()

    ledger = incident.run(IsolateInstance, world.victim)

    (revoke,) = simulated_aws.calls.of("ec2", "RevokeSecurityGroupEgress")
    assert len(revoke.parameters["SecurityGroupRuleIds"]) == 2
    assert intruder.rules(isolation_group(ledger)) == []


def test_a_group_left_half_made_by_a_crash_of_another_incident_is_found_by_its_tag(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    left = intruder.makes_a_group(
        "some name", {"clampdown:isolation": world.ids["vpc"], "clampdown:incident": "inc-other"}
    )

    ledger = incident.run(IsolateInstance, world.victim)

    assert isolation_group(ledger) == left
    assert intruder.rules(left) == []


def test_a_group_that_another_incident_makes_meanwhile_is_used(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    permit = Permit(incident.plan(IsolateInstance, world.victim))
    facts = incident.target(IsolateInstance, world.victim)
    vpc = world.ids["vpc"]
    theirs = intruder.makes_a_group(f"clampdown-isolation-{vpc}", {"clampdown:isolation": vpc})
    ledger = MemoryLedger()

    IsolateInstance().contain(incident.live(ledger, permit), facts, Isolation())

    assert intruder.groups() == {theirs}
    assert ledger.outcomes[1] == "accepted InvalidGroup.Duplicate"
    incident.verify(IsolateInstance, world.victim)
    incident.undo(ledger)
    assert intruder.groups() == {world.ids["web_group"]}
    assert intruder.rules(theirs) == [], "it serves the other incident, and so stays"


def test_a_group_of_our_name_that_is_not_ours_neither_stops_nor_serves_us(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    theirs = intruder.makes_a_group(f"clampdown-isolation-{world.ids['vpc']}".upper())

    ledger = incident.run(IsolateInstance, world.victim)

    assert theirs not in intruder.groups()
    assert intruder.groups() == {isolation_group(ledger)}
    assert len(intruder.rules(theirs)) == 1, "it is left alone"


def test_a_full_quota_of_groups_is_explained(
    incident: Incident, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    simulated_aws.fault(
        Fault(service="ec2", operation="CreateSecurityGroup", code="SecurityGroupLimitExceeded")
    )

    with pytest.raises(AwsRefused, match="quota") as caught:
        incident.run(IsolateInstance, world.victim)

    assert "Nothing is isolated" in caught.value.advice


def test_an_elastic_ip_is_taken_away_and_comes_back_to_the_same_interface(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    allocated = intruder.ec2.allocate_address(Domain="vpc")
    intruder.ec2.associate_address(
        AllocationId=allocated["AllocationId"], NetworkInterfaceId=world.ids["victim_eni"]
    )

    def public_address() -> str | None:
        (primary,) = intruder.interfaces(DeviceIndex=0)
        found = primary.get("Association", {}).get("PublicIp")
        return str(found) if found else None

    ledger = incident.run(IsolateInstance, world.victim, {"remove_public_address": True})
    assert public_address() is None

    incident.undo(ledger)
    incident.undo(ledger)
    assert public_address() == allocated["PublicIp"]


def test_after_a_crash_in_the_open_minute_it_is_closed_and_undo_never_opens_it_again(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    untrack = {"tracked_connections": "untrack"}

    def dies() -> None:
        raise KeyboardInterrupt

    ledger = Meanwhile("modify_network_interface_attribute", dies)
    with pytest.raises(KeyboardInterrupt):
        incident.run(IsolateInstance, world.victim, untrack, ledger=ledger)
    (opened,) = {*intruder.groups()} - {world.ids["web_group"]}
    assert len(intruder.rules(opened)) >= 2

    incident.run(IsolateInstance, world.victim, untrack, ledger=ledger)

    assert opened not in intruder.groups()
    assert len(intruder.groups()) == 1
    undone = incident.undo(ledger)
    assert intruder.groups() == {world.ids["web_group"]}
    assert all(opened not in str(change.call) for change in undone.intents[:-2])


def test_targets_share_a_group_whichever_comes_first(
    incident: Incident, intruder: Intruder, world: WorldIds
) -> None:
    names = [world.ids["standalone"], world.victim]
    once = Once()
    planned = [incident.plan(IsolateInstance, name, once=once) for name in names]
    facts = incident.targets(IsolateInstance, names)
    assert len(planned[1].changes) < len(planned[0].changes), "the first makes it for both"

    ledger, live = MemoryLedger(), Once()
    for own, other in ((1, 0), (0, 1)):
        permit = Permit(planned[own], [planned[other]])
        IsolateInstance().contain(incident.live(ledger, permit, live), facts[own], Isolation())

    assert actions(ledger.intents).count("CreateSecurityGroup") == 1
    assert {change.undo for change in ledger.intents if isinstance(change.undo, Keep)}
    for name in names:
        incident.verify(IsolateInstance, name)
