"""What shadow would have done, held against what people did and say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.finding_log import FindingLog
from flows.gameday.shadow.compare import Comparison, compare, in_words, lines
from flows.gameday.shadow.said import AwsLook, mark
from flows.gameday.worlds import client
from flows.identity import SERVICE
from flows.journal.journal import Journal
from flows.shadow.records import JUDGED, Judgement
from runbooks.aws import Reader, Where
from runbooks.errors import InvalidInput
from tests.flows.people import ALICE, BOB, REQUESTER
from tests.flows.scene import Scene
from tests.flows.shadow.shadows import GATED, ONE, SHADOW, finding, judged

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
SIDE = ""


def put(
    journal: Journal, number: int, verdict: str = "contain", *, seconds: float = 30.0, **more: Any
) -> str:
    """A judgement of a case of its own; its chain."""
    chain = f"shd-{number:024x}"
    body = {
        "simulate": SIDE,
        "verdict": verdict,
        "why": ["because"],
        "finding": {"id": f"f{number}", "type": "Backdoor:EC2/C&CActivity.B"},
        "playbook": "tag-it",
        "targets": [
            {"kind": "ec2.instance", "account": "1", "region": "r", "id": f"i-{number:08x}"}
        ],
        "joins": "",
        "begins": NOW.isoformat(),
        "steps": [{"step": "one", "changes": 1}],
        "gates": [{"gate": "contain", "needed": verdict == "ask"}],
        "refusals": [{"rule": "ProtectedResource", "what": "It is protected.", "step": ""}],
        "estimate": {"contained_seconds": seconds},
        "security_groups": {},
        **more,
    }
    journal.append(chain, JUDGED, body, SERVICE.actor)
    return chain


def say(journal: Journal, chain: str, minutes: float | None = None, truth: Any = "") -> None:
    at = NOW + timedelta(minutes=minutes) if minutes is not None else None
    mark(journal, chain, ALICE, truth=truth or "contained", contained_at=at)


def test_fourteen_of_fifteen_one_wrongly_six_minutes_sooner(journal: Journal) -> None:
    for number in range(13):
        say(journal, put(journal, number), 6.5)
    say(journal, put(journal, 13), truth="missed")
    say(journal, put(journal, 14, "refuse"), 3)
    say(journal, put(journal, 15), truth="false alarm")
    say(journal, put(journal, 16, "propose"), truth="false alarm")
    put(journal, 17)
    put(journal, 18, "join", joins="shd-1")

    comparison = compare(journal, SIDE)

    assert comparison.sentence == (
        "Would have contained 14 of 15, 1 wrongly, 6 minutes sooner (median). "
        "Of 1 more nobody has said what they were."
    )
    document = comparison.to_json()
    figures = ("contained", "real", "wrongly", "missed", "unknown", "joined")
    assert [document[name] for name in figures] == [14, 15, 1, 1, 1, 1]
    assert document["median_seconds_sooner"] == 360.0
    assert len(document["cases"]) == 18


def test_where_people_were_faster_it_says_so(journal: Journal) -> None:
    say(journal, put(journal, 1, seconds=120), 1)
    assert "1 minute later (median)" in compare(journal, SIDE).sentence


def test_a_gate_takes_as_long_as_people_took_before_or_is_not_counted(journal: Journal) -> None:
    say(journal, put(journal, 1, "ask"), 10)
    unknown = compare(journal, SIDE)
    assert (len(unknown.contained), unknown.sooner) == (1, None)
    assert "knows none yet" in "\n".join(lines(unknown))
    for seconds in (60.0, 120.0, 600.0):
        body = {"gate": "contain", "answer": "approve", "latency_seconds": seconds}
        journal.append("inc-20261123-aaaaaa", "gate.decided", body, ALICE.actor)
    # 10 min for people, against 30 s for the calls and 2 min for the decision.
    assert compare(journal, SIDE).sooner == timedelta(minutes=7, seconds=30)


def test_the_newest_word_counts_and_says_whose_it_is(journal: Journal) -> None:
    chain = put(journal, 1)
    say(journal, chain, 5)
    mark(journal, chain, BOB, truth="false alarm", why="a load test")
    [case] = compare(journal, SIDE).cases
    assert case.truth == "false alarm"
    assert case.said[0].text == "local:bob says false alarm: a load test"
    assert "WRONGLY" in "\n".join(lines(compare(journal, SIDE)))


def test_the_other_side_is_another_matter(journal: Journal) -> None:
    put(journal, 1, simulate="http://127.0.0.1:1")
    assert compare(journal, SIDE).cases == ()


@pytest.mark.parametrize(
    ("chain", "at", "wrong"),
    [
        ("inc-20261123-aaaaaa", NOW, "no judgement"),
        ("shd-" + "0" * 24, NOW, "no judgement"),
        (None, datetime(2026, 11, 23, 14, 0), "no time zone"),
        (None, datetime.now(UTC) + timedelta(days=1), "in the future"),
        (None, None, "at a time"),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused(
    journal: Journal, chain: str | None, at: datetime | None, wrong: str
) -> None:
    there = put(journal, 1)
    with pytest.raises(InvalidInput, match=wrong):
        mark(journal, chain or there, ALICE, truth="contained", contained_at=at)


def test_what_joins_another_case_is_not_marked_itself(journal: Journal) -> None:
    with pytest.raises(InvalidInput, match="would have joined shd-7"):
        mark(journal, put(journal, 1, "join", joins="shd-7"), ALICE, truth="missed")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (45, "45 seconds"),
        (90, "1.5 minutes"),
        (360, "6 minutes"),
        (3600, "1 hour"),
    ],
)
def test_durations_in_words(seconds: int, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words


# What the journal and AWS show


def look(scene: Scene) -> Comparison:
    responder = scene.responder()
    connections = responder.reading_connections("test")
    where = (scene.world.account, scene.world.region)
    try:
        aws = AwsLook({where: Reader(connections, Where(*where))})
        return compare(responder.journal, responder.settings.simulate, aws=aws)
    finally:
        connections.close()


def shadowed(scene: Scene, steps: str = ONE) -> Judgement:
    scene.write(steps, more=SHADOW)
    return judged(scene.responder(), finding(scene))


def test_an_incident_that_people_opened_afterwards_says_when_they_contained_it(
    scene: Scene,
) -> None:
    judgement = shadowed(scene)
    incident = scene.run().incident
    [case] = look(scene).cases
    [step] = incident.steps
    assert (case.truth, case.contained_at) == ("contained", step.finished)
    assert case.said[0].text == f"{incident.id}, opened by local:rita"
    assert case.sooner is not None
    assert case.would_have == judgement.begins + judgement.contained_after


def test_an_incident_that_only_waits_for_a_decision_contains_nothing(scene: Scene) -> None:
    shadowed(scene, GATED)
    scene.run(wait=False)
    assert [case.truth for case in look(scene).cases] == ["unknown"]


def isolate_by_hand(scene: Scene, *interfaces: str) -> None:
    ec2 = client(scene.aws.url, scene.world.region, "ec2")
    victim = ec2.describe_instances(InstanceIds=[scene.world.victim])
    vpc = victim["Reservations"][0]["Instances"][0]["VpcId"]
    group = ec2.create_security_group(GroupName=interfaces[0], Description="mine", VpcId=vpc)[
        "GroupId"
    ]
    open_to_all = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=open_to_all)
    for interface in interfaces:
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group])


def test_isolation_by_hand_is_found_in_aws_with_who_and_when(scene: Scene) -> None:
    first, second = shadowed(scene).body["security_groups"]
    assert [case.truth for case in look(scene).cases] == ["unknown"]
    isolate_by_hand(scene, first)
    assert [case.truth for case in look(scene).cases] == ["unknown"]
    isolate_by_hand(scene, second)
    known = len(scene.aws.calls.changes)
    [case] = look(scene).cases
    assert case.truth == "contained"
    assert case.said[0].source == "AWS"
    assert "only security groups without a rule (ModifyNetworkInterfaceAttribute by" in (
        case.said[0].text
    )
    assert case.contained_at is not None
    assert abs(case.contained_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert len(scene.aws.calls.changes) == known


def test_what_was_terminated_is_contained_too(scene: Scene) -> None:
    shadowed(scene)
    scene.ec2().modify_instance_attribute(
        InstanceId=scene.world.victim, DisableApiTermination={"Value": False}
    )
    scene.ec2().terminate_instances(InstanceIds=[scene.world.victim])
    [case] = look(scene).cases
    assert case.truth == "contained"
    assert "TerminateInstances by" in case.said[0].text


def test_an_archived_finding_is_only_a_hint(scene: Scene) -> None:
    shadowed(scene)
    responder = scene.responder()
    log = FindingLog(responder.journal, SERVICE.actor, responder.settings.simulate)
    about = finding(scene, archived=True)
    log.decide(about, "sqs", "resolved", "", ["it is archived"], sure=True)
    [case] = look(scene).cases
    assert case.truth == "unknown"
    assert [said.source for said in case.said] == ["finding"]


def test_who_started_a_drill_has_contained_nothing_real(scene: Scene) -> None:
    shadowed(scene)
    scene.responder().open(
        "tag-it", [scene.world.victim], REQUESTER, reason="a drill", drill="drill-1"
    )
    assert [case.truth for case in look(scene).cases] == ["unknown"]
