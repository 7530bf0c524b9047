"""Game days from Slack: marked DRILL, for those who may, one at a time."""

from __future__ import annotations

import pytest

from tests.flows.slack.office import Office


@pytest.mark.timeout(180)
def test_a_game_day_is_run_and_reported_where_it_was_asked_for(office: Office) -> None:
    office.scene.file.write_text(
        office.scene.file.read_text().replace("tag-it:", "ec2-compromise:")
    )
    office.open()

    assert office.alice.command("/clampdown gameday run crypto-mining", office.room).ok
    begun = office.post("DRILL", "crypto-mining", "nothing real")
    assert office.alice.id in begun.text
    office.until(lambda: any("of 100" in post.text for post in office.posts()), 120)
    told = office.post("DRILL", "of 100")
    (file,) = told.files
    assert file["name"].endswith(".html")
    assert office.incidents() == []

    assert office.alice.command("/clampdown gameday list", office.room).ok
    office.said_to(office.alice, "crypto-mining", "of 100")


def test_who_may_trigger_nothing_runs_none(office: Office) -> None:
    office.open()
    before = len(office.posts())

    assert office.mallory.command("/clampdown gameday run crypto-mining", office.room).ok
    office.said_to(office.mallory, "run the game day crypto-mining", "Nothing was done")
    assert office.alice.command("/clampdown gameday run crypto-minig", office.room).ok
    office.said_to(office.alice, "crypto-mining")

    assert office.mallory.command("/clampdown gameday unschedule crypto-mining", office.room).ok
    office.said_to(office.mallory, "unschedule crypto-mining", "Nothing was done")
    assert office.alice.command("/clampdown gameday schedule", office.room).ok
    office.said_to(office.alice, "No Prefect server")
    # A scenario of a playbook that there isn't is not even announced.
    assert office.alice.command("/clampdown gameday run crypto-mining", office.room).ok
    office.said_to(office.alice, "ec2-compromise")

    assert len(office.posts()) == before
