"""What all calls of the EC2 API have in common: dry runs, client tokens, filters and pages."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any

from flows.gameday.aws.errors import ec2_error

# The operations that have pages, with the member that is paged; and for those that don't let
# MaxResults be combined with ids, the parameter of these (EC2 API Reference).
_PAGED = {
    "describe_iam_instance_profile_associations": ("IamInstanceProfileAssociations", None),
    "describe_instance_status": ("InstanceStatuses", "InstanceIds"),
    "describe_network_acls": ("NetworkAcls", None),
    "describe_network_interfaces": ("NetworkInterfaces", "NetworkInterfaceIds"),
    "describe_security_group_rules": ("SecurityGroupRules", None),
    "describe_security_groups": ("SecurityGroups", None),
    "describe_snapshots": ("Snapshots", None),
    "describe_subnets": ("Subnets", None),
    "describe_tags": ("Tags", None),
    "describe_volumes": ("Volumes", "VolumeIds"),
    "describe_vpc_endpoints": ("VpcEndpoints", None),
}
_LEAST = 5
MOST_INSTANCES = 1000
# How the API Reference names a filter: <li> <p> <code>vpc-id</code> - The ID of the VPC.</p> </li>
_FILTER = re.compile(r"<li>\s*<p>\s*<code>([^<]+)</code>")


def correct() -> None:
    """Have dry runs change nothing, client tokens make a repeated call the same, unknown filters
    be refused, and pages."""
    _dry_runs_and_tokens()
    _pages()
    _pages_of_instances()


def _dry_runs_and_tokens() -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.exceptions import DryRunClientError
    from moto.ec2.responses import EC2Response

    call = EC2Response.call_action

    def call_action(self: Any) -> Any:
        # "Checks whether you have the required permissions for the action, without actually making
        # the request, and provides an error response … DryRunOperation" (every EC2 operation).
        # moto carries some of them out.
        if self._get_param("DryRun"):
            return self.serialized(ActionResult(DryRunClientError()))
        unknown = _unknown_filter(self)
        if unknown is not None:
            return self.serialized(ActionResult(_invalid_filter(unknown)))
        token = self._get_param("ClientToken")
        if not token:
            return call(self)
        # "Ensuring idempotency in Amazon EC2 API requests" (EC2 Developer Guide): the same token
        # and parameters give the same answer; other parameters IdempotentParameterMismatch.
        action = self._get_action()
        asked = json.dumps(self.params, sort_keys=True, default=str)
        known = self.ec2_backend.__dict__.setdefault("answers_by_client_token", {})
        if (action, token) in known:
            before, answer = known[action, token]
            if before != asked:
                return self.serialized(ActionResult(_mismatch()))
            return answer
        answer = call(self)
        if answer[0] == 200:
            known[action, token] = (asked, answer)
        return answer

    EC2Response.call_action = call_action


def _unknown_filter(call: Any) -> str | None:
    """The first filter of a call that its operation doesn't have, or None."""
    filters = call._get_param("Filters") or call._get_param("Filter")
    known = _filters_of(call._get_action()) if filters else frozenset()
    if not known:
        return None
    for item in filters:
        name = str(item.get("Name", "null"))
        # "tag:<key>", "tag-key", and "tag-value" of old.
        kind = "tag" if name.startswith("tag") else name
        if kind not in known:
            return name
    return None


@cache
def _filters_of(operation: str) -> frozenset[str]:
    """The filters that the API Reference names of an operation. None, where it names none."""
    from moto.core.utils import get_service_model

    members = get_service_model("ec2").operation_model(operation).input_shape.members
    shape = members.get("Filters") or members.get("Filter")
    names = _FILTER.findall(shape.documentation)
    return frozenset("tag" if name.startswith("tag") else name for name in names)


def _pages() -> None:
    from moto.ec2.responses import EC2Response

    for operation, (member, ids) in _PAGED.items():
        setattr(EC2Response, operation, _paged(getattr(EC2Response, operation), member, ids))


def _paged(describe: Any, member: str, ids: str | None) -> Any:
    def described(self: Any) -> Any:
        from moto.core.responses import ActionResult

        limit, token = _limits(self, ids)
        answer = describe(self).result
        page, left = _page(list(answer[member]), limit, token)
        return ActionResult({**answer, member: page, "NextToken": left})

    return described


def _pages_of_instances() -> None:
    from moto.ec2.responses import EC2Response

    # "The maximum number of items to return" are instances, not reservations (DescribeInstances); a
    # reservation may go on in the next page. moto gives 100 reservations at most.
    def describe_instances(self: Any) -> Any:
        from moto.core.responses import ActionResult

        limit, token = _limits(self, "InstanceIds")
        filters, ids = self._filters_from_querystring(), self._get_param("InstanceIds", [])
        if ids:
            found = self.ec2_backend.get_reservations_by_instance_ids(ids, filters=filters)
        else:
            found = self.ec2_backend.describe_instances(filters=filters)
            limit = MOST_INSTANCES if limit is None else min(limit, MOST_INSTANCES)
        everything = [(item, instance) for item in found for instance in item.instances]
        page, left = _page(everything, limit, token)
        return ActionResult({"Reservations": list(_reservations(page)), "NextToken": left})

    EC2Response.describe_instances = describe_instances


def _reservations(page: list[tuple[Any, Any]]) -> Iterator[Any]:
    """The reservations of a page, each with those of its instances that are in the page."""
    for _, items in groupby(page, key=lambda item: item[0].id):
        pairs = list(items)
        reservation = copy.copy(pairs[0][0])
        reservation.instances = [instance for _, instance in pairs]
        yield reservation


def _limits(call: Any, ids: str | None) -> tuple[int | None, str | None]:
    """How many items a call asks for, and from which token on. Both are taken out of the call."""
    limit, token = call._get_param("MaxResults"), call._get_param("NextToken")
    if limit is not None and ids is not None and call._get_param(ids):
        # "You cannot specify this parameter and the … IDs parameter in the same request."
        raise ec2_error(
            "InvalidParameterCombination", f"The parameter {ids} cannot be used with MaxResults"
        )
    if limit is not None and int(limit) < _LEAST:
        raise ec2_error(
            "InvalidParameterValue", f"Value ( {limit} ) for parameter maxResults is invalid."
        )
    for name in ("MaxResults", "NextToken"):
        call.params.pop(name, None)
    return None if limit is None else int(limit), token


def _page(everything: list[Any], limit: int | None, token: str | None) -> tuple[Any, str | None]:
    """One page, and the token of the next one or None."""
    start = 0 if token is None else _offset(token, len(everything))
    end = len(everything) if limit is None else start + limit
    return everything[start:end], str(end) if end < len(everything) else None


def _offset(token: str, count: int) -> int:
    if not token.isdecimal() or int(token) > count:
        raise ec2_error("InvalidNextToken", "The specified token is not valid.")
    return int(token)


def _mismatch() -> Exception:
    return ec2_error(
        "IdempotentParameterMismatch",
        "The client token you have provided is associated with a request with other parameters.",
    )


def _invalid_filter(name: str) -> Exception:
    return ec2_error("InvalidParameterValue", f"The filter '{name}' is invalid")
