from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused, until

Client = Callable[[str], Any]
ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"


@pytest.fixture
def eks(aws: Client) -> Any:
    return aws("eks")


@pytest.fixture
def role(world: WorldIds) -> str:
    return f"arn:aws:iam::{world.account}:role/teams/payments"


def _cluster(eks: Any, world: WorldIds, name: str = "web", **more: Any) -> str:
    eks.create_cluster(
        name=name,
        roleArn=f"arn:aws:iam::{world.account}:role/cluster",
        resourcesVpcConfig={"subnetIds": []},
        **more,
    )
    return name


@pytest.fixture
def cluster(eks: Any, world: WorldIds) -> str:
    """A cluster that uses access entries."""
    return _cluster(eks, world, accessConfig={"authenticationMode": "API"})


def test_access_entries_are_made_changed_and_deleted(eks: Any, cluster: str, role: str) -> None:
    whose = {"clusterName": cluster, "principalArn": role}
    made = eks.create_access_entry(**whose, kubernetesGroups=["developers"])["accessEntry"]

    assert (made["principalArn"], made["type"]) == (role, "STANDARD")
    assert eks.list_access_entries(clusterName=cluster)["accessEntries"] == [role]
    with refused("ResourceInUseException"):
        eks.create_access_entry(**whose)

    eks.update_access_entry(**whose, kubernetesGroups=[])
    assert eks.describe_access_entry(**whose)["accessEntry"]["kubernetesGroups"] == []

    eks.delete_access_entry(**whose)
    assert eks.list_access_entries(clusterName=cluster)["accessEntries"] == []
    with refused("ResourceNotFoundException"):
        eks.describe_access_entry(**whose)


def test_access_policies_are_associated_and_taken_away(eks: Any, cluster: str, role: str) -> None:
    whose = {"clusterName": cluster, "principalArn": role}
    eks.create_access_entry(**whose)

    eks.associate_access_policy(**whose, policyArn=ADMIN, accessScope={"type": "cluster"})

    [policy] = eks.list_associated_access_policies(**whose)["associatedAccessPolicies"]
    assert (policy["policyArn"], policy["accessScope"]["type"]) == (ADMIN, "cluster")
    listed = eks.list_access_entries(clusterName=cluster, associatedPolicyArn=ADMIN)
    assert listed["accessEntries"] == [role]

    eks.disassociate_access_policy(**whose, policyArn=ADMIN)
    assert eks.list_associated_access_policies(**whose)["associatedAccessPolicies"] == []
    with refused("ResourceNotFoundException"):
        eks.disassociate_access_policy(**whose, policyArn=ADMIN)


def test_a_cluster_that_uses_the_config_map_has_no_access_entries(
    eks: Any, world: WorldIds, role: str
) -> None:
    cluster = _cluster(eks, world, "old")

    described = eks.describe_cluster(name=cluster)["cluster"]
    assert described["accessConfig"]["authenticationMode"] == "CONFIG_MAP"
    with refused("InvalidRequestException"):
        eks.create_access_entry(clusterName=cluster, principalArn=role)


def test_access_entries_come_back_with_what_is_remembered(
    eks: Any, cluster: str, role: str, simulated_aws: SimulatedAws
) -> None:
    eks.create_access_entry(clusterName=cluster, principalArn=role)
    memory = simulated_aws.remember()
    eks.delete_access_entry(clusterName=cluster, principalArn=role)

    simulated_aws.recall(memory)

    assert eks.list_access_entries(clusterName=cluster)["accessEntries"] == [role]


def test_a_cluster_is_created_before_it_is_active(
    eks: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    def status(name: str) -> str:
        return str(eks.describe_cluster(name=name)["cluster"]["status"])

    simulated_aws.configure(provision_seconds=60)
    _cluster(eks, world, "slow")
    assert status("slow") == "CREATING"

    simulated_aws.configure(provision_seconds=0.05)
    _cluster(eks, world, "quick")
    until(lambda: status("quick") == "ACTIVE")


def test_a_cluster_comes_to_use_access_entries_and_goes_no_way_back(
    eks: Any, world: WorldIds, role: str
) -> None:
    def change(mode: str) -> Any:
        return eks.update_cluster_config(name="old", accessConfig={"authenticationMode": mode})

    _cluster(eks, world, "old")
    with refused("InvalidParameterException"):
        change("API")

    assert change("API_AND_CONFIG_MAP")["update"]["type"] == "AccessConfigUpdate"

    eks.create_access_entry(clusterName="old", principalArn=role)
    with refused("InvalidParameterException"):
        change("CONFIG_MAP")
    change("API")
    assert eks.list_access_entries(clusterName="old")["accessEntries"] == [role]
