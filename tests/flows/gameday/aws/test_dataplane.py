"""What isolation does to a live connection, end to end: the step, the simulated AWS, the data plane.

The rules are those of the EC2 User Guide, "Security group connection tracking", and of the VPC User
Guide, "Network ACL basics".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from flows.gameday.aws.dataplane import NewConnection
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.network import Flow, NotConnected, open_flow, read_network
from flows.gameday.worlds import WorldIds, client
from runbooks.ec2 import isolate
from runbooks.ec2.isolate import IsolateInstance
from tests.runbooks.driver import REGION, Incident

C2 = "198.51.100.7"
UNTRACKED_AFTER = timedelta(milliseconds=200)


@dataclass
class Plane:
    """The small world, and a host of the intruder's on either side of the boundary of the victim's
    subnet."""

    aws: SimulatedAws
    world: WorldIds
    inside: str = ""
    beyond: str = ""

    def __post_init__(self) -> None:
        ec2, ids = self.ec2, self.world.ids
        self.open_group = ec2.create_security_group(
            GroupName="relay", Description="relay", VpcId=ids["vpc"]
        )["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=self.open_group,
            IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        )
        (found,) = ec2.describe_instances(InstanceIds=[self.world.victim])["Reservations"]
        own = found["Instances"][0]["SubnetId"]
        self.inside = self.launch(own)
        self.beyond = self.launch(ids["private_b" if own == ids["private_a"] else "private_a"])

    @property
    def ec2(self) -> Any:
        return client(self.aws.url, REGION, "ec2")

    def launch(self, subnet: str) -> str:
        (launched,) = self.ec2.run_instances(
            ImageId=self.world.ids["image"],
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            SecurityGroupIds=[self.open_group],
        )["Instances"]
        return str(launched["InstanceId"])

    def address(self, instance: str) -> str:
        (found,) = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        return str(found["Instances"][0]["PrivateIpAddress"])

    def connect(self, to: str, source: str = "", **more: Any) -> str:
        wanted = NewConnection(source=source or self.world.victim, destination=to, **more)
        return str(self.aws.connect(wanted)["id"])

    def alive(self, connection: str) -> bool:
        return bool(self.fate(connection)["alive"])

    def fate(self, connection: str) -> dict[str, Any]:
        (found,) = (item for item in self.aws.connections() if item["id"] == connection)
        return found

    def passes(self, source: str, to: str, **more: Any) -> bool:
        return open_flow(read_network(self.ec2), Flow(source, to, **more)).open


@pytest.fixture
def plane(simulated_aws: SimulatedAws, world: WorldIds) -> Plane:
    return Plane(simulated_aws, world)


@pytest.fixture
def incident(world: WorldIds) -> Iterator[Incident]:
    incident = Incident(world.url, remote_addresses=(C2,))
    yield incident
    incident.close()


def isolate_victim(incident: Incident, plane: Plane, tracked: str, **params: Any) -> None:
    incident.run(IsolateInstance, plane.world.victim, {"tracked_connections": tracked, **params})


def test_an_isolation_that_leaves_tracked_connections_leaves_the_command_channel_open(
    incident: Incident, plane: Plane
) -> None:
    command = plane.connect(C2)

    isolate_victim(incident, plane, "leave")

    assert plane.alive(command)
    assert "it is tracked there" in plane.fate(command)["why"]
    with pytest.raises(NotConnected, match="do not let it out"):
        plane.connect(C2)


def test_denying_the_remote_address_cuts_the_command_channel(
    incident: Incident, plane: Plane
) -> None:
    command, other = plane.connect(C2), plane.connect("198.51.100.8")

    isolate_victim(incident, plane, "deny_remote_ips")

    assert not plane.alive(command)
    assert "network ACL" in plane.fate(command)["why"]
    assert plane.alive(other), "the finding did not name that one"


def test_what_was_cut_stays_cut_after_an_undo_and_can_be_made_anew(
    incident: Incident, plane: Plane
) -> None:
    command = plane.connect(C2)
    ledger = incident.run(IsolateInstance, plane.world.victim)

    incident.undo(ledger)

    assert not plane.alive(command)
    assert plane.alive(plane.connect(C2))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, plane: Plane) -> None:
    """The step waits for as long as it takes, which is less than it is in AWS."""
    plane.aws.configure(untrack_seconds=UNTRACKED_AFTER.total_seconds())
    monkeypatch.setattr(isolate, "UNTRACK_WAIT", 2 * UNTRACKED_AFTER)


@pytest.mark.usefixtures("patient")
def test_untracking_cuts_a_direct_connection_and_none_through_a_nat_gateway(
    incident: Incident, plane: Plane
) -> None:
    relayed, command = plane.connect(plane.beyond), plane.connect(C2)
    ping = plane.connect(plane.beyond, protocol="icmp", port=8)

    isolate_victim(incident, plane, "untrack")

    assert not plane.alive(relayed)
    assert "not tracked" in plane.fate(relayed)["why"]
    assert plane.alive(command)
    assert "NAT gateway" in plane.fate(command)["why"]
    assert plane.alive(ping)


def test_untracking_without_waiting_cuts_nothing(
    incident: Incident, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolate, "UNTRACK_WAIT", timedelta(0))
    relayed = plane.connect(plane.beyond)

    isolate_victim(incident, plane, "untrack")

    assert plane.alive(relayed)


def test_a_network_acl_cuts_beyond_the_subnet_and_not_within_it(
    plane: Plane, world: WorldIds
) -> None:
    incident = Incident(
        world.url, remote_addresses=(plane.address(plane.inside), plane.address(plane.beyond))
    )
    within, beyond = plane.connect(plane.inside), plane.connect(plane.beyond)

    isolate_victim(incident, plane, "deny_remote_ips")
    incident.close()

    assert plane.alive(within), plane.fate(within)["why"]
    assert not plane.alive(beyond)


@pytest.mark.parametrize("tracked", ["leave", "deny_remote_ips"])
def test_no_new_flow_passes_an_isolated_instance_but_to_what_nothing_filters(
    incident: Incident, plane: Plane, tracked: str
) -> None:
    victim, private = plane.world.victim, plane.address(plane.world.victim)
    assert plane.passes(victim, C2)
    assert plane.passes(victim, plane.inside)

    isolate_victim(incident, plane, tracked)

    assert not plane.passes(victim, C2)
    assert not plane.passes(victim, C2, protocol="udp", port=53)
    assert not plane.passes(victim, plane.inside)
    assert not plane.passes(plane.inside, private, port=8080)
    assert plane.passes(victim, "169.254.169.254", port=80)
    assert plane.passes(victim, "10.20.0.2", protocol="udp", port=53)


def test_switching_the_metadata_service_off_closes_the_way_to_the_roles_credentials(
    incident: Incident, plane: Plane
) -> None:
    isolate_victim(incident, plane, "leave", disable_imds=True)

    assert not plane.passes(plane.world.victim, "169.254.169.254", port=80)


def test_stopping_an_instance_cuts_what_nothing_else_did(plane: Plane) -> None:
    command = plane.connect(C2, plane.inside)

    plane.ec2.stop_instances(InstanceIds=[plane.inside])

    assert not plane.alive(command)
    assert "not up" in plane.fate(command)["why"]


def test_an_idle_connection_times_out_after_what_its_interface_says(plane: Plane) -> None:
    plane.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=plane.world.ids["victim_eni"],
        ConnectionTrackingSpecification={"TcpEstablishedTimeout": 60},
    )
    eni = read_network(plane.ec2).interfaces[plane.world.ids["victim_eni"]]

    assert eni.timeouts.tcp_established == timedelta(seconds=60)


def test_another_process_connects_and_looks_over_http(plane: Plane) -> None:
    url = f"{plane.aws.url}/_clampdown/connections"

    def post(body: dict[str, Any]) -> Any:
        with urlopen(Request(url, data=json.dumps(body).encode(), method="POST")) as answer:
            return json.load(answer)

    made = post({"from": plane.world.victim, "to": C2, "port": 443, "protocol": "tcp"})
    with urlopen(url) as answer:
        (listed,) = json.load(answer)["connections"]

    assert made["alive"]
    assert (listed["id"], listed["to"], listed["region"]) == (made["id"], C2, REGION)
    with pytest.raises(HTTPError) as refused:
        post({"from": C2, "to": plane.world.victim, "port": 22})
    assert refused.value.code == 400
    assert "takes no connections" in json.load(refused.value)["error"]


def test_looking_at_the_network_is_no_call_and_a_reset_ends_every_connection(
    plane: Plane,
) -> None:
    plane.connect(C2)
    known = len(plane.aws.calls)

    plane.aws.connections()
    assert len(plane.aws.calls) == known

    plane.aws.reset()
    assert plane.aws.connections() == []


def test_ends_that_are_nowhere_are_named(plane: Plane) -> None:
    with pytest.raises(NotConnected, match="neither end"):
        plane.connect(C2, "203.0.113.1")


def test_another_accounts_connections_are_its_own(plane: Plane) -> None:
    import boto3

    other = "210987654321"
    role = client(plane.aws.url, REGION, "sts").assume_role(
        RoleArn=f"arn:aws:iam::{other}:role/clampdown", RoleSessionName="test"
    )["Credentials"]
    session = boto3.Session(
        role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"], REGION
    )
    ec2 = session.client("ec2", endpoint_url=plane.aws.url)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    image = ec2.register_image(Name="other")["ImageId"]
    one, two = (
        ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet)["Instances"][0]
        for _ in range(2)
    )
    # The default group of a VPC lets its members reach each other.
    inside = plane.connect(two["PrivateIpAddress"], one["InstanceId"], account=other)

    assert plane.fate(inside)["account"] == other
    ec2.terminate_instances(InstanceIds=[two["InstanceId"]])
    assert not plane.alive(inside)
