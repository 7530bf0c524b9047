"""Accounts are read into world files, and built from them: there and back it is the same."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.network import Flow, open_flow, read_network
from flows.gameday.worlds import (
    AccountWorld,
    Exported,
    WorldIds,
    build,
    client,
    export,
    load_world,
    parse_account,
    state,
)
from runbooks.ec2.isolate import IsolateInstance
from runbooks.errors import InvalidInput
from tests.runbooks.driver import REGION, Incident

BANK = parse_account((Path(__file__).parent / "bank.yaml").read_bytes())


def read(aws: SimulatedAws, around: str = "") -> Exported:
    return export(partial(client, aws.url, REGION), REGION, around=around)


@pytest.fixture
def bank(simulated_aws: SimulatedAws) -> WorldIds:
    return build(BANK, simulated_aws.url)


@pytest.mark.usefixtures("bank")
def test_what_is_built_from_a_world_file_is_read_as_the_same_world_file(
    simulated_aws: SimulatedAws,
) -> None:
    found = read(simulated_aws)

    assert found.world == BANK
    assert found.left_out == ()


@pytest.mark.usefixtures("world")
def test_an_account_that_was_read_is_the_same_after_it_was_built_again(
    simulated_aws: SimulatedAws,
) -> None:
    before = read(simulated_aws).world
    simulated_aws.reset()

    build(parse_account(before.to_yaml().encode()), simulated_aws.url)

    assert read(simulated_aws).world.to_yaml() == before.to_yaml()


@pytest.mark.usefixtures("bank")
def test_reading_changes_nothing(simulated_aws: SimulatedAws) -> None:
    simulated_aws.calls.clear()

    read(simulated_aws)

    assert simulated_aws.calls.changes == []


def test_ids_lead_from_the_names_to_what_was_read(
    simulated_aws: SimulatedAws, bank: WorldIds
) -> None:
    ids = read(simulated_aws).ids

    for name in BANK.instances:
        assert ids[f"instances/{name}"] == bank.ids[f"instances/{name}"]
    assert ids["security_groups/app"] == bank.ids["security_groups/app"]
    assert ids["roles/app"] == bank.ids["roles/app"]


def test_around_an_instance_its_vpc_is_read_and_no_other(
    simulated_aws: SimulatedAws, bank: WorldIds
) -> None:
    found = read(simulated_aws, bank.ids["instances/batch"]).world

    assert set(found.vpcs) == {"batch"}
    assert set(found.instances) == {"batch", "spot"}
    assert set(found.subnets) == {"batch"}
    assert not found.load_balancers
    assert not found.scaling_groups
    assert not found.roles
    with pytest.raises(InvalidInput, match="no instance i-0123"):
        read(simulated_aws, "i-0123")


def test_the_numbers_of_what_has_no_name_do_not_follow_from_ids(
    simulated_aws: SimulatedAws,
) -> None:
    nameless = AccountWorld.model_validate(
        {
            "region": REGION,
            "vpcs": {"x": {"cidr": "10.1.0.0/16"}, "y": {"cidr": "10.0.0.0/16"}},
            "subnets": {
                "p": {"vpc": "x", "cidr": "10.1.1.0/24", "zone": "eu-west-1a"},
                "q": {"vpc": "x", "cidr": "10.1.0.0/24", "zone": "eu-west-1a"},
            },
        }
    )

    def names(seed: int) -> Any:
        simulated_aws.seed = seed
        simulated_aws.reset()
        build(nameless, simulated_aws.url)
        found = read(simulated_aws).world
        vpcs = {name: vpc.cidr for name, vpc in found.vpcs.items()}
        return vpcs | {name: subnet.cidr for name, subnet in found.subnets.items()}

    try:
        assert (
            names(1)
            == names(2)
            == {
                "vpc-1": "10.0.0.0/16",
                "vpc-2": "10.1.0.0/16",
                "subnet-1": "10.1.0.0/24",
                "subnet-2": "10.1.1.0/24",
            }
        )
    finally:
        simulated_aws.seed = 0


def test_the_ids_of_a_world_follow_from_the_seed(simulated_aws: SimulatedAws) -> None:
    def ids(seed: int) -> dict[str, str]:
        simulated_aws.seed = seed
        simulated_aws.reset()
        return build(BANK, simulated_aws.url).ids

    try:
        first, again, other = ids(7), ids(7), ids(8)
    finally:
        simulated_aws.seed = 0

    assert first == again
    assert first.keys() == other.keys()
    assert first["instances/ledger"] != other["instances/ledger"]


def test_what_has_no_form_is_said(simulated_aws: SimulatedAws, bank: WorldIds) -> None:
    ec2 = client(simulated_aws.url, REGION, "ec2")
    tgw = ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    ec2.create_route(
        RouteTableId=bank.ids["route_tables/private"],
        DestinationCidrBlock="10.77.0.0/16",
        TransitGatewayId=tgw,
    )
    ec2.authorize_security_group_ingress(
        GroupId=bank.ids["security_groups/app"],
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "UserIdGroupPairs": [
                    {"GroupId": bank.ids["security_groups/default-2"], "UserId": bank.account}
                ],
            }
        ],
    )

    found = read(simulated_aws, bank.ids["instances/ledger"])

    assert any("10.77.0.0/16" in text for text in found.left_out)
    assert any(bank.ids["security_groups/default-2"] in text for text in found.left_out)
    assert "default" in found.world.security_groups


def test_the_twin_behaves_as_the_account_does(simulated_aws: SimulatedAws, bank: WorldIds) -> None:
    def flows(ids: Any) -> list[bool]:
        network = read_network(client(simulated_aws.url, REGION, "ec2"))
        ledger, gateway = ids["instances/ledger"], ids["instances/gateway"]
        wanted = (
            Flow(ledger, "198.51.100.7", port=443),
            Flow(ledger, "198.51.100.7", port=25),
            Flow("198.51.100.7", gateway, port=443),
            Flow("203.0.113.9", ledger, port=22),
            Flow(ids["instances/web-1"], ids["instances/web-2"], port=8080),
        )
        return [open_flow(network, flow).open for flow in wanted]

    before, twin = flows(bank.ids), read(simulated_aws).world
    simulated_aws.reset()

    assert flows(build(twin, simulated_aws.url).ids) == before
    assert before == [True, False, True, False, False]


def test_an_instance_of_a_world_file_is_isolated_and_given_back(
    simulated_aws: SimulatedAws, bank: WorldIds
) -> None:
    before = state(simulated_aws.url, REGION)
    incident = Incident(simulated_aws.url)
    ledger = incident.run(IsolateInstance, bank.ids["instances/ledger"])
    assert state(simulated_aws.url, REGION)["interfaces"] != before["interfaces"]

    incident.undo(ledger)
    incident.close()

    assert state(simulated_aws.url, REGION)["interfaces"] == before["interfaces"]


def test_the_small_world_is_what_it_was_after_a_round_trip(
    simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    twin = read(simulated_aws, world.victim).world

    shipped = load_world("small")
    assert twin.scaling_groups[shipped.group.name].min == shipped.group.min
    devices = {volume.device for instance in twin.instances.values() for volume in instance.volumes}
    assert {volume.device for volume in shipped.victim_data_volumes} <= devices
