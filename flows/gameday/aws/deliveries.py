"""What AWS's services deliver by themselves: only to those whose policy, or whose role, lets them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.gameday.aws.authorization.conditions import MalformedPolicy
from flows.gameday.aws.authorization.evaluation import Policies, decide
from flows.gameday.aws.authorization.policy import Asked, Policy, Principal
from flows.gameday.aws.authorization.principals import Caller, role_caller
from flows.gameday.aws.authorization.resource_policies import policy_of
from flows.gameday.aws.authorization.resources import Resource

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sender:
    """An AWS service (``events.amazonaws.com``) that delivers what one of its resources has.

    ``source`` is the ARN of that resource: a rule, a topic, an alarm. ``role`` is the ARN of the role
    in which it delivers, if it was given one. ``context`` are more condition keys, in lower case.
    """

    service: str
    source: str
    role: str = ""
    context: Mapping[str, str] = field(default_factory=dict)

    def may(self, action: str, target: str) -> bool:
        """Whether it may do this to the target, which is named by its ARN.

        A queue's or topic's policy must let EventBridge send to it, unless a role does (EventBridge
        User Guide, "Using resource-based policies"), and a queue's must let SNS (SNS Developer
        Guide, "Fanout to Amazon SQS queues"). What may not be delivered is dropped; who caused it
        isn't told.
        """
        caller = self._caller()
        if caller is not None:
            resource = Resource(target, target.split(":")[4])
            asked = Asked(action, target, caller.principal, caller.context)
            policies = Policies(
                caller.identity,
                caller.boundary,
                resource=_policy(action, resource),
                owner=resource.account,
            )
            if decide(asked, policies).allowed:
                return True
        _LOG.warning("%s may not do %s to %s: dropped", self.role or self.source, action, target)
        return False

    def may_send(self, queue: Any) -> bool:
        """Whether it may send to this queue, which may be encrypted by a key of KMS.

        Then the key's policy must let it "kms:GenerateDataKey" and "kms:Decrypt"; that of AWS's own
        key for SQS can't be changed (SQS Developer Guide, "Configure KMS permissions for AWS
        services").
        """
        if not self.may("sqs:SendMessage", queue.queue_arn):
            return False
        key = _key_of(queue)
        if key is None:
            return not queue.kms_master_key_id
        return all(self.may(f"kms:{action}", key.arn) for action in ("GenerateDataKey", "Decrypt"))

    def _caller(self) -> Caller | None:
        """The role's session, or the service itself; None where there is no such role."""
        if self.role:
            return role_caller(self.role, self.service)
        keys = {
            "aws:principalisawsservice": "true",
            "aws:sourceaccount": self.source.split(":")[4],
            "aws:sourcearn": self.source,
            **self.context,
        }
        context = {key: (value,) for key, value in keys.items()}
        return Caller(Principal(service=self.service), context=context)


def _key_of(queue: Any) -> Any:
    """The key that a queue is encrypted by, None where there is none of that name."""
    from moto.kms.models import kms_backends

    if not queue.kms_master_key_id:
        return None
    # An ARN, an id, or an alias.
    name = queue.kms_master_key_id.rsplit(":key/", 1)[-1]
    name = "alias/" + name.rsplit(":alias/", 1)[-1] if ":alias/" in name else name
    keys = kms_backends[queue.account_id][queue.region].keys.values()
    return next((key for key in keys if name == key.id or name in key.aliases), None)


def _policy(action: str, resource: Resource) -> Policy | None:
    try:
        return policy_of(action, resource).policy
    except MalformedPolicy:
        return None
