"""The Home tab in the workspace: what it shows to whom, and what is done from there."""

from __future__ import annotations

from flows.gameday.slack.people import Person
from flows.gameday.slack.views import View
from flows.slack.actions import APPROVE, AWAY, DENY, TASK_DONE
from flows.slack.modals import WHY
from tests.flows.slack.incidents import shown
from tests.flows.slack.office import ONE, TASK, TWO, Office, gate


def home(office: Office, person: Person, *words: str) -> View:
    """Somebody's Home as it is, as soon as it reads so."""

    def find() -> View | None:
        view = person.home
        return view if view and all(word in read(view) for word in words) else None

    found: View = office.until(find)
    return found


def read(view: View) -> str:
    return shown({"blocks": view.blocks})


def test_what_waits_for_me_with_its_age_deadline_and_risk(office: Office) -> None:
    steps = '- {step: ec2.isolate, with: {tracked_connections: "deny_remote_ips"}}'
    office.write(ONE, gate(), steps)
    office.open()
    office.contain()
    incident = office.incident().id
    assert office.alice.open_home().ok
    said = read(home(office, office.alice, "Waiting for you: 1"))
    assert "[SIMULATED] a test" in said
    assert office.scene.world.victim in said
    assert "14 min left" in said
    assert "s ago; needs 0/1 of oncall" in said
    assert "cut off" in said or "isolat" in said
    assert f"`{incident}` gate `contain` in <#{office.room.id}>" in said

    for person in (office.rita, office.carol, office.mallory):
        assert person.open_home().ok
        view = home(office, person, "Nothing waits for you")
        assert APPROVE not in str(view.blocks)
        assert incident in read(view)


def test_a_gate_is_decided_from_home_which_then_is_renewed_for_everybody(office: Office) -> None:
    office.open()
    question = office.contain()
    for person in (office.alice, office.bob):
        assert person.open_home().ok
        home(office, person, "Waiting for you: 1")
    assert office.alice.use(home(office, office.alice), APPROVE).ok
    office.status("contained")
    home(office, office.alice, "Nothing waits for you")
    home(office, office.bob, "Nothing waits for you")
    office.shows(question, "✅ Approved")


def test_a_gate_is_denied_from_home_with_a_reason(office: Office) -> None:
    office.open()
    office.contain()
    assert office.alice.open_home().ok
    assert office.alice.use(home(office, office.alice, "Waiting for you: 1"), DENY).ok
    assert office.alice.submit(office.modal(office.alice, "Why not?"), {WHY: "not now"}).ok
    office.status("denied")
    home(office, office.alice, "Nothing waits for you")


def test_who_may_not_decide_from_home_is_told_so(office: Office) -> None:
    office.open()
    office.contain()
    assert office.alice.open_home().ok
    view = home(office, office.alice, "Waiting for you: 1")
    office.alice.become(is_restricted=True)
    assert office.alice.use(view, APPROVE).ok
    office.said_to(office.alice, "guest")
    assert office.records("gate.decided") == []


def test_a_task_is_reported_from_home(office: Office) -> None:
    office.write(ONE, TASK)
    office.open()
    assert office.rita.command(f"/clampdown contain {office.scene.world.victim}", office.room).ok
    office.status("contained")
    assert office.alice.open_home().ok
    view = home(office, office.alice, "To do: 1", "Tell Legal")
    assert office.alice.use(view, TASK_DONE).ok
    office.until(lambda: office.incident().manual[0].done)
    office.until(lambda: "Tell Legal" not in read(home(office, office.alice)))
    office.post("Done, says", f"<@{office.alice.id}>")


def test_while_somebody_is_away_their_deputy_is_pinged(office: Office) -> None:
    office.write(
        ONE,
        gate(),
        TWO,
        oncall=(
            f"slack_users: [{office.rita.id}, {office.alice.id}, {office.carol.id}], "
            f"deputies: {{{office.alice.id}: {office.carol.id}}}"
        ),
    )
    office.open()
    assert office.alice.open_home().ok
    assert office.carol.open_home().ok
    assert office.alice.use(home(office, office.alice, "You are not away"), AWAY, "4h").ok
    home(office, office.alice, "You are away until")
    home(office, office.carol, "You stand in", f"for <@{office.alice.id}> in `oncall`")

    question = office.contain()
    assert question in office.carol.pings()
    assert question not in office.alice.pings()

    assert office.alice.use(home(office, office.alice), AWAY, "back").ok
    home(office, office.alice, "You are not away")
    office.shows(question, f"Asked: <@{office.alice.id}>")


def test_who_is_in_no_group_is_not_away(office: Office) -> None:
    office.open()
    assert office.mallory.open_home().ok
    assert office.mallory.use(home(office, office.mallory), AWAY, "4h").ok
    office.said_to(office.mallory, "nobody would ask you")
    assert office.records("person.away") == []


def test_what_is_left_of_the_budgets(office: Office) -> None:
    office.write(ONE)
    office.open()
    assert office.rita.command(f"/clampdown contain {office.scene.world.victim}", office.room).ok
    office.status("contained")
    assert office.mallory.open_home().ok
    said = read(home(office, office.mallory, "Budgets"))
    assert "sandbox `123456789012`: 1 of 200 changes within the last hour" in said
    assert "0 of 10 incidents started automatically" in said
