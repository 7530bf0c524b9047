"""SNS: what reaches subscribed queues, and subscriptions that somebody has yet to confirm."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from flows.gameday.aws.deliveries import Sender

# Whom SNS asks, by a message, whether they want to be subscribed (Subscribe, "Endpoint"). Nobody
# here reads it.
_ASKED = ("email", "email-json", "http", "https")


def correct() -> None:
    """Have queues' policies be respected, and subscriptions be pending until they are confirmed."""
    _queues()
    _confirmations()


def _queues() -> None:
    from moto.sns.models import Subscription
    from moto.sqs.models import sqs_backends

    publish = Subscription.publish

    def published(self: Any, *arguments: Any, **named: Any) -> None:
        if self.protocol in _ASKED:
            return
        if self.protocol != "sqs":
            publish(self, *arguments, **named)
            return
        _, _, _, region, account, name = self.endpoint.split(":")
        queue = sqs_backends[account][region].queues.get(name)
        sender = Sender("sns.amazonaws.com", self.topic.arn)
        if queue is None or not sender.may_send(queue):
            return
        # moto looks for the queue in the account of who subscribed it.
        subscriber, self.account_id = self.account_id, account
        try:
            publish(self, *arguments, **named)
        finally:
            self.account_id = subscriber

    Subscription.publish = published
    # SNS signs with a key of its own; moto makes one for each subscription, which takes time.
    Subscription.private_key = lambda self: _signing_key()


@cache
def _signing_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def _confirmations() -> None:
    from moto.core.responses import ActionResult
    from moto.sns.models import SNSBackend
    from moto.sns.responses import SNSResponse

    subscribe = SNSBackend.subscribe

    def subscribed(self: Any, topic_arn: str, endpoint: str, protocol: str) -> Any:
        subscription = subscribe(self, topic_arn, endpoint, protocol)
        if protocol in _ASKED:
            subscription.attributes["PendingConfirmation"] = True
            subscription.attributes["ConfirmationWasAuthenticated"] = False
        return subscription

    SNSBackend.subscribe = subscribed

    answer = SNSResponse.subscribe

    def answered(self: Any) -> Any:
        result = answer(self)
        # "If the API request parameter ReturnSubscriptionArn is true, then the value is always the
        # subscription ARN, even if the subscription requires confirmation" (Subscribe).
        asked_for = str(self._get_param("ReturnSubscriptionArn")).lower() == "true"
        if self._get_param("Protocol") in _ASKED and not asked_for:
            return ActionResult({"SubscriptionArn": "pending confirmation"})
        return result

    SNSResponse.subscribe = answered
    for name in ("list_subscriptions", "list_subscriptions_by_topic"):
        setattr(SNSResponse, name, _listed(getattr(SNSResponse, name)))


def _listed(method: Any) -> Any:
    from moto.core.responses import ActionResult

    def listed(self: Any) -> Any:
        found = method(self).result
        return ActionResult({**found, "Subscriptions": [_said(s) for s in found["Subscriptions"]]})

    return listed


def _said(subscription: Any) -> Mapping[str, Any]:
    """A subscription as lists have it: what is pending has no ARN there."""
    pending = subscription.attributes["PendingConfirmation"]
    return {
        "SubscriptionArn": "PendingConfirmation" if pending else subscription.arn,
        "Owner": subscription.owner,
        "Protocol": subscription.protocol,
        "Endpoint": subscription.endpoint,
        "TopicArn": subscription.topic_arn,
    }
