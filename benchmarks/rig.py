"""A service's surroundings: a simulated AWS with a fleet and queues in it, and what it has recorded."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import burst, playbooks
from benchmarks.burst import Burst, Fleet
from benchmarks.sandbox import LATENCY_MS, calls, post, sandbox
from benchmarks.service_process import CLAMPDOWN, Running, running, until
from flows.gameday.worlds import client
from flows.incident import fold
from flows.journal.journal import Journal

_AT_ONCE = {"latency_seconds", "snapshot_seconds", "drain_seconds", "stack_seconds"}
_TURNING_POINTS = {"incident.opened", "incident.asked", "incident.started", "incident.closed"}
_DEPTH = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]


@dataclass(frozen=True)
class Rig:
    """``urgent``, ``ordinary`` and ``dead`` are URLs of queues; ``pid`` is the simulated AWS's.

    ``journal`` is an SQLAlchemy URL. Everything else that a service keeps is in ``directory``.
    """

    fleet: Fleet
    urgent: str
    ordinary: str
    dead: str
    pid: int
    directory: Path
    journal: str

    @property
    def url(self) -> str:
        return self.fleet.url

    def settings(self, **more: str) -> dict[str, str]:
        """The environment of all commands, with ``more`` put over it."""
        return {
            "AWS_REGION": self.fleet.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CLAMPDOWN_HOME": str(self.directory / "home"),
            "CLAMPDOWN_JOURNAL": self.journal,
            "CLAMPDOWN_PLAYBOOKS": str(self.directory / "playbooks.yaml"),
            "CLAMPDOWN_SIMULATE": self.url,
            "CLAMPDOWN_QUEUES": f"{self.urgent},{self.ordinary}",
            "CLAMPDOWN_DEAD_LETTERS": self.dead,
            "CLAMPDOWN_PORT": "0",
            **more,
        }

    @contextmanager
    def serving(self, *options: str, **environment: str) -> Iterator[Running]:
        """``clampdown serve``, ready."""
        command = [*CLAMPDOWN, "serve", "--json", *options]
        log = self.directory / "serve.log"
        with running(command, log, self.settings(**environment)) as service:
            service.wait_until_ready()
            yield service

    @contextmanager
    def working(self, number: int, **environment: str) -> Iterator[Running]:
        """``clampdown worker``, with a home of its own, as on a machine of its own."""
        home = {"CLAMPDOWN_HOME": str(self.directory / f"worker-{number}")}
        log = self.directory / f"worker-{number}.log"
        command = [*CLAMPDOWN, "worker", "--json"]
        with running(command, log, self.settings(**home, **environment)) as worker:
            yield worker

    def slow_down(self) -> None:
        """Have every call take as long as one to AWS does, from now on."""
        post(self.url, "config", {"latency_seconds": LATENCY_MS / 1_000})

    def recording(self, about: Burst) -> Recording:
        """All that was recorded up to now of what a burst has led to."""
        return Recording.read(self.fleet, about, calls(self.url))

    # Queues

    def send(self, message: str, queue: str = "") -> None:
        """Put one message into a queue: the urgent one, if no other is said."""
        self._sqs.send_message(QueueUrl=queue or self.urgent, MessageBody=message)

    def depth(self) -> int:
        """How many messages are in the queues, in anybody's hands or not."""
        count = 0
        for queue in (self.urgent, self.ordinary):
            answer = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=_DEPTH)
            count += sum(int(answer["Attributes"][name]) for name in _DEPTH)
        return count

    def dead_letters(self) -> Counter[str]:
        """The messages in the dead letters, taken off them."""
        found: Counter[str] = Counter()
        take = {"QueueUrl": self.dead, "MaxNumberOfMessages": 10}
        while messages := self._sqs.receive_message(**take).get("Messages"):
            found.update(message["Body"] for message in messages)
        return found

    @property
    def _sqs(self) -> Any:
        return client(self.url, self.fleet.region, "sqs")

    # The journal

    def wait_until_contained(self, about: Burst, within: timedelta) -> None:
        """Wait until nothing is left in the queues, every incident has ended, and each finding was
        decided about. Raises RuntimeError with how far it got."""
        with closing(Journal.open(self.journal)) as journal:

            def through() -> bool:
                # In the order of what they take of the machine.
                return self.depth() == 0 and not _open(journal) and decided(journal) >= _ids(about)

            try:
                until(through, "all to be contained", within.total_seconds(), every=0.5)
            except RuntimeError as error:
                left = len(_ids(about) - decided(journal))
                raise RuntimeError(
                    f"{error}: {left} findings are not decided about, {_open(journal)} incidents "
                    f"are open, {self.depth()} messages are in the queues"
                ) from None

    def closed(self) -> Closed:
        """How the incidents have ended."""
        with closing(Journal.open(self.journal)) as journal:
            incidents = [
                fold(journal.records(chain)) for chain in journal.chains_with("incident.opened")
            ]
            last = max(record.at for record in journal.find(kind="incident.closed"))
            targets = [target.id for incident in incidents for target in incident.targets]
            return Closed(
                Counter(incident.status for incident in incidents),
                next((incident.error for incident in incidents if incident.error), ""),
                Counter(targets),
                decided(journal),
                last,
            )

    def decided_at(self) -> list[datetime]:
        """When something was decided about a finding, each time."""
        with closing(Journal.open(self.journal)) as journal:
            return [record.at for record in journal.find(kind="finding.decided")]


@dataclass(frozen=True)
class Closed:
    """Incidents by their status, what the first that failed says, how many each target has, the
    findings that were decided about, and when the last incident ended."""

    statuses: Counter[str]
    error: str
    by_target: Counter[str]
    decided: frozenset[str]
    at: datetime


def decided(journal: Journal) -> frozenset[str]:
    """The ids of the findings that something was decided about."""
    return frozenset(record.body["id"] for record in journal.find(kind="finding.decided"))


def _open(journal: Journal) -> int:
    last = journal.last_of(_TURNING_POINTS)
    return sum(record.kind != "incident.closed" for record in last)


def _ids(about: Burst) -> frozenset[str]:
    return frozenset(finding["Id"] for finding in about.findings)


@contextmanager
def rig(instances: int, journal: str = "") -> Iterator[Rig]:
    """A simulated AWS in a process of its own with a fleet in it; no call takes time yet.

    ``journal`` is an SQLAlchemy URL; without one the journal is a file here.
    """
    with (
        sandbox(latency_ms=0) as world,
        tempfile.TemporaryDirectory(dir=".", prefix="rig-") as directory,
    ):
        url = world["url"]
        post(url, "reset")
        post(url, "config", dict.fromkeys(_AT_ONCE, 0))
        fleet = burst.fleet(url, instances)
        sqs = client(url, fleet.region, "sqs")
        urgent, ordinary, dead = (
            sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("urgent", "ordinary", "dead")
        )
        where = Path(directory).absolute()
        (where / "home").mkdir()
        playbooks.write(where)
        journal = journal or f"sqlite:///{where / 'home' / 'journal.db'}"
        yield Rig(fleet, urgent, ordinary, dead, world["pid"], where, journal)


# What the simulated AWS has recorded


@dataclass(frozen=True)
class Recording:
    """When what has happened, by the simulated AWS's clock.

    ``sent`` is when the burst's first message about an instance was stored, ``changed`` when the first call
    that changes something of it came in, and ``isolated`` when a change of the groups of its network
    interfaces was carried out, each time.
    """

    sent: Mapping[str, datetime]
    changed: Mapping[str, datetime]
    isolated: Mapping[str, Sequence[datetime]]
    count: int

    @classmethod
    def read(cls, fleet: Fleet, about: Burst, recorded: Sequence[Mapping[str, Any]]) -> Recording:
        instances = _instance_of(fleet)
        events = set(about.messages) - about.malformed
        sent: dict[str, datetime] = {}
        changed: dict[str, datetime] = {}
        isolated: dict[str, list[datetime]] = defaultdict(list)
        for call in recorded:
            at = datetime.fromisoformat(call["at"])
            parameters = call["parameters"]
            if call["service"] == "sqs":
                if call["operation"] in ("SendMessage", "SendMessageBatch"):
                    for body in _bodies(parameters):
                        if body in events:
                            sent.setdefault(_instance_in(body), at)
            elif call["changes"] and not call["error"]:
                for name in {instances[text] for text in _texts(parameters) if text in instances}:
                    changed.setdefault(name, at)
                    if call["operation"] == "ModifyNetworkInterfaceAttribute" and parameters.get(
                        "Groups"
                    ):
                        done = at + timedelta(seconds=call["seconds"])
                        isolated[name].append(done)
        return cls(sent, changed, isolated, len(recorded))

    @property
    def first_sent(self) -> datetime:
        return min(self.sent.values())

    @property
    def last_isolated(self) -> datetime:
        return max(max(times) for times in self.isolated.values())

    def to_change(self, instances: Sequence[str]) -> list[float]:
        """Seconds from the message to the first change of each."""
        return [(self.changed[name] - self.sent[name]).total_seconds() for name in instances]

    def to_isolation(self, instances: Sequence[str]) -> list[float]:
        """Seconds from the first message about each until it was isolated."""
        return [(min(self.isolated[name]) - self.sent[name]).total_seconds() for name in instances]


def _instance_of(fleet: Fleet) -> dict[str, str]:
    """Which instance an instance's, network interface's or volume's id is of."""
    names: dict[str, str] = {}
    for instance in fleet.instances:
        name = str(instance["InstanceId"])
        interfaces = [eni["NetworkInterfaceId"] for eni in instance["NetworkInterfaces"]]
        volumes = [item["Ebs"]["VolumeId"] for item in instance["BlockDeviceMappings"]]
        names |= dict.fromkeys([name, *interfaces, *volumes], name)
    return names


def _bodies(parameters: Mapping[str, Any]) -> list[str]:
    if "MessageBody" in parameters:
        return [parameters["MessageBody"]]
    return [entry["MessageBody"] for entry in parameters.get("Entries", ())]


def _instance_in(body: str) -> str:
    """Whom an event is about."""
    return str(json.loads(body)["detail"]["resource"]["instanceDetails"]["instanceId"])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
