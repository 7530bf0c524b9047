"""Shadow: what would have been done is judged with real reads, and nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.aws.faults import Fault
from flows.shadow import estimate
from flows.shadow.records import is_shadow
from runbooks.errors import InShadow, Refused, Throttled
from runbooks.reading_connections import ReadOnly
from tests.flows.people import REQUESTER
from tests.flows.scene import Scene
from tests.flows.shadow.shadows import GATED, ONE, SHADOW, TWO, WHOLE, finding, judged

PROTECTED = 'guardrails: {protected: [{tag: {environment: "production"}}]}\n'


def test_the_whole_plan_is_made_and_not_one_changing_request_is_sent(scene: Scene) -> None:
    scene.write(WHOLE, more=SHADOW)
    before = scene.tags()
    judgement = judged(scene.responder(), finding(scene))

    assert judgement.verdict == "ask"
    steps = {step["step"]: step for step in judgement.body["steps"]}
    assert steps["ec2.isolate"]["changes"] > 0
    assert steps["ec2.isolate"]["gate"] == "contain"
    assert all(step["reached"] for step in steps.values())
    assert judgement.body["digest"] == judgement.body["plan"]["digest"]
    assert len(scene.aws.calls) > 5
    assert scene.aws.calls.changes == []
    assert scene.tags() == before
    assert scene.responder().incidents() == []


def test_the_plan_is_the_one_that_a_run_would_make(scene: Scene) -> None:
    scene.write(ONE, more=SHADOW)
    planned, _ = scene.responder().plan("tag-it", [scene.world.victim])
    assert judged(scene.responder(), finding(scene)).body["digest"] == planned.digest


def test_without_a_gate_it_would_have_been_contained(scene: Scene) -> None:
    scene.write(ONE, more=SHADOW)
    judgement = judged(scene.responder(), finding(scene))
    assert judgement.verdict == "contain"
    assert "Would have carried out tag-it" in judgement.sentence
    assert judgement.body["security_groups"][scene.world.ids["victim_eni"]]


def test_who_would_have_been_asked_is_named(scene: Scene) -> None:
    scene.write(GATED, more=SHADOW)
    judgement = judged(scene.responder(), finding(scene))
    [gate] = judgement.body["gates"]
    assert (gate["gate"], gate["needed"], gate["within_seconds"]) == ("contain", True, 600.0)
    assert gate["asks"] == [
        {"group": "oncall", "count": 2, "people": ["local:alice", "local:bob", "local:rita"]}
    ]


def test_a_gate_whose_condition_does_not_hold_asks_nobody(scene: Scene) -> None:
    never = "approve: {id: contain, by: oncall}\n  when: \"target.tags.environment == 'test'\""
    scene.write(f"{ONE}\n- {never}\n{TWO}", more=SHADOW)
    assert judged(scene.responder(), finding(scene)).verdict == "contain"


def test_a_protected_target_would_have_been_refused(scene: Scene) -> None:
    scene.write(WHOLE, more=PROTECTED + SHADOW)
    judgement = judged(scene.responder(), finding(scene))
    assert judgement.verdict == "refuse"
    [refusal] = judgement.body["refusals"]
    assert refusal["rule"] == "ProtectedResource"
    assert "Would have refused" in judgement.sentence
    assert "is protected" in judgement.sentence
    assert judgement.body["plan"] is None


def test_a_protected_resource_behind_the_target_stops_the_step_that_would_change_it(
    scene: Scene,
) -> None:
    arn = 'guardrails: {protected: [{arn: "arn:aws:ec2:*:*:network-interface/*"}]}\n'
    scene.write(WHOLE, more=arn + SHADOW)
    judgement = judged(scene.responder(), finding(scene))
    assert [(item["step"], item["rule"]) for item in judgement.body["refusals"]] == [
        ("ec2.protect", "ProtectedResource"),  # which is no reason to stop
        ("ec2.isolate", "ProtectedResource"),
    ]
    assert judgement.verdict == "refuse"
    reached = {step["step"]: step["reached"] for step in judgement.body["steps"]}
    assert reached["autoscaling.detach"]
    assert reached["ec2.contain_credentials"]  # side by side with it
    assert not reached["evidence.wait"]


def test_what_is_gone_would_have_failed(scene: Scene) -> None:
    scene.write(ONE, more=SHADOW)
    judgement = judged(scene.responder(), finding(scene, "i-0123456789abcdef0"))
    assert judgement.verdict == "fail"
    assert judgement.body["refusals"][0]["rule"] == "UnknownTarget"


def test_a_target_would_have_been_proposed_because_anybody_can_make_one(scene: Scene) -> None:
    scene.write(ONE, more=SHADOW)
    judgement = judged(scene.responder(), finding(scene, resource_role="TARGET"))
    assert (judgement.verdict, judgement.body["mode"]) == ("propose", "propose")


def test_a_second_finding_would_have_joined_the_first_and_costs_no_reads(scene: Scene) -> None:
    scene.write(ONE, more=SHADOW)
    first = judged(scene.responder(), finding(scene))
    known = len(scene.aws.calls)
    second = judged(scene.responder(), finding(scene, id="another"))
    assert (second.verdict, second.body["joins"]) == ("join", first.chain)
    assert len(scene.aws.calls) == known


def test_it_would_have_joined_a_real_incident_that_is_there(scene: Scene) -> None:
    scene.write(ONE, more=SHADOW)
    incident = scene.run().incident
    judgement = judged(scene.responder(), finding(scene))
    assert (judgement.verdict, judgement.body["joins"]) == ("join", incident.id)


def test_the_automatic_budget_is_counted_by_shadow_alone_and_freezes_nothing(scene: Scene) -> None:
    budget = "guardrails: {budgets: {automatic_isolations_per_hour: 1}}\n"
    scene.write(ONE, more=budget + SHADOW)
    assert judged(scene.responder(), finding(scene)).verdict == "contain"
    other = finding(scene, scene.world.ids["bystander"], id="another")
    judgement = judged(scene.responder(), other)
    assert judgement.verdict == "propose"
    assert "the limit is 1" in judgement.body["why"][-1]
    real = scene.responder().automatic
    assert (real.frozen(), real.started()) == (None, 0)


def test_what_is_frozen_would_have_been_proposed(scene: Scene) -> None:
    scene.write(ONE, more="guardrails: {budgets: {automatic_isolations_per_hour: 1}}\n" + SHADOW)
    responder = scene.responder()
    side = responder.settings.simulate
    responder.journal.append(
        "automatic", "automatic.frozen", {"why": "a flood", "simulate": side}, REQUESTER.actor
    )
    judgement = judged(responder, finding(scene))
    assert judgement.verdict == "propose"
    assert "a flood" in judgement.body["why"][-1]


def test_changes_per_hour_are_counted_over_what_was_judged(scene: Scene) -> None:
    budget = "guardrails: {budgets: {changes_per_account_per_hour: 3}}\n"
    stops = TWO.replace("}}}", "}}, on_failure: stop}")
    scene.write(f"{ONE}\n{stops}", more=budget + SHADOW)
    first = judged(scene.responder(), finding(scene))
    assert first.body["spent"] == {scene.world.account: 2}
    other = finding(scene, scene.world.ids["bystander"], id="another")
    second = judged(scene.responder(), other)
    assert second.verdict == "refuse"
    assert second.body["refusals"][0]["rule"] == "BudgetExceeded"
    assert second.body["refusals"][0]["step"] == "two"
    # The real budget is untouched: a real run may do as much as ever.
    assert scene.run().incident.status == "contained"


def test_how_long_it_would_take_follows_from_how_long_it_took(scene: Scene) -> None:
    scene.write(f"{ONE}\n{TWO}", more=SHADOW)
    unknown = judged(scene.responder(), finding(scene)).body["estimate"]
    assert unknown["calls_seconds"] == 2 * estimate.NOT_KNOWN
    assert "never made: create_tags" in unknown["how"]
    scene.run(scene.world.ids["bystander"])
    third = finding(scene, id="third")
    # Another process, which has not read the journal before.
    fresh = judged(scene.responder(), third)
    assert fresh.verdict == "join"
    responder = scene.responder()
    took = estimate.Durations(responder.journal, "simulated").of("create_tags")
    assert took is not None
    assert 0 < took < estimate.NOT_KNOWN


def test_throttling_is_no_verdict(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from runbooks import aws

    monkeypatch.setattr(aws, "THROTTLE_PATIENCE", timedelta(0))
    scene.write(ONE, more=SHADOW)
    responder = scene.responder()
    about = finding(scene)
    responder.route(about)
    scene.aws.fault(Fault(service="ec2", operation="DescribeInstances", effect="throttle"))
    with pytest.raises(Throttled):
        judged(responder, about)
    assert [h for h in responder.journal.incidents() if is_shadow(h.incident)] == []


# Nothing is opened, by whichever way


def test_a_shadow_route_opens_nothing_for_whoever_responds(scene: Scene) -> None:
    scene.write(ONE, more=SHADOW)
    with pytest.raises(InShadow, match="Would have carried out") as refused:
        scene.responder().respond(finding(scene), REQUESTER, prefect=False)
    assert refused.value.exit_code == 3
    assert scene.responder().incidents() == []
    # A person may start the playbook all the same.
    assert scene.run().incident.status == "contained"


def test_in_shadow_as_a_whole_every_route_is_judged_and_nothing_can_be_begun(scene: Scene) -> None:
    scene.write(ONE, more=SHADOW.replace("shadow", "automatic"))
    before = scene.run(scene.world.ids["bystander"]).incident
    shadow = scene.responder(shadow=True)
    known = len(scene.aws.calls.changes)

    assert judged(shadow, finding(scene)).verdict == "contain"
    asks: list[Any] = [
        lambda: shadow.run("tag-it", [scene.world.victim], REQUESTER, prefect=False),
        lambda: shadow.resume(before.id, REQUESTER, prefect=False),
        lambda: shadow.undo(before.id, REQUESTER),
        lambda: shadow.reap(),
    ]
    for ask in asks:
        with pytest.raises(InShadow):
            ask()
    assert len(scene.aws.calls.changes) == known
    assert len(scene.responder().incidents()) == 1


def test_no_client_of_shadow_sends_a_change_even_when_asked_to(scene: Scene) -> None:
    scene.write(ONE, more=SHADOW)
    connections = scene.responder(shadow=True).connections("test")
    ec2 = connections.client("ec2", scene.world.account, scene.world.region)
    assert ec2.describe_instances()["Reservations"]
    known = len(scene.aws.calls)
    with pytest.raises(ReadOnly, match="only reads are"):
        ec2.create_tags(Resources=[scene.world.victim], Tags=[{"Key": "a", "Value": "b"}])
    assert len(scene.aws.calls) == known
    assert issubclass(ReadOnly, Refused)
    connections.close()
