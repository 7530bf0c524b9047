"""The queues that findings come through: read, fed, closed to strangers, and nothing left lying."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flows.doctor.check import Check, NotLooked, Result, Shared, counted, ok, problem, some, warning
from flows.doctor.queue_policy import open_to
from flows.doctor.queue_policy import rules_of as rules_in
from flows.doctor.rules import Rule, rules_of
from flows.doctor.setup import Setup
from flows.serve.sqs import Queue
from runbooks.aws import Reader
from runbooks.calls import Call
from runbooks.errors import AccessDenied, ClampdownError, InvalidInput

_GROUP = "queues"
_NO_QUEUE = "The queue can't be read."
# EventBridge delivers at once and the service takes at once: what is older, nobody takes.
_OLD = timedelta(minutes=10)
_MANY = 100


def checks(setup: Setup) -> list[Check]:
    """Of each queue in CLAMPDOWN_QUEUES, and of CLAMPDOWN_DEAD_LETTERS."""
    made: list[Check] = []
    for url in setup.serve.queues:
        queue = _QueueChecks(setup, url)
        made += [
            Check(
                _GROUP,
                queue.name,
                queue.backlog,
                meaning="Findings that are sent to it start nothing.",
            ),
            Check(
                _GROUP,
                f"{queue.name}, rules",
                queue.fed,
                meaning="Findings don't reach Clampdown, or minutes later, by its own looking.",
            ),
            Check(
                _GROUP,
                f"{queue.name}, dead letters",
                queue.left_lying,
                meaning="Nobody has dealt with what is there.",
            ),
            *queue.of_itself(),
        ]
    if not setup.serve.queues:
        made.append(Check(_GROUP, "CLAMPDOWN_QUEUES", _not_set_up))
    if setup.serve.dead_letters:
        queue = _QueueChecks(setup, setup.serve.dead_letters)
        made += [
            Check(
                _GROUP,
                f"{queue.name} (CLAMPDOWN_DEAD_LETTERS)",
                queue.empty,
                meaning="Nothing was done about what they may have told of.",
            ),
            *queue.of_itself(),
        ]
    return made


def _not_set_up() -> Result:
    raise NotLooked("It is not set: findings come by no queue here.")


def _name(setup: Setup, url: str) -> str:
    try:
        queue = Queue.read(url, setup.settings)
    except InvalidInput:
        return url.rstrip("/").rpartition("/")[2][:80]
    return f"{queue.name} in {queue.region}"


@dataclass(frozen=True)
class _Known:
    """A queue and what it says of itself, by SQS's names of attributes."""

    queue: Queue
    reader: Reader
    attributes: Mapping[str, str]

    @property
    def arn(self) -> str:
        return self.attributes["QueueArn"]

    @property
    def waiting(self) -> int:
        return int(self.attributes["ApproximateNumberOfMessages"])


class _QueueChecks:
    """The checks of one queue, which share what is known of it."""

    def __init__(self, setup: Setup, url: str) -> None:
        self.name = _name(setup, url)
        self._setup = setup
        self._url = url
        self._known = Shared(self._read)
        self._rules = Shared(self._read_rules)

    def of_itself(self) -> list[Check]:
        """What holds for any queue here."""
        return [
            Check(
                _GROUP,
                f"{self.name}, policy",
                self.closed,
                meaning="Strangers may put findings in, or take some out unseen.",
            ),
            Check(
                _GROUP,
                f"{self.name}, encryption",
                self.encrypted,
                meaning="Findings name what is compromised, and how.",
            ),
        ]

    def backlog(self) -> Result:
        """Whether it is there, and what is in it is taken out."""
        known = self._known()
        taken = known.attributes.get("ApproximateNumberOfMessagesNotVisible", "0")
        said = f"{counted(known.waiting, 'message')} waiting, {taken} in hand"
        if known.waiting == 0:
            return ok(f"{said}.")
        age = _age(known)
        if age is not None:
            said = f"{said}; the oldest is {round(age.total_seconds() / 60)} min old"
        if age is not None and age > _OLD:
            return problem(
                f"{said}.", advice="Nobody takes them out: does `clampdown serve` run (GET /ready)?"
            )
        if known.waiting > _MANY:
            return warning(
                f"{said}.",
                meaning="More comes in than is taken out, or nobody takes it.",
                advice="Run it again in a minute: does the number shrink? Else see `clampdown serve`.",
            )
        return ok(f"{said}.")

    def fed(self) -> Result:
        """Whether the rules that send to it are there, switched on, and take in what they should."""
        self._known.needed(_NO_QUEUE)
        try:
            rules = self._rules()
        except AccessDenied as error:
            raise NotLooked(f"It isn't allowed: {error.what}") from error
        if gone := [rule.name for rule in rules if not rule.state]:
            return problem(
                f"There is no rule {some(gone)}, which the queue's policy lets send to it.",
                advice="Make it again; find out who deleted it (CloudTrail: DeleteRule).",
            )
        ours = [rule for rule in rules if rule.guardduty]
        if off := [rule.name for rule in ours if not rule.enabled]:
            return problem(
                f"The rule {some(off)} is switched off.",
                advice="Switch it on; find out who did that (CloudTrail: DisableRule).",
            )
        if elsewhere := [rule.name for rule in ours if not rule.sends]:
            return problem(
                f"The rule {some(elsewhere)} does not send to this queue.",
                advice="Make the queue its target; find out who changed that (CloudTrail: "
                "RemoveTargets, PutTargets).",
            )
        if blind := [rule.name for rule in ours if rule.takes is False]:
            return problem(
                f"The rule {some(blind)} takes in no finding, whether of severity 8 or 4.",
                advice="Mend its event pattern; find out who changed it (CloudTrail: PutRule).",
            )
        if not ours:
            others = f"; others do: {some([rule.name for rule in rules])}" if rules else ""
            return problem(
                f"No rule of EventBridge sends GuardDuty's findings to it{others}.",
                advice="deployments/cloudformation has the rules.",
            )
        on = [rule.name for rule in rules if rule.enabled]
        off = [rule.name for rule in rules if not rule.enabled]
        # Sources other than GuardDuty are a choice.
        others = f"; off, for other sources: {some(off)}" if off else ""
        return ok(f"{some(on)} on{others}.")

    def left_lying(self) -> Result:
        """Whether there is a place for what can't be delivered or dealt with, and nothing in it."""
        known = self._known.needed(_NO_QUEUE)
        places: dict[str, str] = {}
        for arn in self._undelivered():
            places[arn] = "it could not be delivered"
        redrive = json.loads(known.attributes.get("RedrivePolicy") or "{}")
        if arn := redrive.get("deadLetterTargetArn"):
            places[arn] = f"it was tried {redrive['maxReceiveCount']} times in vain"
        for arn, why in places.items():
            if count := _waiting_in(arn, known):
                return problem(
                    f"{counted(count, 'message')} in {arn.rpartition(':')[2]}: {why}.",
                    advice="Look at them, have them dealt with (SQS: redrive), and empty it.",
                )
        if not redrive:
            return warning(
                "It has no redrive policy.",
                meaning="What can't be dealt with comes again and again, until it is too old and lost.",
                advice="Give it a dead-letter queue (deployments/cloudformation).",
            )
        return ok(f"{some([arn.rpartition(':')[2] for arn in places])}: empty.")

    def empty(self) -> Result:
        """Whether nothing was rejected that nobody has looked at."""
        known = self._known()
        if known.waiting:
            return warning(
                f"{counted(known.waiting, 'document')} in it.",
                advice="Look at them, and empty it.",
            )
        return ok("It is empty.")

    def closed(self) -> Result:
        """Whether only those may use it who are named."""
        policy = self._known.needed(_NO_QUEUE).attributes.get("Policy", "")
        anybody, services = open_to(policy)
        if anybody:
            return problem(
                f"Its policy lets anybody do {some(anybody)}, under no condition that says who.",
                advice="Allow the rules' ARNs alone (aws:SourceArn).",
            )
        if services:
            return warning(
                f"Its policy lets {some(services)} send for anybody, in whatever account.",
                advice="Add a condition on aws:SourceArn to that statement.",
            )
        if not policy:
            return ok("It has no policy: only its own account may use it.")
        return ok("Its policy lets in only whom it names.")

    def encrypted(self) -> Result:
        attributes = self._known.needed(_NO_QUEUE).attributes
        if key := attributes.get("KmsMasterKeyId"):
            return ok(f"It is encrypted with {key}.")
        if attributes.get("SqsManagedSseEnabled") == "true":
            return ok("It is encrypted by SQS.")
        return warning("It is not encrypted.", advice="Set SqsManagedSseEnabled to true.")

    def _read(self) -> _Known:
        queue = Queue.read(self._url, self._setup.settings)
        self._setup.caller()
        reader = self._setup.as_caller(queue.region)
        call = Call("sqs", "get_queue_attributes", QueueUrl=queue.url, AttributeNames=["All"])
        return _Known(queue, reader, reader.read(call)["Attributes"])

    def _read_rules(self) -> list[Rule]:
        known = self._known.needed(_NO_QUEUE)
        if self._setup.caller().account != known.queue.account:
            raise NotLooked(
                f"The rules are in account {known.queue.account}, and the caller is not."
            )
        return rules_of(known.reader, known.arn, rules_in(known.attributes.get("Policy", "")))

    def _undelivered(self) -> list[str]:
        try:
            rules = self._rules.needed("")
        except NotLooked:
            # The check of the rules says why.
            return []
        return [rule.dead_letters for rule in rules if rule.dead_letters]


def _age(known: _Known) -> timedelta | None:
    """How old the oldest message is; None where CloudWatch doesn't tell. It learns it each minute."""
    now = datetime.now(UTC)
    call = Call(
        "cloudwatch",
        "get_metric_statistics",
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": known.queue.name}],
        StartTime=(now - timedelta(minutes=15)).isoformat(),
        EndTime=now.isoformat(),
        Period=60,
        Statistics=["Maximum"],
    )
    try:
        points = known.reader.read(call)["Datapoints"]
    except ClampdownError:
        return None
    newest = max(points, key=lambda point: point["Timestamp"], default=None)
    return timedelta(seconds=newest["Maximum"]) if newest else None


def _waiting_in(arn: str, known: _Known) -> int:
    """How many messages are in a queue of dead letters: one in the same account and Region, which
    both SQS and EventBridge want. Raises NotLooked where the caller may not know."""
    _, _, _, _, account, name = arn.split(":")
    place = known.queue.url.removesuffix(f"/{known.queue.account}/{known.queue.name}")
    wanted = ["ApproximateNumberOfMessages"]
    call = Call(
        "sqs",
        "get_queue_attributes",
        QueueUrl=f"{place}/{account}/{name}",
        AttributeNames=wanted,
    )
    try:
        return int(known.reader.read(call)["Attributes"][wanted[0]])
    except AccessDenied as error:
        raise NotLooked(f"sqs:GetQueueAttributes isn't allowed for {name}.") from error
