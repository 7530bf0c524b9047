"""The one door: nothing is sent that isn't allowed, planned and written down, and nothing twice."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from botocore import exceptions, parsers
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.gameday.worlds import WorldIds
from runbooks import aws as door
from runbooks import clock
from runbooks.aws import (
    IncidentContext,
    LiveAws,
    Once,
    Permit,
    PlanningAws,
    Progress,
    Reader,
    Where,
    explain,
    identifiers_in,
)
from runbooks.calls import Call, Change, Keep, PlannedStep, Resource, is_pending, pending
from runbooks.connections import AccountAccess, Connections
from runbooks.errors import (
    AccessDenied,
    AwsRefused,
    AwsUnreachable,
    ClampdownError,
    Interrupted,
    NoCredentials,
    NotContained,
    OutcomeUnknown,
    PlanChanged,
    ProtectedResource,
    Throttled,
    WrongAccount,
)
from tests.runbooks.driver import ACCOUNT, REGION, MemoryLedger

HERE = Where(ACCOUNT, REGION)
INCIDENT = IncidentContext("inc-20260101-abcdef")
KEPT = Keep("a test")


def tagging(resource: str, value: str = "7", accept: tuple[str, ...] = ()) -> Change:
    call = Call("ec2", "create_tags", Resources=[resource], Tags=[{"Key": "case", "Value": value}])
    return Change(call, Resource(resource), KEPT, "tag", accept)


def refused(accept: tuple[str, ...] = ()) -> Change:
    """A change of what does not exist."""
    call = Call("ec2", "delete_security_group", GroupId="sg-0123456789abcdef0")
    return Change(call, Resource("sg"), KEPT, "delete a group", accept)


def planned(
    *changes: Change, contingent: Sequence[Change] = (), target: str = "i-1"
) -> PlannedStep:
    return PlannedStep("tag", "ec2.tag", target, "", changes, tuple(contingent))


class Watched(MemoryLedger):
    """A ledger, a guard and a permit that say in which order they were asked."""

    def __init__(self, simulated_aws: SimulatedAws) -> None:
        super().__init__()
        self.simulated_aws = simulated_aws
        self.order: list[str] = []

    def check(self, change: Change, where: Where) -> None:
        self.order.append("guard")
        assert where == HERE

    def intend(self, change: Change) -> int:
        self.order.append("intent")
        assert not self.simulated_aws.calls.changes, "nothing is sent before the intent"
        return super().intend(change)

    def done(self, intent: int, request_id: str, identifiers: Mapping[str, Any]) -> None:
        self.order.append("outcome")
        assert len(self.simulated_aws.calls.changes) == 1, "the outcome is told after the call"
        assert request_id
        super().done(intent, request_id, identifiers)


class WatchedPermit(Permit):
    def __init__(self, step: PlannedStep, order: list[str]) -> None:
        super().__init__(step)
        self.order = order

    def check(self, call: Call) -> Any:
        self.order.append("permit")
        return super().check(call)


class Refusing:
    """A guard that allows nothing."""

    def check(self, change: Change, where: Where) -> None:
        raise ProtectedResource("It is protected.")


class Allowing:
    def check(self, change: Change, where: Where) -> None:
        pass


@pytest.fixture
def connections(world: WorldIds) -> Iterator[Connections]:
    made = Connections({ACCOUNT: AccountAccess()}, session_name="test", simulate=world.url)
    yield made
    made.close()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


Open = Callable[..., LiveAws]


@pytest.fixture
def live(connections: Connections, ledger: MemoryLedger, stop: threading.Event) -> Open:
    def open_door(
        *,
        guard: Any = None,
        permit: Permit | None = None,
        ledger: Any = ledger,
        where: Where = HERE,
        connections: Connections = connections,
    ) -> LiveAws:
        return LiveAws(
            connections,
            where,
            INCIDENT,
            ledger=ledger,
            guard=guard or Allowing(),
            permit=permit,
            once=Once(),
            stop=stop,
        )

    return open_door


@pytest.fixture
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "THROTTLE_PATIENCE", timedelta(seconds=0.5))


def make(aws: LiveAws, change: Change) -> dict[str, Any]:
    return aws.change(
        change.call, on=change.on, undo=change.undo, why=change.why, accept=change.accept
    )


# Live mode: the order


def test_a_change_passes_guard_permit_and_intent_before_it_is_sent(
    live: Open, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    change, watched = tagging(world.victim), Watched(simulated_aws)
    permit = WatchedPermit(planned(change), watched.order)

    make(live(guard=watched, permit=permit, ledger=watched), change)

    assert watched.order == ["guard", "permit", "intent", "outcome"]
    assert watched.intents == [change]


def test_what_the_guard_refuses_is_neither_intended_nor_sent(
    live: Open, ledger: MemoryLedger, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    with pytest.raises(ProtectedResource):
        make(live(guard=Refusing()), tagging(world.victim))

    assert not ledger.intents
    assert not simulated_aws.calls.changes


def test_what_was_not_planned_is_neither_intended_nor_sent(
    live: Open, ledger: MemoryLedger, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    with pytest.raises(PlanChanged, match=r"not planned: ec2\.create_tags"):
        make(live(permit=Permit(planned(tagging("i-other")))), tagging(world.victim))

    assert not ledger.intents
    assert not simulated_aws.calls.changes


def test_without_a_durable_intent_nothing_is_sent(
    live: Open, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    class FullDisk(MemoryLedger):
        def intend(self, change: Change) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        make(live(ledger=FullDisk()), tagging(world.victim))

    assert not simulated_aws.calls.changes


def test_credentials_of_another_account_are_refused_before_the_first_change(
    live: Open, ledger: MemoryLedger, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    other = "999999999999"
    theirs = Connections({other: AccountAccess()}, session_name="test", simulate=world.url)

    with pytest.raises(WrongAccount, match=f"account {ACCOUNT}, the target is in {other}"):
        make(live(connections=theirs, where=Where(other, REGION)), tagging(world.victim))

    assert [call.operation for call in simulated_aws.calls] == ["GetCallerIdentity"]
    assert not ledger.intents
    theirs.close()


def test_whose_the_credentials_are_is_asked_once(
    live: Open, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    aws = live()
    for value in "123":
        make(aws, tagging(world.victim, value))

    assert len(simulated_aws.calls.of("sts", "GetCallerIdentity")) == 1


# Live mode: what goes wrong


@pytest.mark.parametrize(("code", "status"), [("RequestLimitExceeded", 503), ("Throttling", 400)])
def test_throttling_is_outlasted_under_one_intent(
    code: str,
    status: int,
    live: Open,
    ledger: MemoryLedger,
    simulated_aws: SimulatedAws,
    world: WorldIds,
) -> None:
    simulated_aws.fault(Fault(operation="CreateTags", code=code, status=status, times=3))

    make(live(), tagging(world.victim))

    assert len(simulated_aws.calls.changes) == 4
    assert ledger.outcomes == {1: "done"}


@pytest.mark.usefixtures("_impatience")
def test_throttling_without_an_end_is_given_up(
    live: Open, ledger: MemoryLedger, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    simulated_aws.fault(Fault(operation="CreateTags", code="RequestLimitExceeded", status=503))

    with pytest.raises(Throttled, match="ec2:CreateTags") as caught:
        make(live(), tagging(world.victim))

    assert "clampdown resume" in caught.value.advice
    assert ledger.outcomes == {1: "failed"}


@pytest.mark.parametrize(
    "fault",
    [
        {"code": "InternalError", "status": 500},
        {"code": "Unavailable", "status": 503},
        {"effect": "lost_answer"},
        {"effect": "drop"},
    ],
)
def test_a_change_whose_outcome_is_unknown_is_sent_exactly_once(
    fault: Mapping[str, Any],
    live: Open,
    ledger: MemoryLedger,
    simulated_aws: SimulatedAws,
    world: WorldIds,
) -> None:
    simulated_aws.fault(Fault(operation="CreateTags", **fault))

    with pytest.raises(OutcomeUnknown, match="may or may not have been done"):
        make(live(), tagging(world.victim))

    assert len(simulated_aws.calls.changes) == 1, "neither the SDK nor we repeat it"
    assert ledger.outcomes == {1: "unknown"}


def test_a_refusal_is_told_once_and_recorded_as_failed(
    live: Open, ledger: MemoryLedger, simulated_aws: SimulatedAws
) -> None:
    with pytest.raises(AwsRefused, match=r"InvalidGroup\.NotFound") as caught:
        make(live(), refused())

    assert caught.value.code == "InvalidGroup.NotFound"
    assert len(simulated_aws.calls.changes) == 1
    assert ledger.outcomes == {1: "failed"}


def test_a_code_that_means_it_is_done_already_is_a_success(
    live: Open, ledger: MemoryLedger
) -> None:
    change = refused(accept=("InvalidGroup.NotFound",))

    assert make(live(), change) == {}
    assert ledger.outcomes == {1: "accepted InvalidGroup.NotFound"}


@pytest.mark.parametrize("code", ["ExpiredToken", "RequestExpired"])
def test_a_session_that_ran_out_is_entered_anew_once(
    code: str,
    live: Open,
    ledger: MemoryLedger,
    connections: Connections,
    simulated_aws: SimulatedAws,
    world: WorldIds,
) -> None:
    aws = live()
    before = connections.client("ec2", ACCOUNT, REGION)
    simulated_aws.fault(Fault(operation="CreateTags", code=code, times=1))

    make(aws, tagging(world.victim))

    assert connections.client("ec2", ACCOUNT, REGION) is not before
    assert len(simulated_aws.calls.of("sts", "GetCallerIdentity")) == 2
    assert len(simulated_aws.calls.changes) == 2
    assert ledger.outcomes == {1: "done"}


def test_a_session_that_stays_expired_asks_to_sign_in(
    live: Open, ledger: MemoryLedger, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    simulated_aws.fault(Fault(operation="CreateTags", code="ExpiredToken"))

    with pytest.raises(NoCredentials, match="ExpiredToken") as caught:
        make(live(), tagging(world.victim))

    assert "Sign in again" in caught.value.advice
    assert len(simulated_aws.calls.changes) == 2
    assert ledger.outcomes == {1: "failed"}


def test_a_session_entered_anew_in_another_account_sends_nothing_more(
    live: Open,
    ledger: MemoryLedger,
    connections: Connections,
    simulated_aws: SimulatedAws,
    world: WorldIds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aws = live()
    make(aws, tagging(world.victim, "before"))
    simulated_aws.fault(Fault(operation="CreateTags", code="ExpiredToken", times=1))
    monkeypatch.setattr(connections, "identity", Identities(connections, "999999999999"))

    with pytest.raises(WrongAccount):
        make(aws, tagging(world.victim))

    assert len(simulated_aws.calls.changes) == 2
    assert ledger.outcomes == {1: "done", 2: "failed"}


class Identities:
    """Credentials that belong to another account once they were entered anew."""

    def __init__(self, connections: Connections, other: str) -> None:
        self.connections = connections
        self.other = other
        self.forgotten = False
        forget = connections.forget

        def forgetting(account: str) -> None:
            self.forgotten = True
            forget(account)

        connections.forget = forgetting  # type: ignore[method-assign]

    def __call__(self, account: str, region: str) -> str:
        return self.other if self.forgotten else account


def test_what_was_created_a_moment_ago_is_waited_for(
    live: Open, ledger: MemoryLedger, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    aws = live()
    made = make(aws, group("fresh", world))["GroupId"]
    simulated_aws.fault(
        Fault(
            operation="CreateTags",
            code="InvalidGroup.NotFound",
            message=f"The security group '{made}' does not exist",
            times=2,
        )
    )

    make(aws, tagging(made))

    assert ledger.outcomes == {1: "done", 2: "done"}
    with pytest.raises(AwsRefused, match="NotFound"):
        make(aws, refused())


@pytest.mark.usefixtures("_impatience")
def test_the_account_in_a_message_is_not_taken_for_something_created(
    live: Open, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    aws = live()
    snapshot = Call("ec2", "create_snapshot", VolumeId=world.ids["volume_1"])
    answer = make(aws, Change(snapshot, Resource("volume"), KEPT, "snapshot"))
    assert answer["OwnerId"] == ACCOUNT
    simulated_aws.fault(
        Fault(
            operation="CreateTags",
            code="InvalidGroup.NotFound",
            message=f"arn:aws:ec2:eu-west-1:{ACCOUNT}:security-group/sg-1 is {answer['State']}",
        )
    )

    with pytest.raises(AwsRefused):
        make(aws, tagging("sg-1"))

    assert len(simulated_aws.calls.of("ec2", "CreateTags")) == 1


def group(name: str, world: WorldIds) -> Change:
    call = Call(
        "ec2",
        "create_security_group",
        GroupName=name,
        Description="-",
        VpcId=world.ids["vpc"],
    )
    return Change(call, Resource("vpc"), KEPT, "make a group")


# Live mode: stopping, side by side, waiting, settling


def test_after_a_stop_nothing_is_begun(
    live: Open,
    ledger: MemoryLedger,
    stop: threading.Event,
    simulated_aws: SimulatedAws,
    world: WorldIds,
) -> None:
    stop.set()

    with pytest.raises(Interrupted, match="not sent"):
        make(live(), tagging(world.victim))
    with pytest.raises(Interrupted):
        live().read(Call("ec2", "describe_vpcs"))

    assert not simulated_aws.calls
    assert not ledger.intents


def test_a_stop_ends_the_patience_with_throttling(
    live: Open,
    ledger: MemoryLedger,
    stop: threading.Event,
    simulated_aws: SimulatedAws,
    world: WorldIds,
) -> None:
    class Stopping(MemoryLedger):
        def intend(self, change: Change) -> int:
            threading.Timer(0.05, stop.set).start()
            return super().intend(change)

    simulated_aws.fault(Fault(operation="CreateTags", code="Throttling"))
    stopping = Stopping()

    with pytest.raises(Interrupted):
        make(live(ledger=stopping), tagging(world.victim))

    assert stopping.outcomes == {1: "failed"}, "AWS certainly did nothing"


def test_side_by_side_all_are_tried_before_the_first_error_is_raised(
    live: Open, ledger: MemoryLedger, world: WorldIds
) -> None:
    changes = [refused(), tagging(world.victim)]

    with pytest.raises(AwsRefused):
        live().change_all(changes)

    outcomes = {ledger.intents[n - 1].call: outcome for n, outcome in ledger.outcomes.items()}
    assert outcomes == {changes[0].call: "failed", changes[1].call: "done"}


def test_answers_come_in_the_order_of_the_changes(live: Open, world: WorldIds) -> None:
    aws = live()
    names = [f"group {number}" for number in range(6)]

    answers = aws.change_all([group(name, world) for name in names])

    found = aws.read_all(
        [Call("ec2", "describe_security_groups", GroupIds=[a["GroupId"]]) for a in answers]
    )
    assert [item["SecurityGroups"][0]["GroupName"] for item in found] == names


def test_it_waits_until_the_look_is_done_and_says_how_far_it_is(
    live: Open, ledger: MemoryLedger
) -> None:
    looks = iter([Progress(False, "1 of 2"), Progress(True, "2 of 2", 1.0)])

    live().wait("two things", lambda: next(looks), every=timedelta(0), within=timedelta(1))

    assert ledger.waited == ["two things", "two things"]


def test_waiting_has_an_end(live: Open) -> None:
    with pytest.raises(NotContained, match=r"a thing: still pending after 0:00:00"):
        live().wait(
            "a thing",
            lambda: Progress(False, "pending"),
            every=timedelta(milliseconds=5),
            within=timedelta(milliseconds=20),
        )


def test_a_stop_ends_waits_pauses_and_settling(live: Open, stop: threading.Event) -> None:
    stop.set()
    aws = live()

    with pytest.raises(Interrupted):
        aws.wait("x", lambda: Progress(False, ""), every=timedelta(1), within=timedelta(9))
    with pytest.raises(Interrupted):
        aws.pause("x", timedelta(minutes=1))
    with pytest.raises(Interrupted):
        aws.settle(list)


def test_settling_ends_with_the_first_look_that_asks_for_nothing(
    live: Open, ledger: MemoryLedger, world: WorldIds
) -> None:
    asked = [[tagging(world.victim, "1")], [tagging(world.victim, "2")], [], [tagging("never")]]

    live().settle(lambda: asked.pop(0))

    assert [change.call for change in ledger.intents] == [
        tagging(world.victim, value).call for value in "12"
    ]
    assert len(asked) == 1


def test_settling_gives_up_and_leaves_the_rest_to_verification(
    live: Open, ledger: MemoryLedger, world: WorldIds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_SETTLING", (0.0, 0.0, 0.0))

    live().settle(lambda: [tagging(world.victim)])

    assert len(ledger.intents) == 3


def test_what_targets_share_is_made_by_the_first_and_known_to_the_rest() -> None:
    once, made = Once(), []
    together = threading.Barrier(8)

    def share() -> None:
        together.wait()
        assert once("key", lambda: made.append(1) or "shared") == "shared"  # type: ignore[func-returns-value]

    threads = [threading.Thread(target=share) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert made == [1]
    assert once("other", lambda: 7) == 7


def test_what_failed_for_the_first_is_tried_for_the_next() -> None:
    once = Once()
    with pytest.raises(ZeroDivisionError):
        once("key", lambda: 1 // 0)

    assert once("key", lambda: "made") == "made"


# Permits


def test_a_permit_lets_through_what_was_planned_with_what_aws_chose() -> None:
    tagged = tagging(pending("tag/1/GroupId"))
    creation = Change(Call("ec2", "create_security_group"), Resource("vpc"), KEPT, "make")
    permit = Permit(planned(creation, tagged))

    place = permit.check(creation.call)
    permit.answered(place, {"GroupId": "sg-1"})

    permit.check(tagging("sg-1").call)
    with pytest.raises(PlanChanged):
        permit.check(tagging("sg-2").call)


def test_a_call_that_was_foreseen_may_be_made_several_times_with_other_values() -> None:
    foreseen = tagging(pending("any other"))
    permit = Permit(planned(contingent=[foreseen]))

    for resource in ("eni-1", "eni-2", "eni-1"):
        permit.check(tagging(resource).call)
    with pytest.raises(PlanChanged):
        permit.check(tagging("eni-3", "another value").call)


def test_what_is_known_by_then_binds_foreseen_calls_too() -> None:
    def swap(interface: str, group_id: str) -> Change:
        call = Call("ec2", "modify_x", NetworkInterfaceId=interface, Groups=[group_id])
        return Change(call, Resource(interface), KEPT, "swap")

    chosen = pending("tag/1/GroupId")
    step = planned(swap("eni-1", chosen), contingent=[swap(pending("any other"), chosen)])
    permit = Permit(step)

    permit.check(swap("eni-1", "sg-1").call)

    permit.check(swap("eni-9", "sg-1").call)
    with pytest.raises(PlanChanged):
        permit.check(swap("eni-9", "sg-open").call)


def test_what_targets_share_may_be_made_for_any_of_them() -> None:
    shared, own = tagging("sg-shared"), tagging("i-2")
    permit = Permit(planned(own, target="i-2"), [planned(shared, target="i-1")])

    permit.check(shared.call)
    permit.check(own.call)
    with pytest.raises(PlanChanged):
        permit.check(tagging("i-3").call)


# Plan mode


@pytest.fixture
def planning(connections: Connections) -> PlanningAws:
    return PlanningAws(connections, HERE, INCIDENT, "step", Once())


def test_planning_sends_no_change_and_answers_in_the_shape_of_the_api(
    planning: PlanningAws, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    change = group("planned", world)

    answer = planning.change(change.call, on=change.on, undo=change.undo, why=change.why)

    assert answer["GroupId"] == pending("step/1/GroupId")
    assert planning.changes == [change]
    assert not simulated_aws.calls.changes


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("ec2", "create_snapshots"),
        ("ec2", "run_instances"),
        ("ec2", "replace_iam_instance_profile_association"),
        ("ec2", "create_tags"),
        ("iam", "create_role"),
        ("iam", "put_role_policy"),
        ("autoscaling", "enter_standby"),
        ("elbv2", "deregister_targets"),
        ("cloudformation", "create_stack"),
        ("kms", "create_grant"),
    ],
)
def test_every_answer_has_the_members_that_botocores_model_has(
    service: str, operation: str, planning: PlanningAws, connections: Connections
) -> None:
    client = connections.client(service, ACCOUNT, REGION)
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])

    (answer,) = planning.change_all(
        [Change(Call(service, operation), Resource("arn"), KEPT, "why")]
    )

    shaped_like(model.output_shape, answer)


def shaped_like(shape: Any, value: Any, depth: int = 0) -> None:
    if depth > 4 or shape is None or shape.type_name == "map":
        assert value == {}
    elif shape.type_name == "structure":
        assert list(value) == list(shape.members)
        for member, inner in shape.members.items():
            shaped_like(inner, value[member], depth + 1)
    elif shape.type_name == "list":
        (item,) = value
        shaped_like(shape.member, item, depth + 1)
    elif shape.type_name == "boolean":
        assert value is False
    elif shape.type_name in ("integer", "long", "float", "double"):
        assert value == 0
    else:
        assert is_pending(value)


def test_a_read_about_what_is_yet_to_be_made_is_answered_from_what_is_foreseen(
    planning: PlanningAws, simulated_aws: SimulatedAws
) -> None:
    call = Call("ec2", "describe_security_groups", GroupIds=[pending("step/1/GroupId")])

    assert planning.read(call, foreseen={"SecurityGroups": []}) == {"SecurityGroups": []}
    assert planning.read(call) == {}
    assert not simulated_aws.calls


def test_planning_neither_waits_nor_looks_again_nor_repeats_a_warning(
    planning: PlanningAws,
) -> None:
    def never() -> Any:
        raise AssertionError

    planning.wait("x", never, every=timedelta(1), within=timedelta(1))
    planning.pause("x", timedelta(hours=1))
    planning.settle(never)
    planning.warn("twice")
    planning.warn("twice")

    assert planning.warnings == ["twice"]
    assert is_pending(planning.moment())


def test_in_live_mode_the_moment_is_the_time_as_iam_writes_it(live: Open) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", live().moment())


# Reads


def test_all_pages_of_an_answer_are_read(
    connections: Connections, simulated_aws: SimulatedAws, world: WorldIds
) -> None:
    ec2 = connections.client("ec2", ACCOUNT, REGION)
    for _ in range(6):
        ec2.run_instances(ImageId=world.ids["image"], MinCount=1, MaxCount=1)

    answer = Reader(connections, HERE).read(Call("ec2", "describe_instances", MaxResults=5))

    found = [item["InstanceId"] for one in answer["Reservations"] for item in one["Instances"]]
    assert len(found) == len(set(found)) == 11
    assert len(simulated_aws.calls.of("ec2", "DescribeInstances")) == 3


@pytest.mark.parametrize(
    "fault",
    [
        {"code": "RequestLimitExceeded", "status": 503},
        {"code": "InternalError", "status": 500},
        {"effect": "drop"},
    ],
)
def test_a_read_is_repeated_where_a_change_would_not_be(
    fault: Mapping[str, Any], connections: Connections, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.fault(Fault(operation="DescribeVpcs", times=2, **fault))

    assert Reader(connections, HERE).read(Call("ec2", "describe_vpcs"))["Vpcs"]


def test_what_is_absent_is_empty_only_where_that_was_asked_for(connections: Connections) -> None:
    reader = Reader(connections, HERE)
    call = Call("iam", "get_role", RoleName="none")

    assert reader.read(call, absent=("NoSuchEntity",)) == {}
    with pytest.raises(AwsRefused, match="NoSuchEntity"):
        reader.read(call)


def test_reads_side_by_side_wait_side_by_side(
    connections: Connections, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.configure(latency_seconds=0.3)
    calls = [Call("ec2", "describe_vpcs")] * 10

    timed: list[float] = []
    began = clock.monotonic()
    answers = Reader(connections, HERE).read_all(calls)
    timed.append(clock.monotonic() - began)

    assert len(answers) == 10
    assert timed[0] < 0.3 * len(calls) / 2


# What an error means


def client_error(code: str, status: int = 400) -> exceptions.ClientError:
    return exceptions.ClientError(
        {
            "Error": {"Code": code, "Message": "said AWS"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "CreateTags",
    )


CHANGE = Call("ec2", "create_tags")


@pytest.mark.parametrize(
    ("error", "of_a_change", "of_a_read"),
    [
        (client_error("RequestLimitExceeded", 503), Throttled, Throttled),
        (client_error("ThrottlingException"), Throttled, Throttled),
        (client_error("UnauthorizedOperation", 403), AccessDenied, AccessDenied),
        (client_error("AccessDeniedException"), AccessDenied, AccessDenied),
        (client_error("ExpiredToken"), NoCredentials, NoCredentials),
        (client_error("RequestTimeTooSkewed", 403), NoCredentials, NoCredentials),
        (client_error("AuthFailure", 401), NoCredentials, NoCredentials),
        (client_error("OptInRequired", 403), NoCredentials, NoCredentials),
        (client_error("InternalError", 500), OutcomeUnknown, AwsUnreachable),
        (client_error("ServiceUnavailable", 503), OutcomeUnknown, AwsUnreachable),
        (client_error("InvalidParameterValue"), AwsRefused, AwsRefused),
        (exceptions.ConnectTimeoutError(endpoint_url="x"), AwsUnreachable, AwsUnreachable),
        (
            exceptions.EndpointConnectionError(endpoint_url="x", error="e"),
            AwsUnreachable,
            AwsUnreachable,
        ),
        (exceptions.ReadTimeoutError(endpoint_url="x"), OutcomeUnknown, AwsUnreachable),
        (exceptions.ConnectionClosedError(endpoint_url="x"), OutcomeUnknown, AwsUnreachable),
        (exceptions.SSLError(endpoint_url="x", error="e"), OutcomeUnknown, AwsUnreachable),
        (
            exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
            OutcomeUnknown,
            AwsUnreachable,
        ),
        (parsers.ResponseParserError("not XML"), OutcomeUnknown, AwsUnreachable),
        (exceptions.ParamValidationError(report="missing"), AwsRefused, AwsRefused),
        (exceptions.NoCredentialsError(), NoCredentials, NoCredentials),
        (exceptions.BotoCoreError(), OutcomeUnknown, AwsRefused),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_errors_are_told_in_the_words_of_the_field(
    error: Exception, of_a_change: type[ClampdownError], of_a_read: type[ClampdownError]
) -> None:
    for changes, kind in ((True, of_a_change), (False, of_a_read)):
        told = explain(CHANGE, error, changes=changes)

        assert isinstance(told, kind)
        assert type(told) is kind or issubclass(type(told), NoCredentials)
        assert "ec2:CreateTags" in str(told)


def test_a_denial_names_the_permission_that_is_lacking() -> None:
    told = explain(CHANGE, client_error("UnauthorizedOperation", 403), changes=True)

    assert isinstance(told, AccessDenied)
    assert told.advice.startswith("Allow ec2:CreateTags")


def test_what_is_told_already_and_what_is_a_bug_are_left_as_they_are() -> None:
    for error in (WrongAccount("no"), KeyError("bug")):
        assert explain(CHANGE, error, changes=True) is error


# What the journal keeps of an answer


def test_ids_arns_names_and_states_are_kept() -> None:
    answer = {
        "GroupId": "sg-1",
        "Role": {"Arn": "arn:r", "RoleName": "r", "Path": "/"},
        "Snapshots": [{"SnapshotId": "snap-1", "State": "pending", "VolumeSize": 8}, {"Size": 1}],
        "Return": True,
    }

    assert identifiers_in(answer) == {
        "GroupId": "sg-1",
        "Role": {"Arn": "arn:r", "RoleName": "r"},
        "Snapshots": [{"SnapshotId": "snap-1", "State": "pending"}],
    }


SECRETS = (
    "AccessKeyId",
    "SecretAccessKey",
    "SessionToken",
    "KeyMaterial",
    "PasswordData",
    "Password",
    "Plaintext",
    "SecretString",
    "UserData",
    "GrantToken",
    "Certificate",
)
CANARY = "canary-7f3a"
ANSWERS = st.recursive(
    st.dictionaries(st.sampled_from(SECRETS), st.just(CANARY), max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from(["Credentials", "AccessKey", "KeyPair", "Things", "State"]),
        inner | st.lists(inner, max_size=2),
        max_size=3,
    ),
)


@given(ANSWERS)
def test_no_secret_is_kept_however_deep_it_lies(answer: dict[str, Any]) -> None:
    assert CANARY not in repr(identifiers_in(answer))


@pytest.mark.parametrize("service", ["ec2", "iam", "sts", "kms", "rds", "secretsmanager", "ssm"])
def test_nothing_that_aws_marks_as_sensitive_is_kept(
    service: str, connections: Connections
) -> None:
    model = connections.client(service, ACCOUNT, REGION).meta.service_model
    sensitive: list[str] = []
    for operation in model.operation_names:
        answer = filled(model.operation_model(operation).output_shape, ())
        if CANARY in repr(answer):
            sensitive.append(operation)
            assert CANARY not in repr(identifiers_in(answer)), operation
    assert sensitive, "a service without secrets tests nothing"


def filled(shape: Any, within: tuple[str, ...]) -> Any:
    """An answer in which every member is there, and each sensitive one is the canary."""
    if shape is None or shape.name in within:
        return {}
    inside = (*within, shape.name)
    if shape.type_name == "structure":
        return {name: filled(member, inside) for name, member in shape.members.items()}
    if shape.type_name == "list":
        return [filled(shape.member, inside)]
    if shape.type_name == "string":
        return CANARY if shape.metadata.get("sensitive") else "plain"
    return None
