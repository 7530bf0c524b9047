from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from tests.flows.gameday.aws.answers import refused

WHOSE = {"namespace": "default", "serviceAccount": "web"}


@pytest.fixture
def eks(aws: Callable[[str], Any], world: WorldIds) -> Any:
    """EKS with a cluster ``k``."""
    client = aws("eks")
    client.create_cluster(name="k", roleArn=role(world, "cluster"), resourcesVpcConfig={})
    return client


def role(world: WorldIds, name: str) -> str:
    return f"arn:aws:iam::{world.account}:role/{name}"


def test_associations_are_made_changed_and_deleted(eks: Any, world: WorldIds) -> None:
    made = eks.create_pod_identity_association(
        clusterName="k", roleArn=role(world, "web"), **WHOSE
    )["association"]
    which = {"clusterName": "k", "associationId": made["associationId"]}
    with refused("ResourceInUseException"):
        eks.create_pod_identity_association(clusterName="k", roleArn=role(world, "b"), **WHOSE)

    eks.update_pod_identity_association(**which, roleArn=role(world, "none"))

    described = eks.describe_pod_identity_association(**which)["association"]
    assert described["roleArn"] == role(world, "none")
    eks.delete_pod_identity_association(**which)
    assert eks.list_pod_identity_associations(clusterName="k")["associations"] == []
    with refused("ResourceNotFoundException"):
        eks.describe_pod_identity_association(**which)


def test_associations_are_found_by_their_service_account(eks: Any, world: WorldIds) -> None:
    for account in ("web", "batch"):
        eks.create_pod_identity_association(
            clusterName="k",
            namespace="default",
            serviceAccount=account,
            roleArn=role(world, account),
        )

    [found] = eks.list_pod_identity_associations(
        clusterName="k", namespace="default", serviceAccount="batch"
    )["associations"]

    assert (found["serviceAccount"], "roleArn" in found) == ("batch", False)


def test_an_unknown_cluster_has_none(eks: Any) -> None:
    with refused("ResourceNotFoundException"):
        eks.list_pod_identity_associations(clusterName="gone")
