"""Whose a resource is decides who is asked and where it is told."""

from __future__ import annotations

from typing import Any

import pytest

from flows.gameday.worlds import WorldIds
from flows.ownership import decided_by_owner, owners_by, team_of
from flows.responder import Responder
from runbooks.playbook import Playbook, Playbooks, Team
from tests.flows.people import ALICE, CAROL
from tests.flows.scene import Scene

PLAYBOOK = {
    "title": "t",
    "target": "ec2.instance",
    "steps": [
        {"approve": {"id": "a", "by": "owner", "notify": ["owner", "leads"]}},
        {
            "approve": {
                "id": "b",
                "any_of": [{"group": "owner"}, {"group": "leads"}],
                "otherwise": "escalate",
                "escalate_to": "owner",
            }
        },
        {"step": "ec2.tag", "with": {"tags": {"by": "owner"}}},
        {"manual": {"text": "ask the owner", "by": "owner"}},
    ],
}
TEAMS = {"shop": Team(channel="C0SHOP000", approvers="shop-oncall"), "data": Team()}


def playbooks(**more: Any) -> Playbooks:
    return Playbooks.model_validate(
        {"version": 1, "accounts": {}, "playbooks": {"p": PLAYBOOK}, "teams": TEAMS, **more}
    )


def test_the_first_tag_that_is_there_names_the_team_whatever_its_case() -> None:
    tags = [{"Owner": "data", "TEAM": "shop"}, {"owner": "data"}, {"Name": "x"}, {"team": "shop"}]
    assert owners_by(tags, ("team", "owner")) == ["shop", "data"]


@pytest.mark.parametrize(
    ("tags", "team"),
    [
        ([{"team": "shop"}], TEAMS["shop"]),
        ([{"team": "shop"}, {"team": "shop"}], TEAMS["shop"]),
        ([{"team": "shop"}, {"team": "data"}], None),
        ([{"team": "shop"}, {}], None),
        ([{}, {"team": "shop"}], None),
        ([{"team": "unheard of"}], None),
        ([], None),
    ],
)
def test_a_team_is_known_where_all_targets_are_its(tags: Any, team: Team | None) -> None:
    assert team_of(playbooks(), tags) == team


def test_its_approvers_are_asked_wherever_the_owner_is_and_steps_stay_as_they_are() -> None:
    playbook = Playbook.model_validate(PLAYBOOK)
    asked = decided_by_owner(playbook, TEAMS["shop"])
    groups = [entry.approve.groups for entry in asked.steps if hasattr(entry, "approve")]
    assert groups == [("shop-oncall", "leads"), ("shop-oncall", "leads")]
    assert asked.steps[3].manual.by == "shop-oncall"  # type: ignore[union-attr]
    assert asked.run_steps()[0].with_ == {"tags": {"by": "owner"}}
    assert decided_by_owner(playbook, None) == playbook
    assert decided_by_owner(playbook, TEAMS["data"]) == playbook


def test_the_owner_s_people_decide_and_nobody_else(scene: Scene, world: WorldIds) -> None:
    scene.head = scene.head.replace(
        "  leads:", "  owner: {local_users: [alice]}\n  shop: {local_users: [carol]}\n  leads:"
    )
    steps = "- approve: {id: contain, by: owner}\n- {step: ec2.tag, with: {tags: {a: b}}}"
    scene.write(steps, more="teams: {shop: {approvers: shop}}\n")
    tagged = {"Resources": [world.victim], "Tags": [{"Key": "team", "Value": "shop"}]}
    _client(scene).create_tags(**tagged)
    owned = scene.run(world.victim, wait=False).incident
    nobodys = scene.run(world.ids["bystander"], wait=False).incident
    assert _needed(scene.responder(), owned.id) == "0/1 of shop"
    assert _needed(scene.responder(), nobodys.id) == "0/1 of owner"
    scene.responder().decide(owned.id, "contain", CAROL, "approve")
    scene.responder().decide(nobodys.id, "contain", ALICE, "approve")


def _needed(responder: Responder, incident: str) -> str:
    [gate] = responder.gates(responder.incident(incident))
    return gate.needed


def _client(scene: Scene) -> Any:
    from flows.gameday.worlds import client

    return client(scene.aws.url, scene.world.region, "ec2")
