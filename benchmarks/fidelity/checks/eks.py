"""EKS: clusters, node groups, access entries and Pod Identity associations."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import ACCOUNT_ID, Account
from benchmarks.fidelity.verdicts import Verdicts, check
from benchmarks.fidelity.waiting import LONG, SHORT, until

_ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/app-role"


def _cluster(account: Account, name: str = "k") -> Any:
    """Create a cluster; the API."""
    eks = account("eks")
    eks.create_cluster(
        name=name,
        roleArn=_ROLE,
        resourcesVpcConfig={"subnetIds": list(account.ids.subnets)},
    )
    return eks


@check("eks", "clusters and node groups")
def _clusters(account: Account, seen: Verdicts) -> None:
    account.configure(provision_seconds=LONG)
    eks = _cluster(account, "slow")

    def create_nodes(cluster: str) -> Any:
        return eks.create_nodegroup(
            clusterName=cluster,
            nodegroupName="n",
            subnets=list(account.ids.subnets),
            nodeRole=_ROLE,
        )

    def status(cluster: str) -> str:
        return str(eks.describe_cluster(name=cluster)["cluster"]["status"])

    seen.holds("a cluster is created", status("slow") == "CREATING", status("slow"))
    seen.refused(
        "nodes before it is active",
        ("InvalidRequestException", "ResourceInUseException"),
        lambda: create_nodes("slow"),
    )
    account.configure(provision_seconds=SHORT)
    _cluster(account)
    seen.holds("then it is active", until(lambda: status("k") == "ACTIVE"), status("k"))
    seen.refused(
        "a second cluster of that name", "ResourceInUseException", lambda: _cluster(account)
    )
    seen.done("nodes are created", lambda: create_nodes("k"))
    seen.done(
        "nodes are scaled to none",
        lambda: eks.update_nodegroup_config(
            clusterName="k",
            nodegroupName="n",
            scalingConfig={"minSize": 0, "desiredSize": 0, "maxSize": 1},
        ),
    )
    seen.done(
        "its endpoint is made private",
        lambda: eks.update_cluster_config(
            name="k", resourcesVpcConfig={"endpointPublicAccess": False}
        ),
    )
    seen.refused(
        "an unknown cluster",
        "ResourceNotFoundException",
        lambda: eks.describe_cluster(name="gone"),
    )


@check("eks", "access entries")
def _entries(account: Account, seen: Verdicts) -> None:
    eks = _cluster(account)
    whose = {"clusterName": "k", "principalArn": _ROLE}
    mode = eks.describe_cluster(name="k")["cluster"].get("accessConfig", {})
    seen.holds(
        "by default a cluster uses its config map",
        mode.get("authenticationMode") == "CONFIG_MAP",
        mode,
    )
    seen.refused(
        "an access entry in such a cluster",
        "InvalidRequestException",
        lambda: eks.create_access_entry(**whose),
    )
    seen.done(
        "the cluster is told to use access entries",
        lambda: eks.update_cluster_config(
            name="k", accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"}
        ),
    )
    seen.refused(
        "telling it not to any more",
        ("InvalidParameterException", "InvalidRequestException"),
        lambda: eks.update_cluster_config(
            name="k", accessConfig={"authenticationMode": "CONFIG_MAP"}
        ),
    )
    seen.done("an access entry is created", lambda: eks.create_access_entry(**whose))
    listed = eks.list_access_entries(clusterName="k")["accessEntries"]
    seen.holds("it is listed", _ROLE in listed, listed)
    described = eks.describe_access_entry(**whose)["accessEntry"]
    seen.holds("it is described", described["principalArn"] == _ROLE, described)
    seen.refused(
        "a second one for the same principal",
        "ResourceInUseException",
        lambda: eks.create_access_entry(**whose),
    )
    seen.done("it is deleted", lambda: eks.delete_access_entry(**whose))
    seen.refused(
        "what was deleted",
        "ResourceNotFoundException",
        lambda: eks.describe_access_entry(**whose),
    )


@check("eks", "Pod Identity associations")
def _pod_identities(account: Account, seen: Verdicts) -> None:
    eks = _cluster(account)
    listed = seen.done(
        "they are listed", lambda: eks.list_pod_identity_associations(clusterName="k")
    )
    seen.holds("at first there is none", listed == {**(listed or {}), "associations": []}, listed)
    whose = {"namespace": "default", "serviceAccount": "web", "roleArn": _ROLE}
    created = seen.done(
        "one is created", lambda: eks.create_pod_identity_association(clusterName="k", **whose)
    )
    if created is None:
        return
    name = created["association"]["associationId"]
    (summary,) = eks.list_pod_identity_associations(clusterName="k")["associations"]
    seen.holds("a summary doesn't name the role", "roleArn" not in summary, summary)
    described = eks.describe_pod_identity_association(clusterName="k", associationId=name)
    role = described["association"]["roleArn"]
    seen.holds("the description names the role", role == _ROLE, role)
    seen.done(
        "one is deleted",
        lambda: eks.delete_pod_identity_association(clusterName="k", associationId=name),
    )
    seen.refused(
        "what was deleted",
        "ResourceNotFoundException",
        lambda: eks.describe_pod_identity_association(clusterName="k", associationId=name),
    )
