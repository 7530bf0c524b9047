"""EKS: which IAM role the pods of a service account have, by Pod Identity associations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.gameday.aws import operations, simulated_time

_PAGE = 100
_ID = 17
# "Each summary is simplified by removing these fields" (PodIdentityAssociationSummary).
_NOT_IN_SUMMARIES = ("roleArn", "createdAt", "modifiedAt", "tags")


def correct() -> None:
    """Have clusters have Pod Identity associations; moto has none."""
    from moto.eks.responses import EKSResponse

    operations.add(
        EKSResponse,
        {
            "CreatePodIdentityAssociation": _create,
            "DescribePodIdentityAssociation": _describe,
            "ListPodIdentityAssociations": _list,
            "UpdatePodIdentityAssociation": _update,
            "DeletePodIdentityAssociation": _delete,
        },
    )


def _associations(response: Any, asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Those of a cluster, by their ids."""
    cluster = response.eks_backend.describe_cluster(asked["clusterName"])
    associations: dict[str, dict[str, Any]] = cluster.__dict__.setdefault("pod_identities", {})
    return associations


def _association(response: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    associations, name = _associations(response, asked), asked["associationId"]
    if name not in associations:
        raise operations.error(
            "ResourceNotFoundException", f"The specified association could not be found: {name}."
        )
    return associations[name]


def _create(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    from moto.moto_api._internal import mock_random

    associations = _associations(response, asked)
    whose = asked["namespace"], asked["serviceAccount"]
    if any((item["namespace"], item["serviceAccount"]) == whose for item in associations.values()):
        raise operations.error(
            "ResourceInUseException",
            "Association already exists: a service account has one in a cluster.",
        )
    name, now = f"a-{mock_random.get_random_hex(_ID)}", simulated_time.now()
    home = f"{response.partition}:eks:{response.region}:{response.current_account}"
    associations[name] = {
        "clusterName": asked["clusterName"],
        "namespace": asked["namespace"],
        "serviceAccount": asked["serviceAccount"],
        "roleArn": asked["roleArn"],
        "associationArn": f"arn:{home}:podidentityassociation/{asked['clusterName']}/{name}",
        "associationId": name,
        "tags": asked.get("tags") or {},
        "createdAt": now,
        "modifiedAt": now,
    }
    return {"association": associations[name]}


def _describe(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    return {"association": _association(response, asked)}


def _list(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    summaries = [
        {name: value for name, value in item.items() if name not in _NOT_IN_SUMMARIES}
        for item in _associations(response, asked).values()
        if asked.get("namespace") in (None, item["namespace"])
        and asked.get("serviceAccount") in (None, item["serviceAccount"])
    ]
    found, following = operations.page(
        summaries,
        asked.get("maxResults") or _PAGE,
        asked.get("nextToken"),
        bad_token=operations.error("InvalidParameterException", "The nextToken is not valid."),
    )
    return {"associations": found, **({"nextToken": following} if following else {})}


def _update(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    association = _association(response, asked)
    association.update(
        roleArn=asked.get("roleArn") or association["roleArn"], modifiedAt=simulated_time.now()
    )
    return {"association": association}


def _delete(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    association = _association(response, asked)
    return {"association": _associations(response, asked).pop(association["associationId"])}
