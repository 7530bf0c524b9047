"""Load for the service: a fleet of plain instances, bursts of findings about them, and their pouring.

A burst is what EventBridge puts into a queue when much happens at once: findings, updates of them,
the same event once more, all in any order, and what nobody can read in between.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import Request, urlopen

from flows.gameday.aws.guardduty import event_detail
from flows.gameday.aws.instance_findings import InstanceFinding, whole
from flows.gameday.aws.operations import timestamp
from flows.gameday.worlds import ACCOUNT, client

REGION = "eu-west-1"
# Of these the routes of the benchmarks contain by themselves.
_ACTS = (
    "Backdoor:EC2/C&CActivity.B",
    "Backdoor:EC2/DenialOfService.Tcp",
    "CryptoCurrency:EC2/BitcoinTool.B",
)
_ACTED_UPON = ("UnauthorizedAccess:EC2/SSHBruteForce", "Recon:EC2/Portscan")
_LAUNCHED_AT_ONCE = 100
_KNOWN_AT_ONCE = 500


# The fleet


@dataclass(frozen=True)
class Fleet:
    """Plain instances in an account with GuardDuty on: no Auto Scaling group, no load balancer, one
    volume and one network interface each, ``environment`` staging.

    ``instances`` are as DescribeInstances has them, ``detector`` is GuardDuty's.
    """

    url: str
    account: str
    region: str
    detector: str
    instances: tuple[Mapping[str, Any], ...]

    @property
    def ids(self) -> list[str]:
        return [str(instance["InstanceId"]) for instance in self.instances]


def fleet(url: str, instances: int = 200, region: str = REGION) -> Fleet:
    """Build a fleet in a simulated AWS that holds nothing yet."""
    ec2 = client(url, region, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/18", AvailabilityZone=f"{region}a")[
        "Subnet"
    ]["SubnetId"]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    image = ec2.register_image(Name="web", RootDeviceName="/dev/sda1")["ImageId"]
    tags = [{"Key": "environment", "Value": "staging"}, {"Key": "team", "Value": "web"}]
    launched: list[str] = []
    for first in range(0, instances, _LAUNCHED_AT_ONCE):
        count = min(_LAUNCHED_AT_ONCE, instances - first)
        answer = ec2.run_instances(
            ImageId=image,
            InstanceType="m5.large",
            MinCount=count,
            MaxCount=count,
            SubnetId=subnet,
            SecurityGroupIds=[group],
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        launched += [instance["InstanceId"] for instance in answer["Instances"]]
    found = {
        instance["InstanceId"]: instance
        for page in ec2.get_paginator("describe_instances").paginate()
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }
    detector = client(url, region, "guardduty").create_detector(Enable=True)["DetectorId"]
    return Fleet(url, ACCOUNT, region, detector, tuple(found[identity] for identity in launched))


# Bursts


@dataclass(frozen=True)
class Burst:
    """Messages in the order in which they are to be sent.

    ``findings`` are the findings in them as GuardDuty has them, items of GetFindings; ``critical``
    are the instances of those whose severity is 9 and more, and ``malformed`` the messages that
    are none of them.
    """

    messages: tuple[str, ...]
    findings: tuple[Mapping[str, Any], ...]
    critical: frozenset[str]
    malformed: frozenset[str]

    @property
    def instances(self) -> frozenset[str]:
        """The instances that are named."""
        return frozenset(
            finding["Resource"]["InstanceDetails"]["InstanceId"] for finding in self.findings
        )


def findings(
    seed: int,
    of: Fleet,
    *,
    distinct: int | None = None,
    duplicates: int = 0,
    malformed: int = 0,
    criticals: int = 0,
    severities: tuple[float, float] = (7.0, 8.9),
    at: datetime | None = None,
) -> Burst:
    """A burst that follows from the seed, the fleet and ``at``, when it happens (now).

    There are ``distinct`` findings (one for each instance), spread evenly over the instances, and
    of them ``criticals``, on instances of their own, of severity 9 and more; the severities of the
    others are between ``severities``, and below 7 the instance isn't the one that acts. Half of the
    ``duplicates`` are updates: the same finding, newer and counted once more; the other half are
    events that come twice. ``malformed`` are messages that say no finding, each in a way of its own.
    All counts are exact.
    """
    chance = random.Random(f"burst {seed}")
    at = at or datetime.now(UTC)
    count = len(of.instances) if distinct is None else distinct
    order = chance.sample(of.instances, len(of.instances))
    # The first ones are critical: nothing else is found on their instances.
    rest = order[criticals:]
    chosen = [*order[:criticals], *(rest[n % len(rest)] for n in range(count - criticals))]
    found = [
        _Found(of, instance, _severity(chance, number < criticals, severities), at, chance)
        for number, instance in enumerate(chosen)
    ]
    messages = [item.event() for item in found]
    for item in chance.choices(found, k=duplicates // 2):
        item.update()
        messages.append(item.event())
    messages += chance.choices(messages, k=duplicates - duplicates // 2)
    broken = [_broken(number, found[number % count], chance) for number in range(malformed)]
    messages += broken
    chance.shuffle(messages)
    return Burst(
        tuple(messages),
        tuple(item.finding for item in found),
        frozenset(str(instance["InstanceId"]) for instance in order[:criticals]),
        frozenset(broken),
    )


def flood(seed: int, of: Fleet, count: int, at: datetime | None = None) -> Burst:
    """So many findings of low severity, that call for nothing to be done at once."""
    return findings(seed, of, distinct=count, severities=(1.0, 3.9), at=at)


def know(of: Fleet, burst: Burst) -> None:
    """Have GuardDuty have the burst's findings, without any events: these are in the burst."""
    for first in range(0, len(burst.findings), _KNOWN_AT_ONCE):
        known = burst.findings[first : first + _KNOWN_AT_ONCE]
        body = json.dumps({"findings": known, "publish": False}).encode()
        request = Request(f"{of.url}/_clampdown/findings", data=body, method="POST")
        request.add_header("Content-Type", "application/json")
        with urlopen(request):
            continue


def _severity(chance: random.Random, critical: bool, severities: tuple[float, float]) -> float:
    return round(chance.uniform(9.0, 9.9) if critical else chance.uniform(*severities), 1)


class _Found:
    """A finding, as it is updated, and its events."""

    def __init__(
        self,
        of: Fleet,
        instance: Mapping[str, Any],
        severity: float,
        at: datetime,
        chance: random.Random,
    ) -> None:
        self._chance = chance
        acts = severity >= 7
        identity = f"{chance.getrandbits(128):032x}"
        first = at - timedelta(minutes=chance.randint(61, 120), seconds=chance.randint(0, 59))
        said = InstanceFinding(
            instance=str(instance["InstanceId"]),
            type=chance.choice(_ACTS if acts else _ACTED_UPON),
            severity=severity,
            role="ACTOR" if acts else "TARGET",
            remote=f"203.0.113.{chance.randint(1, 254)}",
        )
        finding = whole(said, of.account, instance)
        arn = f"arn:aws:guardduty:{of.region}:{of.account}:detector/{of.detector}"
        self.finding: dict[str, Any] = {
            "SchemaVersion": "2.0",
            **finding,
            "Partition": "aws",
            "Id": identity,
            "Arn": f"{arn}/finding/{identity}",
            "CreatedAt": timestamp(first),
            "UpdatedAt": timestamp(first),
            "Service": {
                "ServiceName": "guardduty",
                "DetectorId": of.detector,
                **finding["Service"],
                "Count": 1,
                "EventFirstSeen": timestamp(first),
                "EventLastSeen": timestamp(first),
            },
        }

    def update(self) -> None:
        """GuardDuty sees it once more."""
        seen = datetime.fromisoformat(self.finding["UpdatedAt"])
        seen += timedelta(seconds=self._chance.randint(5, 300))
        service = self.finding["Service"]
        service["Count"] += 1
        self.finding["UpdatedAt"] = service["EventLastSeen"] = timestamp(seen)

    def document(self) -> dict[str, Any]:
        """An event of it as it is now."""
        sent = datetime.fromisoformat(self.finding["UpdatedAt"]) + timedelta(seconds=2)
        return {
            "version": "0",
            "id": str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            "detail-type": "GuardDuty Finding",
            "source": "aws.guardduty",
            "account": self.finding["AccountId"],
            "time": sent.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self.finding["Region"],
            "resources": [],
            "detail": event_detail(self.finding),
        }

    def event(self) -> str:
        return json.dumps(self.document())


# What is malformed


def _broken(number: int, found: _Found, chance: random.Random) -> str:
    """A message that says no finding; the kinds take turns, and no two messages are the same."""
    spoil = _KINDS[number % len(_KINDS)]
    return spoil(found.document(), chance)


def _truncated(event: dict[str, Any], chance: random.Random) -> str:
    text = json.dumps(event)
    return text[: chance.randint(200, len(text) - 1)]


def _no_json(event: dict[str, Any], chance: random.Random) -> str:
    return f"GuardDuty found something: {event['id']}"


def _no_event(event: dict[str, Any], chance: random.Random) -> str:
    return json.dumps({"id": event["id"], "hello": "world"})


def _no_object(event: dict[str, Any], chance: random.Random) -> str:
    return json.dumps([event["id"]])


def _no_severity(event: dict[str, Any], chance: random.Random) -> str:
    del event["detail"]["severity"]
    return json.dumps(event)


def _severity_in_words(event: dict[str, Any], chance: random.Random) -> str:
    event["detail"]["severity"] = "high"
    return json.dumps(event)


def _not_a_number(event: dict[str, Any], chance: random.Random) -> str:
    event["detail"]["severity"] = math.nan
    return json.dumps(event)


def _no_id(event: dict[str, Any], chance: random.Random) -> str:
    del event["detail"]["id"]
    return json.dumps(event)


def _other_account(event: dict[str, Any], chance: random.Random) -> str:
    event["account"] = "999999999999"
    return json.dumps(event)


def _shell(event: dict[str, Any], chance: random.Random) -> str:
    event["detail"]["resource"]["instanceDetails"]["instanceId"] = "i-0; rm -rf /"
    return json.dumps(event)


def _key_twice(event: dict[str, Any], chance: random.Random) -> str:
    return json.dumps(event).replace('"detail": {', '"detail": {"severity": 0.1, ', 1)


_KINDS: Sequence[Callable[[dict[str, Any], random.Random], str]] = (
    _truncated,
    _no_json,
    _no_event,
    _no_object,
    _no_severity,
    _severity_in_words,
    _not_a_number,
    _no_id,
    _other_account,
    _shell,
    _key_twice,
)


# Pouring


@dataclass
class Pouring:
    """A process of its own that sends the messages of a burst."""

    began: datetime
    _process: subprocess.Popen[str]
    _sent: tuple[datetime, ...] = field(default=(), init=False)

    def wait(self) -> tuple[datetime, ...]:
        """Wait until all is sent; when each of the messages had arrived, in their order.

        Raises RuntimeError where not all of them did.
        """
        if not self._sent:
            answer, _ = self._process.communicate()
            if self._process.returncode:
                raise RuntimeError("the messages could not be sent")
            self._sent = tuple(datetime.fromisoformat(text) for text in json.loads(answer))
        return self._sent

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


def pour(
    url: str, queue_url: str, messages: Iterable[str], seconds: float, region: str = REGION
) -> Pouring:
    """Begin to send messages to a queue of the simulated AWS, evenly over so many seconds."""
    command = [sys.executable, "-m", "benchmarks.burst", url, region, queue_url, str(seconds)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(list(messages)) + "\n")
    process.stdin.flush()
    if process.stdout.readline() != "ready\n":
        process.kill()
        raise RuntimeError("the process that sends messages did not start")
    began = datetime.now(UTC)
    process.stdin.write("go\n")
    process.stdin.flush()
    return Pouring(began, process)


_THREADS = 16
_IN_A_BATCH = 10
_BATCHES_PER_SECOND = 20


def _main(url: str, region: str, queue_url: str, seconds: float) -> None:
    """The process that sends. It is told to go once it is ready."""
    messages: list[str] = json.loads(sys.stdin.readline())
    sqs = client(url, region, "sqs")
    size = max(1, min(_IN_A_BATCH, math.ceil(len(messages) / seconds / _BATCHES_PER_SECOND)))
    batches = [messages[first : first + size] for first in range(0, len(messages), size)]

    def send(number: int) -> list[str]:
        # At the moment at which its first message is due.
        time.sleep(max(0.0, begins + number * size * seconds / len(messages) - time.monotonic()))
        entries = [
            {"Id": str(place), "MessageBody": body} for place, body in enumerate(batches[number])
        ]
        answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        if answer.get("Failed"):
            raise RuntimeError(str(answer["Failed"]))
        return [datetime.now(UTC).isoformat()] * len(entries)

    print("ready", flush=True)
    sys.stdin.readline()
    begins = time.monotonic()
    with ThreadPoolExecutor(_THREADS) as pool:
        sent = [at for batch in pool.map(send, range(len(batches))) for at in batch]
    print(json.dumps(sent))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
