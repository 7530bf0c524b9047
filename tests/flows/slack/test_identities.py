"""Who may decide in Slack: by team and user, as Slack says when they click; all others are refused,
told so privately, and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, cast

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from flows.gameday.slack.faults import Fault
from flows.gameday.slack.people import Person
from flows.gameday.slack.server import SimulatedSlack
from flows.identity import Identity
from flows.slack import people
from flows.slack.people import IdentityUnknown, People
from flows.slack.posting import web_client
from runbooks.playbook import ApproverGroup
from tests.flows.people import ALICE
from tests.flows.scene import Scene
from tests.flows.slack.newsroom import hurry
from tests.flows.slack.office import ONE, TASK, TWO, Office, gate

US, THEM, SISTER = "T0US", "T0THEM", "T0SISTER"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


# What Slack says of somebody


def identified(profile: Mapping[str, Any], *, team: str = US, user: str = "U0ANA") -> Identity:
    """Who somebody is of whom Slack says this, and the request that they are of ``team``."""

    class Slack:
        async def users_info(self, *, user: str) -> Mapping[str, Any]:
            return {"ok": True, "user": {"id": user, **profile}}

    client = cast(AsyncWebClient, Slack())
    return asyncio.run(People(client, (), US).identify(user, team))


def test_a_member_is_known_by_team_and_user() -> None:
    identity = identified({"team_id": US, "name": "admin", "real_name": "local:root"})
    assert (identity.principal, identity.objection) == (f"slack:{US}/U0ANA", "")


@pytest.mark.parametrize(
    ("profile", "objection"),
    [
        ({"is_restricted": True}, "it is a guest"),
        ({"is_ultra_restricted": True, "is_restricted": True}, "it is a guest"),
        ({"is_bot": True}, "it is a bot"),
        ({"is_workflow_bot": True}, "it is a bot"),
        ({"deleted": True}, "the account is deactivated"),
        ({"is_stranger": True}, "it belongs to another organisation"),
        ({"team_id": THEM}, "it belongs to another organisation"),
        ({"team_id": THEM, "is_admin": True}, "it belongs to another organisation"),
        ({"team_id": ""}, "it belongs to another organisation"),
        ({"team_id": None}, "it belongs to another organisation"),
    ],
)
def test_whom_slack_flags_may_decide_nothing(profile: Mapping[str, Any], objection: str) -> None:
    assert identified({"team_id": US, **profile}).objection == objection


def test_slacks_own_bot_is_one_although_slack_does_not_say_so() -> None:
    assert identified({"team_id": US, "is_bot": False}, user="USLACKBOT").bot


@pytest.mark.parametrize("team", [THEM, "", "local"])
def test_the_same_user_id_of_another_workspace_is_somebody_else(team: str) -> None:
    identity = identified({"team_id": US}, team=team)
    assert identity.objection == "it belongs to another organisation"


@pytest.mark.parametrize("home", [US, SISTER, "E0ORG"])
@pytest.mark.parametrize("team", [US, SISTER])
def test_in_an_organisation_somebody_in_several_workspaces_is_one_person(
    home: str, team: str
) -> None:
    """Whichever of their workspaces the request names: or one person had two votes."""
    member = {"id": "W0ANA", "enterprise_id": "E0ORG", "teams": [US, SISTER]}
    identity = identified({"team_id": home, "enterprise_user": member}, team=team, user="W0ANA")
    assert (identity.principal, identity.objection) == (f"slack:{US}/W0ANA", "")


def test_in_an_organisation_somebody_of_another_workspace_is_refused() -> None:
    sister = {"id": "W0ANA", "enterprise_id": "E0ORG", "teams": [SISTER]}
    identity = identified({"team_id": SISTER, "enterprise_user": sister}, team=SISTER)
    assert identity.principal == f"slack:{SISTER}/U0ANA"
    assert identity.stranger


# User groups


class Membership:
    """People and user groups of a simulated Slack, as the app asks for them."""

    def __init__(self, slack: SimulatedSlack) -> None:
        self.slack = slack
        self.ana, self.ben = slack.person("ana"), slack.person("ben")
        self.oncall = slack.group("oncall", self.ana)
        self.people = self.of(slack_usergroup=self.oncall.id)

    def of(self, *groups: Mapping[str, Any], **group: Any) -> People:
        team = self.slack.workspace.team.id
        made = [
            ApproverGroup.model_validate({"slack_team": team, **given})
            for given in (*groups, *([group] if group else []))
        ]
        client = web_client(self.slack.api_url, self.slack.installation.bot_token)
        return People(client, made, team)

    def groups(self, person: Person, people: People | None = None) -> tuple[str, ...]:
        identify = (people or self.people).identify(person.id, person.user.team.id)
        return asyncio.run(identify).usergroups

    @property
    def asked(self) -> int:
        """How often Slack was asked who is in a group."""
        return sum(call.method == "usergroups.users.list" for call in self.slack.calls)


@pytest.fixture
def membership() -> Iterator[Membership]:
    with SimulatedSlack(unlimited=True) as slack:
        yield Membership(slack)


def test_who_is_in_a_group_is_asked_of_slack_and_known_for_a_while(membership: Membership) -> None:
    assert membership.groups(membership.ana) == (membership.oncall.id,)
    assert membership.groups(membership.ben) == ()
    assert membership.groups(membership.ana) == (membership.oncall.id,)
    assert membership.asked == 1


def test_who_was_taken_out_of_a_group_counts_no_longer_than_it_is_known(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "_GROUPS_HOLD", timedelta(0))
    assert membership.groups(membership.ana)
    membership.oncall.users = [membership.ben.id]
    assert membership.groups(membership.ana) == ()
    assert membership.groups(membership.ben) == (membership.oncall.id,)


FAULTS = [
    Fault(method="usergroups.users.list", effect="error", code="internal_error"),
    Fault(method="usergroups.users.list", effect="error", code="missing_scope"),
    Fault(method="usergroups.users.list", effect="server_error", status=502),
    Fault(method="usergroups.users.list", effect="ratelimited", seconds=30),
    Fault(method="usergroups.users.list", effect="drop"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.effect} {fault.code}")
def test_a_group_that_slack_does_not_answer_for_has_nobody_in_it(
    membership: Membership, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(people, "_GROUPS_HOLD", timedelta(0))
    assert membership.groups(membership.ana)
    membership.slack.fault(fault)
    with pytest.raises(IdentityUnknown, match=r"can't be asked who S\w+ is .*nothing was decided"):
        membership.groups(membership.ana)
    # Who is listed by their own id is no less so.
    listed = membership.of(slack_usergroup=membership.oncall.id, slack_users=[membership.ana.id])
    assert membership.groups(membership.ana, listed) == ()
    membership.slack.clear_faults()
    assert membership.groups(membership.ana)


def test_a_group_that_is_no_more_has_nobody_in_it_and_that_is_an_answer(
    membership: Membership,
) -> None:
    membership.oncall.disabled = True
    assert membership.groups(membership.ana) == ()


def test_groups_of_another_workspace_are_not_asked_for(membership: Membership) -> None:
    other = membership.of({"slack_team": THEM, "slack_usergroup": membership.oncall.id})
    assert membership.groups(membership.ana, other) == ()
    assert membership.asked == 0


def test_the_own_workspace_is_asked_of_slack_where_it_was_not_reached_before(
    membership: Membership,
) -> None:
    slack, ana = membership.slack, membership.ana
    late = People(web_client(slack.api_url, slack.installation.bot_token), ())
    slack.fault(Fault(method="auth.test", effect="server_error", times=1))
    with pytest.raises(IdentityUnknown, match="Clampdown itself"):
        asyncio.run(late.identify(ana.id, ana.user.team.id))
    assert asyncio.run(late.identify(ana.id, ana.user.team.id)).objection == ""


# At a gate


def refusals(office: Office, kind: str = "gate.refused") -> dict[str, str]:
    """Why whose decisions were refused, by the end of their principal."""
    return {r.actor.id.rpartition("/")[2]: r.body["why"] for r in office.records(kind)}


def test_no_list_makes_an_approver_of_who_is_no_member(office: Office) -> None:
    """They are on the list, and in the channel: what they are decides."""
    slack = office.slack
    kinds: dict[str, Mapping[str, Any]] = {
        "it is a guest": {"is_restricted": True},
        "it is a bot": {"is_bot": True},
        "the account is deactivated": {"deleted": True},
        "it belongs to another organisation": {"team": slack.other_team("Evil Corp")},
    }
    them = {why: slack.person(why.replace(" ", "-"), **more) for why, more in kinds.items()}
    with slack.workspace.changing():
        office.room.members.update(person.id for person in them.values())
    listed = ", ".join(person.id for person in (office.rita, office.alice, *them.values()))
    office.write(ONE, gate(), TWO, TASK, oncall=f"slack_users: [{listed}]")
    office.open()
    post = office.contain()
    for why, person in them.items():
        assert office.click(person, post, "gate_approve").ok
        office.said_to(person, "can't decide", why)
        assert person.command(f"/clampdown contain {office.scene.world.victim}", office.room).ok
        office.said_to(person, "Nothing was done", why)
    assert {who: why.rpartition(": ")[2].rstrip(".") for who, why in refusals(office).items()} == {
        person.id: why for why, person in them.items()
    }
    assert refusals(office, "slack.refused") == {person.id: why for why, person in them.items()}
    assert "two" not in office.scene.tags()
    # The list itself is right: a member who is on it may.
    assert office.click(office.alice, post, "gate_approve").ok
    office.until(lambda: office.records("manual.requested"))


def test_who_is_on_no_list_and_who_asked_for_it_decide_nothing(office: Office) -> None:
    office.open()
    post = office.contain()
    assert office.click(office.mallory, post, "gate_approve").ok
    office.said_to(office.mallory, "is not on the list of approvers")
    assert office.click(office.carol, post, "gate_approve").ok
    office.said_to(office.carol, "is not on the list of approvers")
    assert office.click(office.rita, post, "gate_approve").ok
    office.said_to(office.rita, "started this incident", "somebody else must")
    assert set(refusals(office)) == {p.id for p in (office.mallory, office.carol, office.rita)}
    # Nobody but they themselves was told.
    assert not [
        post for post in office.posts() if "not on the list" in f"{post.text} {post.blocks}"
    ]
    assert office.whispers(office.alice) == []
    assert office.records("gate.decided") == []


def test_who_asked_at_a_terminal_does_not_decide_in_slack(office: Office) -> None:
    rita, alice = office.rita.id, office.alice.id
    same = f"slack_users: [{rita}, {alice}], same_person: {{{ALICE.id}: {rita}}}"
    office.write(ONE, gate(), TWO, oncall=same)
    office.open()
    office.scene.run(by=ALICE, wait=False)
    post = office.post("“contain”", "Approve")
    assert office.click(office.rita, post, "gate_approve").ok
    office.said_to(office.rita, "started this incident")
    assert set(refusals(office)) == {rita}


def test_a_user_group_decides_and_who_left_it_does_not(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "_GROUPS_HOLD", timedelta(0))
    group = office.slack.group("oncall", office.rita, office.alice, office.bob)
    office.write(ONE, gate(quorum=2), TWO, oncall=f"slack_usergroup: {group.id}")
    office.open()
    post = office.contain()
    assert office.click(office.alice, post, "gate_approve").ok
    office.said_to(office.alice, "You approved", "still needs")
    group.users = [office.alice.id, office.carol.id]
    assert office.click(office.bob, post, "gate_approve").ok
    office.said_to(office.bob, "is not on the list of approvers")
    assert office.click(office.carol, post, "gate_approve").ok
    office.status("contained")
    votes = {
        r.actor.id.rpartition("/")[2]: r.body["usergroups"] for r in office.records("gate.decided")
    }
    assert votes == {office.alice.id: [group.id], office.carol.id: [group.id]}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="users.info", effect="error", code="user_not_found"),
        Fault(method="users.info", effect="server_error"),
        Fault(method="users.info", effect="ratelimited", seconds=30),
        Fault(method="users.info", effect="drop"),
    ],
    ids=lambda fault: fault.effect,
)
def test_where_slack_does_not_say_who_it_is_nothing_is_decided(
    office: Office, fault: Fault
) -> None:
    office.open()
    post = office.contain()
    office.slack.fault(fault)
    assert office.click(office.alice, post, "gate_approve").ok
    office.said_to(office.alice, "can't be asked who", "nothing was decided", "clampdown approve")
    assert office.records("gate.decided") == []
    office.slack.clear_faults()
    assert office.click(office.alice, post, "gate_approve").ok
    office.status("contained")


def test_where_slack_does_not_say_who_is_in_a_group_nothing_is_decided(office: Office) -> None:
    group = office.slack.group("oncall", office.alice)
    more = f"slack_users: [{office.rita.id}, {office.bob.id}], slack_usergroup: {group.id}"
    office.write(ONE, gate(), TWO, oncall=more)
    office.slack.fault(FAULTS[0])
    office.open()
    post = office.contain()
    assert office.click(office.alice, post, "gate_approve").ok
    office.said_to(office.alice, f"can't be asked who {group.id} is")
    assert office.records("gate.decided") == []
    assert office.click(office.bob, post, "gate_approve").ok
    office.status("contained")


def test_in_an_organisation_people_have_other_ids_and_decide_the_same(scene: Scene) -> None:
    with SimulatedSlack(unlimited=True, enterprise=True) as slack:
        office = Office(scene, slack)
        try:
            office.open()
            post = office.contain()
            assert office.alice.id.startswith("W")
            assert office.click(office.alice, post, "gate_approve").ok
            (vote,) = office.until(lambda: office.records("gate.decided"))
            assert vote.actor.id == f"slack:{slack.workspace.team.id}/{office.alice.id}"
            office.status("contained")
        finally:
            office.close()


def test_looking_is_for_members_alone_as_well(office: Office) -> None:
    office.open()
    post = office.contain()
    incident = office.incident().id
    office.mallory.become(is_restricted=True)
    for act in (
        lambda: office.mallory.command(f"/clampdown status {incident}", office.room),
        lambda: office.mallory.command("/clampdown incidents", office.room),
        lambda: office.mallory.click(office.room, post.ts, "show_calls"),
    ):
        told = len(office.whispers(office.mallory))
        assert act().ok
        office.until(_more_than(office, office.mallory, told))
        assert "may not look at incidents" in office.whispers(office.mallory)[-1]
    assert office.mallory.modal is None


def _more_than(office: Office, person: Person, told: int) -> Callable[[], bool]:
    return lambda: len(office.whispers(person)) > told
