"""What all calls of the EC2 API have in common: dry runs and client tokens."""

from __future__ import annotations

import json
from typing import Any

from flows.gameday.aws.errors import ec2_error


def correct() -> None:
    """Have dry runs change nothing, and client tokens make a repeated call the same call."""
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


def _mismatch() -> Exception:
    return ec2_error(
        "IdempotentParameterMismatch",
        "The client token you have provided is associated with a request with other parameters.",
    )
