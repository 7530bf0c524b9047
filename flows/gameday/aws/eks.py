"""EKS: clusters that take their time, and who may reach their Kubernetes API, by access entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.gameday.aws import operations, settings, simulated_time
from flows.gameday.aws.settings import Taking

_PAGE = 100
_MODES = ("API_AND_CONFIG_MAP", "API")


def correct() -> None:
    """Have clusters be created before they are active, keep their access configuration, and have
    access entries."""
    from moto.core.responses import ActionResult
    from moto.eks.models import Cluster
    from moto.eks.responses import EKSResponse

    make = Cluster.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        self.taking = Taking.now(settings.SETTINGS.provision_seconds)
        # "If you create a cluster by using the EKS API, Amazon Web Services SDKs, or
        # CloudFormation, the default is CONFIG_MAP" (CreateAccessConfigRequest).
        self.access_config = {"authenticationMode": "CONFIG_MAP"}
        make(self, *arguments, **named)

    Cluster.__init__ = __init__
    Cluster.status = property(
        lambda cluster: "ACTIVE" if cluster.taking.over else "CREATING",
        lambda cluster, value: None,
    )

    create = EKSResponse.create_cluster

    def create_cluster(self: Any) -> Any:
        answer = create(self)
        mode = (self._get_param("accessConfig") or {}).get("authenticationMode")
        if mode is not None:
            answer.result["cluster"].access_config = {"authenticationMode": mode}
        return answer

    EKSResponse.create_cluster = create_cluster

    update = EKSResponse.update_cluster_config

    def update_cluster_config(self: Any) -> Any:
        cluster = self.eks_backend.describe_cluster(self._get_param("name"))
        wanted = (self._get_param("accessConfig") or {}).get("authenticationMode")
        if wanted is None:
            return update(self)
        return ActionResult({"update": _change_mode(cluster, wanted)})

    EKSResponse.update_cluster_config = update_cluster_config

    operations.add(
        EKSResponse,
        {
            "CreateAccessEntry": _create_access_entry,
            "DescribeAccessEntry": _describe_access_entry,
            "ListAccessEntries": _list_access_entries,
            "UpdateAccessEntry": _update_access_entry,
            "DeleteAccessEntry": _delete_access_entry,
            "AssociateAccessPolicy": _associate_access_policy,
            "DisassociateAccessPolicy": _disassociate_access_policy,
            "ListAssociatedAccessPolicies": _list_associated_access_policies,
        },
    )


def _change_mode(cluster: Any, mode: str) -> Mapping[str, Any]:
    """ "You can't change the authentication mode back to a mode that removes the EKS API and access
    entries" (EKS User Guide, "Change authentication mode"); it goes on by one mode at a time."""
    from moto.moto_api._internal import mock_random

    before, order = cluster.access_config["authenticationMode"], ("CONFIG_MAP", *_MODES)
    if order.index(mode) - order.index(before) != 1:
        raise operations.error(
            "InvalidParameterException",
            f"Unsupported authentication mode update from {before} to {mode}",
        )
    cluster.access_config = {"authenticationMode": mode}
    return {
        "id": str(mock_random.uuid4()),
        "status": "InProgress",
        "type": "AccessConfigUpdate",
        "params": [{"type": "AuthenticationMode", "value": mode}],
        "createdAt": simulated_time.now(),
        "errors": [],
    }


def _entries(response: Any, asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The access entries of a cluster by principal; each has its policies beside what is said of
    it."""
    cluster = response.eks_backend.describe_cluster(asked["clusterName"])
    if cluster.access_config["authenticationMode"] not in _MODES:
        # Entries are for clusters that use them (EKS User Guide, "Setting up access entries").
        raise operations.error(
            "InvalidRequestException",
            "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to "
            "perform this operation.",
        )
    entries: dict[str, dict[str, Any]] = cluster.__dict__.setdefault("access_entries", {})
    return entries


def _entry(response: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    entries, principal = _entries(response, asked), asked["principalArn"]
    if principal not in entries:
        raise operations.error(
            "ResourceNotFoundException",
            f"The specified principalArn could not be found: {principal}.",
        )
    return entries[principal]


def _create_access_entry(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    from moto.moto_api._internal import mock_random

    entries, principal = _entries(response, asked), asked["principalArn"]
    if principal in entries:
        raise operations.error(
            "ResourceInUseException",
            "The specified access entry resource is already in use on this cluster.",
        )
    parts, now = principal.split(":"), simulated_time.now()
    account, (kind, _, name) = parts[4], parts[5].partition("/")
    home = f"{response.partition}:eks:{response.region}:{response.current_account}"
    entries[principal] = {
        "clusterName": asked["clusterName"],
        "principalArn": principal,
        "kubernetesGroups": asked.get("kubernetesGroups") or [],
        "accessEntryArn": f"arn:{home}:access-entry/{asked['clusterName']}/{kind}/{account}/"
        f"{name}/{mock_random.uuid4()}",
        "createdAt": now,
        "modifiedAt": now,
        "tags": asked.get("tags") or {},
        "username": asked.get("username") or principal,
        "type": asked.get("type") or "STANDARD",
        "policies": {},
    }
    return {"accessEntry": entries[principal]}


def _describe_access_entry(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    return {"accessEntry": _entry(response, asked)}


def _list_access_entries(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    policy = asked.get("associatedPolicyArn")
    found = [
        principal
        for principal, entry in _entries(response, asked).items()
        if policy is None or policy in entry["policies"]
    ]
    return _paged("accessEntries", found, asked)


def _update_access_entry(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    entry = _entry(response, asked)
    for name in ("kubernetesGroups", "username"):
        if asked.get(name) is not None:
            entry[name] = asked[name]
    entry["modifiedAt"] = simulated_time.now()
    return {"accessEntry": entry}


def _delete_access_entry(response: Any, asked: dict[str, Any]) -> None:
    _entry(response, asked)
    del _entries(response, asked)[asked["principalArn"]]


def _associate_access_policy(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    entry, now = _entry(response, asked), simulated_time.now()
    known = entry["policies"].get(asked["policyArn"], {"associatedAt": now})
    entry["policies"][asked["policyArn"]] = {
        **known,
        "policyArn": asked["policyArn"],
        "accessScope": asked["accessScope"],
        "modifiedAt": now,
    }
    return {
        "clusterName": asked["clusterName"],
        "principalArn": asked["principalArn"],
        "associatedAccessPolicy": entry["policies"][asked["policyArn"]],
    }


def _disassociate_access_policy(response: Any, asked: dict[str, Any]) -> None:
    policies = _entry(response, asked)["policies"]
    if policies.pop(asked["policyArn"], None) is None:
        raise operations.error(
            "ResourceNotFoundException", f"The policy {asked['policyArn']} is not associated."
        )


def _list_associated_access_policies(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    policies = list(_entry(response, asked)["policies"].values())
    return {
        "clusterName": asked["clusterName"],
        "principalArn": asked["principalArn"],
        **_paged("associatedAccessPolicies", policies, asked),
    }


def _paged(name: str, items: list[Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    found, following = operations.page(
        items,
        asked.get("maxResults") or _PAGE,
        asked.get("nextToken"),
        bad_token=operations.error("InvalidParameterException", "The nextToken is not valid."),
    )
    return {name: found, **({"nextToken": following} if following else {})}
