"""What all calls of the EC2 API have in common: dry runs, client tokens and pages."""

from __future__ import annotations

import json
from typing import Any

from flows.gameday.aws.errors import ec2_error

# The operations that have pages, with the member that is paged; and for those that don't let
# MaxResults be combined with ids, the parameter of these (EC2 API Reference).
_PAGED = {
    "describe_iam_instance_profile_associations": ("IamInstanceProfileAssociations", None),
    "describe_instance_status": ("InstanceStatuses", "InstanceIds"),
    "describe_instances": ("Reservations", "InstanceIds"),
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


def correct() -> None:
    """Have dry runs change nothing, client tokens make a repeated call the same, and pages."""
    _dry_runs_and_tokens()
    _pages()


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


def _pages() -> None:
    from moto.ec2.responses import EC2Response

    for operation, (member, ids) in _PAGED.items():
        setattr(EC2Response, operation, _paged(getattr(EC2Response, operation), member, ids))


def _paged(describe: Any, member: str, ids: str | None) -> Any:
    def described(self: Any) -> Any:
        from moto.core.responses import ActionResult

        limit, token = self._get_param("MaxResults"), self._get_param("NextToken")
        if limit is not None and ids is not None and self._get_param(ids):
            # "You cannot specify this parameter and the … IDs parameter in the same request."
            raise ec2_error(
                "InvalidParameterCombination", f"The parameter {ids} cannot be used with MaxResults"
            )
        if limit is not None and int(limit) < _LEAST:
            raise ec2_error(
                "InvalidParameterValue", f"Value ( {limit} ) for parameter maxResults is invalid."
            )
        for name in ("MaxResults", "NextToken"):
            self.params.pop(name, None)
        answer = describe(self).result
        everything = list(answer[member])
        start = 0 if token is None else _offset(token, len(everything))
        end = len(everything) if limit is None else start + int(limit)
        left = str(end) if end < len(everything) else None
        return ActionResult({**answer, member: everything[start:end], "NextToken": left})

    return described


def _offset(token: str, count: int) -> int:
    if not token.isdecimal() or int(token) > count:
        raise ec2_error("InvalidNextToken", "The specified token is not valid.")
    return int(token)


def _mismatch() -> Exception:
    return ec2_error(
        "IdempotentParameterMismatch",
        "The client token you have provided is associated with a request with other parameters.",
    )
