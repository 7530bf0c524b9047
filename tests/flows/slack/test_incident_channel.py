"""A channel of its own for each incident: who is in it, and what the usual channel says."""

from __future__ import annotations

from flows.gameday.slack.faults import Fault
from flows.gameday.slack.records import Channel
from flows.slack.actions import APPROVE
from tests.flows.slack.office import ONE, TASK, TWO, Office, gate


def own(office: Office) -> Channel:
    """The incident's own channel, as soon as there is one."""
    name = office.incident().id

    def find() -> Channel | None:
        channels = office.slack.workspace.channels.values()
        return next((channel for channel in channels if channel.name == name), None)

    found: Channel = office.until(find)
    return found


def ask(office: Office) -> None:
    victim = office.scene.world.victim
    assert office.rita.command(f"/clampdown contain {victim}", office.room).ok


def test_an_incident_is_told_in_its_own_channel_and_the_usual_one_links_there(
    office: Office,
) -> None:
    group = office.slack.group("leads", office.carol)
    settings = {"otherwise": "escalate", "escalate_to": "leads"}
    office.write(
        ONE,
        gate(**settings),
        TWO,
        slack="incident_channels: true",
        leads=f"slack_usergroup: {group.id}",
    )
    office.open()
    ask(office)
    channel = own(office)
    question = office.post("“contain”", APPROVE, channel=channel)
    asked = {office.rita.id, office.alice.id, office.bob.id, office.carol.id}
    assert channel.members == {*asked, office.slack.workspace.bot_user}
    assert question in office.alice.pings()

    told = office.post("Waiting for approval", f"<#{channel.id}>")
    assert office.scene.world.victim in str(told.blocks)
    assert office.alice.click(channel, question.ts, APPROVE).ok
    office.status("contained")
    office.shows(told, "Contained and verified", f"<#{channel.id}>")
    office.until(lambda: any(post.files for post in office.posts(channel)))
    assert [post.ts for post in office.posts()] == [told.ts]
    (made,) = office.records("slack.channel")
    assert made.body == {"channel": channel.id}
    assert made.incident == office.incident().id


def test_whoever_can_not_be_invited_keeps_nobody_out(office: Office) -> None:
    office.bob.become(deleted=True)
    office.write(ONE, gate(), TWO, slack="incident_channels: true")
    office.open()
    ask(office)
    channel = own(office)
    office.post("“contain”", APPROVE, channel=channel)
    assert office.alice.id in channel.members
    assert office.bob.id not in channel.members


def test_a_channel_that_was_made_and_not_recorded_is_found_by_its_name(office: Office) -> None:
    office.write(ONE, TASK, slack="incident_channels: true")
    started = office.scene.run()
    with office.slack.workspace.changing():
        made = office.slack.channel(started.incident.id)
    office.open()
    office.post("[SIMULATED]", f"<#{made.id}>")
    office.post("Contained and verified", channel=made)
    assert own(office) is made
    assert len(office.records("slack.channel")) == 1


def test_the_next_process_goes_on_in_the_same_channel(office: Office) -> None:
    office.write(ONE, gate(), TWO, slack="incident_channels: true")
    first = office.open()
    ask(office)
    channel = own(office)
    question = office.post("“contain”", APPROVE, channel=channel)
    told = office.post("Waiting for approval", f"<#{channel.id}>")
    first.stop()
    office.open()
    assert office.alice.click(channel, question.ts, APPROVE).ok
    office.status("contained")
    office.shows(told, "Contained and verified")
    office.shows(question, "✅ Approved", channel=channel)
    assert len(office.posts()) == 1
    openings = [post for post in office.posts(channel) if not post.is_reply]
    assert len(openings) == 1


def test_where_slack_lets_the_app_make_none_all_of_it_is_in_the_usual_one(office: Office) -> None:
    office.slack.fault(Fault(method="conversations.create", code="restricted_action"))
    office.write(ONE, gate(), TWO, slack="incident_channels: true")
    office.open()
    ask(office)
    question = office.post("“contain”", APPROVE)
    assert office.alice.click(office.room, question.ts, APPROVE).ok
    office.status("contained")
    office.post("All of the playbook was done")
    assert office.records("slack.channel") == []


def test_what_was_told_in_a_channel_that_is_archived_is_told_in_the_usual_one(
    office: Office,
) -> None:
    office.write(ONE, gate(), TWO, slack="incident_channels: true")
    office.open()
    ask(office)
    channel = own(office)
    question = office.post("“contain”", APPROVE, channel=channel)
    told = office.post("Waiting for approval", f"<#{channel.id}>")
    office.slack.archive(channel)
    assert office.alice.click(channel, question.ts, APPROVE).ok
    office.status("contained")
    office.post("All of the playbook was done")
    office.shows(told, "Contained and verified")
