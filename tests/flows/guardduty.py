"""GuardDuty in the simulated AWS, with EventBridge and a queue behind it as a service has them."""

from __future__ import annotations

import json
from typing import Any

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds, client

C2 = "Backdoor:EC2/C&CActivity.B"


class GuardDuty:
    """Finds things, and gives the events as EventBridge delivers them to a queue."""

    def __init__(self, aws: SimulatedAws, world: WorldIds, queue: str = "findings") -> None:
        self.aws = aws
        self.world = world
        self.sqs = self.client("sqs")
        self.queue = self.sqs.create_queue(QueueName=queue)["QueueUrl"]
        arn = f"arn:aws:sqs:{world.region}:{world.account}:{queue}"
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                }
            ],
        }
        self.sqs.set_queue_attributes(
            QueueUrl=self.queue, Attributes={"Policy": json.dumps(policy)}
        )
        events = self.client("events")
        pattern = {"source": ["aws.guardduty"], "detail-type": ["GuardDuty Finding"]}
        events.put_rule(Name="findings", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="findings", Targets=[{"Id": "queue", "Arn": arn}])

    def client(self, service: str) -> Any:
        return client(self.aws.url, self.world.region, service)

    def find(
        self,
        instance: str = "",
        *,
        severity: float = 8.0,
        kind: str = C2,
        role: str = "ACTOR",
        archived: bool = False,
        **more: Any,
    ) -> str:
        """Find something on an instance; its id. An event of it goes to the queue."""
        return self.aws.find(
            {
                "AccountId": self.world.account,
                "Region": self.world.region,
                "Type": kind,
                "Severity": severity,
                "Resource": {
                    "ResourceType": "Instance",
                    "InstanceDetails": {
                        "InstanceId": instance or self.world.victim,
                        "NetworkInterfaces": [],
                        "Tags": [],
                    },
                },
                "Service": {"ResourceRole": role, "Archived": archived},
                **more,
            }
        )

    def event(self, instance: str = "", **more: Any) -> bytes:
        """Find something; the event of it, taken off the queue."""
        self.find(instance, **more)
        [event] = self.events()
        return event

    def events(self) -> list[bytes]:
        """What is in the queue, taken off it."""
        taken: list[bytes] = []
        while messages := self._receive():
            for message in messages:
                taken.append(message["Body"].encode())
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return taken

    def _receive(self) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found


def changed(event: bytes, **fields: Any) -> bytes:
    """The event with other fields in its finding."""
    document = json.loads(event)
    document["detail"] |= fields
    return json.dumps(document).encode()
