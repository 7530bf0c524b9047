"""Live drills: only what is there for drills is changed, and all of it is as before afterwards.

The simulated AWS stands for a real account: nothing here knows that it is one.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from flows.console.incident_view import show_incidents, show_status
from flows.console.sentences import sentence
from flows.documents import incident_document
from flows.gameday import drills
from flows.gameday import live as live_drills_module
from flows.gameday.live import LiveDrilled, live_drill
from flows.gameday.worlds import client
from flows.identity import SERVICE, Identity
from flows.incident_report import incident_report
from flows.intake.route import Routed
from flows.journal.record import Record
from flows.journal.verify import verify
from flows.responder import Responder
from flows.slack.away import NOBODY_AWAY
from flows.slack.opening import opening
from flows.slack.told import Told
from runbooks.connections import Connections
from runbooks.errors import NotForDrills, Refused
from tests.flows.people import REQUESTER
from tests.flows.scene import Scene
from tests.flows.shadow.shadows import SHADOW, finding

ISOLATE = """\
- step: ec2.protect
- step: ec2.snapshot
- approve: {id: contain, by: oncall}
- {step: ec2.isolate, with: {tracked_connections: leave}}
- {step: ec2.tag, with: {tags: {seen: "yes"}}}
"""
ACL = ISOLATE.replace("leave", "deny_remote_ips")
WITH_CREDENTIALS = f"{ISOLATE}- step: ec2.contain_credentials\n"


@pytest.fixture
def live(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A scene whose AWS is taken for a real account."""

    def connections(self: Responder, session_name: str) -> Connections:
        return Connections(self._accounts(), session_name=session_name, simulate=scene.aws.url)

    monkeypatch.setattr(Responder, "connections", connections)
    monkeypatch.setattr(live_drills_module, "SETTLES_WITHIN", timedelta(seconds=1))
    scene.write(ISOLATE)
    return scene


def tag_for_drills(scene: Scene, value: str = "true", *, group: bool = True) -> None:
    scene.tag("clampdown:drill", value)
    if group:
        known = len(scene.aws.calls)
        tag = {"Key": "clampdown:drill", "Value": value, "PropagateAtLaunch": False}
        named = {"ResourceId": "payments-web", "ResourceType": "auto-scaling-group"}
        autoscaling = client(scene.aws.url, scene.world.region, "autoscaling")
        autoscaling.create_or_update_tags(Tags=[{**tag, **named}])
        scene.aws.calls.forget_after(known)


def drill(scene: Scene, **more: Any) -> LiveDrilled:
    responder = scene.responder(simulate="")
    return live_drill(responder, "tag-it", scene.world.victim, REQUESTER, prefect=False, **more)


def drills_in(responder: Responder) -> list[drills.Drill]:
    return list(drills.live_drills(responder.settings.home, responder.journal))


def groups(scene: Scene) -> list[set[str]]:
    known = len(scene.aws.calls)
    answer = scene.ec2().describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [scene.world.victim]}]
    )
    scene.aws.calls.forget_after(known)
    return [{g["GroupId"] for g in eni["Groups"]} for eni in answer["NetworkInterfaces"]]


def of(scene: Scene, chain: str) -> list[Record]:
    return scene.responders[0].journal.records(chain)


def test_a_tagged_instance_is_contained_and_everything_is_as_before(live: Scene) -> None:
    tag_for_drills(live)
    before = groups(live)
    tags = live.tags()
    isolated: list[list[set[str]]] = []
    live.at_once("verify.passed", lambda record: isolated.append(groups(live)), times=9)
    live.decides()
    told: list[str] = []

    drilled = drill(live, told=told.append)

    assert drilled.passed, drilled.shortcomings
    assert before not in isolated
    assert groups(live) == before
    assert live.tags() == tags
    responder = live.responder(simulate="")
    incident = responder.incident(drilled.incident)
    assert (incident.status, incident.drill, incident.simulate) == ("undone", drilled.drill, "")
    assert incident.side == "DRILL (live)"
    assert of(live, drilled.incident)[0].body["drill"] == drilled.drill
    assert told[0].startswith(f"DRILL {drilled.drill}, LIVE")
    kinds = [record.kind for record in of(live, drilled.drill)]
    assert kinds[0] == drills.BEGAN
    assert kinds[-1] == drills.ENDED
    assert verify(responder.journal).ok


def test_its_records_say_what_was_drilled_and_by_whom(live: Scene) -> None:
    tag_for_drills(live)
    live.decides()
    drilled = drill(live)
    [read] = drills_in(live.responder(simulate=""))
    assert read.id == drilled.drill
    assert list(read.incidents) == [drilled.incident]
    assert read.about["mode"] == "live drill"
    assert [record.body["person"] for record in read.of(drills.PERSON)] == ["alice"]
    [contained, undone] = read.of(drills.DIFFERENCE)
    changed = {item["path"] for item in contained.body["changes"]}
    assert any("security groups" in path for path in changed)
    assert undone.body["changes"] == []
    assert {c.body["objective"]: c.body["holds"] for c in read.of(drills.CHECKED)} == {
        "contained": True,
        "as-before": True,
    }
    calls = {call["operation"]: call["count"] for call in read.of(drills.CALLS)[0].body["calls"]}
    assert calls["create_snapshots"] == 1


def test_it_can_be_assessed_as_any_other_drill(live: Scene) -> None:
    from flows.gameday.score import assess

    tag_for_drills(live)
    live.decides()
    drill(live)
    responder = live.responder(simulate="")
    [read] = drills_in(responder)
    assessment = assess(read, responder.playbooks, [], [])
    assert {verdict.objective: verdict.level for verdict in assessment.verdicts} == {
        "in-time": "met",
        "contained": "met",
        "as-before": "met",
    }


def test_what_is_kept_stays_contained(live: Scene) -> None:
    tag_for_drills(live)
    before = groups(live)
    live.decides()
    drilled = drill(live, keep=True)
    assert drilled.passed, drilled.shortcomings
    assert drilled.undone_after is None
    assert groups(live) != before
    assert live.responder(simulate="").incident(drilled.incident).status == "contained"


@pytest.mark.parametrize("value", [None, "false", "True", ""])
def test_an_instance_that_is_not_tagged_for_drills_is_refused(
    live: Scene, value: str | None
) -> None:
    if value is not None:
        tag_for_drills(live, value)
    with pytest.raises(NotForDrills, match="is not tagged clampdown:drill=true") as refused:
        drill(live)
    assert refused.value.exit_code == 3
    assert live.changes() == []
    assert live.responder(simulate="").incidents() == []
    assert drills_in(live.responder(simulate="")) == []


@pytest.mark.parametrize(
    ("steps", "untagged"),
    [
        (WITH_CREDENTIALS, "role/app/payments-app"),
        (ISOLATE, "autoScalingGroupName/payments-web"),
        (ACL, "network-acl/"),
    ],
)
def test_what_serves_others_as_well_must_be_tagged_itself(
    live: Scene, steps: str, untagged: str
) -> None:
    tag_for_drills(live, group=steps != ISOLATE)
    live.write(steps)
    with pytest.raises(NotForDrills, match="Nothing was done") as refused:
        drill(live)
    assert untagged in refused.value.what
    assert live.changes() == []
    assert live.responder(simulate="").incidents() == []


def test_a_role_that_is_tagged_itself_may_be_changed(live: Scene) -> None:
    tag_for_drills(live)
    iam = client(live.aws.url, live.world.region, "iam")
    iam.tag_role(RoleName="payments-app", Tags=[{"Key": "clampdown:drill", "Value": "true"}])
    # The role is the bystander's as well, which the step refuses by itself.
    live.ec2().terminate_instances(InstanceIds=[live.world.ids["bystander"]])
    live.write(WITH_CREDENTIALS)
    live.decides()
    drilled = drill(live)
    operations = {call.operation for call in live.aws.calls.changes}
    assert "PutRolePolicy" in operations
    assert drilled.passed, drilled.shortcomings
    assert iam.list_role_policies(RoleName="payments-app")["PolicyNames"] == []


def test_the_executor_itself_refuses_what_loses_its_tag_meanwhile(live: Scene) -> None:
    tag_for_drills(live)

    def untag_and_approve(record: Record) -> None:
        live.untag("clampdown:drill")
        alice = Identity("local", "alice")
        live.responder().decide(record.incident, record.body["gate"], alice, "approve")

    live.when("gate.requested", untag_and_approve)
    before = groups(live)
    drilled = drill(live)
    assert not drilled.passed
    assert groups(live) == before
    assert any("is not tagged clampdown:drill=true" in text for text in drilled.shortcomings)
    # Not even the group was made.
    assert "CreateSecurityGroup" not in live.changes()


def test_a_drill_that_is_resumed_is_still_one(live: Scene) -> None:
    tag_for_drills(live)
    responder = live.responder(simulate="")
    opened = responder.open(
        "tag-it", [live.world.victim], REQUESTER, reason="DRILL", drill="drill-1"
    )
    live.untag("clampdown:drill")
    started = responder.resume(opened.incident.id, REQUESTER, prefect=False, wait=False)
    assert started.result is not None
    assert isinstance(started.result.error, NotForDrills)
    assert live.changes() == []


def test_a_target_that_has_an_incident_is_not_drilled_with(live: Scene) -> None:
    tag_for_drills(live)
    waiting = live.responder(simulate="").run(
        "tag-it", [live.world.victim], REQUESTER, prefect=False, wait=False
    )
    with pytest.raises(Refused, match=f"there is {waiting.incident.id}"):
        drill(live)


def test_what_comes_in_meanwhile_may_be_real_and_nothing_is_taken_back(live: Scene) -> None:
    tag_for_drills(live)
    live.write(ISOLATE, more=SHADOW.replace("shadow", "automatic"))
    before = groups(live)
    about = finding(live)

    def joins_and_decides(record: Record) -> None:
        responder = live.responder(simulate="")
        decision = responder.route(about)
        assert isinstance(decision, Routed)
        assert responder.open_routed(about, decision, SERVICE).joined
        alice = Identity("local", "alice")
        responder.decide(record.incident, record.body["gate"], alice, "approve")

    live.when("gate.requested", joins_and_decides)
    drilled = drill(live)
    assert about.id in " ".join(drilled.shortcomings)
    assert "may be real" in " ".join(drilled.shortcomings)
    assert groups(live) != before


def test_a_drill_in_a_simulation_is_no_live_one(scene: Scene) -> None:
    scene.write(ISOLATE)
    with pytest.raises(Refused, match="is for a real account"):
        live_drill(scene.responder(), "tag-it", scene.world.victim, REQUESTER, prefect=False)


def test_guardduty_s_own_sample_is_put_on_the_real_instance(live: Scene) -> None:
    client(live.aws.url, live.world.region, "guardduty").create_detector(Enable=True)
    tag_for_drills(live)
    live.decides()
    drilled = drill(live, create_sample_findings=True)
    assert drilled.passed, drilled.shortcomings
    known = of(live, drilled.incident)[0].body["finding"]
    assert known["resource"]["id"] == live.world.victim
    assert known["title"].startswith("DRILL: [SAMPLE]")
    kinds = [record.kind for record in of(live, drilled.drill)]
    assert kinds[:3] == [drills.BEGAN, drills.SAMPLE_ASKED, drills.INJECTED]
    assert "CreateSampleFindings" in live.changes()


def test_everything_that_people_see_says_drill(live: Scene) -> None:
    tag_for_drills(live)
    live.decides()
    drilled = drill(live)
    responder = live.responder(simulate="")
    records = of(live, drilled.incident)
    incident = responder.incident(drilled.incident)
    told = Told(records, responder.playbooks, datetime.now(UTC), NOBODY_AWAY)
    out = io.StringIO()
    view = Console(file=out, width=200)
    show_status(view, incident, [])
    show_incidents(view, [incident])
    assert out.getvalue().count("DRILL (live)") == 2
    assert sentence(records[0]).startswith(f"DRILL: opened {drilled.incident}")
    assert opening(told).text.startswith("DRILL, LIVE")
    assert incident_document(incident, [])["drill"] == drilled.drill
    assert f"**DRILL** ({drilled.drill})" in incident_report(records, responder.playbooks)
