"""A team's incidents are told where the team is, and the team is asked."""

from __future__ import annotations

from flows.slack.actions import APPROVE
from tests.flows.slack.incidents import shown
from tests.flows.slack.office import ONE, TWO, Office, gate


def test_an_incident_of_a_team_is_told_in_its_channel_and_its_approvers_are_pinged(
    office: Office,
) -> None:
    room = office.slack.channel("payments", office.rita, office.bob, office.carol)
    office.write(
        ONE,
        gate(by="owner"),
        TWO,
        more=f"teams: {{payments: {{channel: {room.id}, approvers: leads}}}}\n",
    )
    group = (
        f"owner: {{slack_team: {office.slack.workspace.team.id}, slack_users: [{office.bob.id}]}}"
    )
    written = office.scene.file.read_text()
    office.scene.file.write_text(written.replace("approvers:\n", f"approvers:\n  {group}\n"))
    office.open()
    victim = office.scene.world.victim
    assert office.rita.command(f"/clampdown contain {victim}", office.room).ok
    question = office.post("“contain”", APPROVE, channel=room)
    assert "0/1 of `leads` must approve" in shown({"blocks": question.blocks})
    assert question in office.carol.pings()
    assert question not in office.bob.pings()
    opening = office.post("Waiting for approval", "*Owner*", channel=room)
    assert "*Owner*: payments" in shown({"blocks": opening.blocks})
    assert office.posts() == []
    office.said_to(office.rita, f"It is told in <#{room.id}>")

    assert office.bob.click(room, question.ts, APPROVE).ok
    office.said_to(office.bob, "leads")
    assert office.carol.click(room, question.ts, APPROVE).ok
    office.status("contained")
