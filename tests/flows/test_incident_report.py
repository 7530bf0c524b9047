"""The report tells all of an incident, in Markdown that holds no markup of anybody else's."""

from __future__ import annotations

from dataclasses import replace

from flows.incident_report import incident_report
from tests.flows.scene import Scene
from tests.flows.slack.incidents import (
    ANA,
    BEFORE,
    BEHIND,
    NAME,
    RIA,
    TASK,
    finding,
    gate,
    playbooks,
    records,
    write,
)
from tests.flows.slack.made_up import some_playbooks, some_records


def test_the_report_of_a_whole_containment(scene: Scene) -> None:
    write(scene, *BEFORE, gate(), *BEHIND, TASK)
    scene.at_once(
        "gate.requested",
        lambda record: (
            scene.responder().decide(record.incident, "contain", ANA, "approve") and None
        ),
    )
    incident = scene.run(
        by=RIA, playbook=NAME, reason="it mines coins", finding=finding(scene)
    ).incident
    report = incident_report(records(scene, incident), playbooks(scene))
    lines = report.splitlines()
    assert lines[0] == f"# Compromised instance: {incident.id}"
    assert f"- Status: **contained**, simulated at {scene.aws.url}" in report
    assert f"- Target: `{incident.targets[0].arn}` (account 123456789012: sandbox, production)" in (
        report
    )
    assert "- Asked for by slack:T012AB3CD/U0RIA, " in report
    assert "- Why: it mines coins" in report
    assert "`CryptoCurrency:EC2/BitcoinTool.B`, severity 8" in report
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == [
        "## Finding",
        "## Steps",
        "## Decisions",
        "## Tasks",
        "## To know",
        "## Plan",
        "## Timeline",
    ]
    assert f"| ec2.isolate | {scene.world.victim} | done | " in report
    assert "  - approve by slack:T012AB3CD/U0ANA, " in report
    assert "- Open a case with Legal, for oncall: open" in report
    assert "- stays after an undo: take snapshots of " in report
    assert incident.plan is not None
    assert incident.plan.digest in report
    # A line for each record, the first at the beginning.
    written = records(scene, incident)
    timeline = lines[lines.index("|---:|---|---|---|") + 1 :]
    assert len(timeline) == len(written)
    assert timeline[0].startswith("| 0.000 | ")


def test_it_tells_what_failed_what_is_open_and_what_nobody_knows() -> None:
    made = some_playbooks(lambda: "words")
    report = incident_report(some_records(lambda: "words", made), made)
    assert "- Status: **aborted**, **live**" in report
    assert "| ec2.isolate | i-0123456789abcdef0 | done | 2.00 s | NO | words |" in report
    assert "- outcome unknown: words" in report
    assert "- words, for oncall: not possible (words)" in report
    assert "(broke the glass)" in report


def test_it_tells_which_findings_joined_and_which_are_resolved() -> None:
    made = some_playbooks(lambda: "words")
    records = some_records(lambda: "words", made)
    paused = next(record.seq for record in records if record.kind == "incident.paused")
    report = incident_report(records[:paused], made)
    assert "## Findings that joined later" in report
    assert report.count("- `words`, severity 9.5: words (`f`)") == 2
    assert "Archived or resolved" not in report
    resolved = next(record.seq for record in records if record.kind == "finding.resolved")
    assert "| another finding joins: words (severity 9.5) f |" in report
    assert "- Paused: words" in report
    then = incident_report(records[:resolved], made)
    assert then.count("Archived or resolved where it came from.") == 1
    assert "- Paused" not in incident_report(records, made)


def test_what_others_wrote_is_text() -> None:
    nasty = "[a](https://evil.example)|<img src=x>\n# Approved\u202e`x`"
    made = some_playbooks(lambda: nasty)
    report = incident_report(some_records(lambda: nasty, made), made)
    assert "\n# Approved" not in report
    assert "\u202e" not in report
    assert r"\[a\](https://evil.example)\|\<img src=x\> \# Approved" in report


def test_records_of_slack_are_no_part_of_it() -> None:
    made = some_playbooks(lambda: "words")
    told = some_records(lambda: "words", made)
    slack = replace(told[1], kind="slack.posted", body={"key": "opening"})
    assert incident_report([*told, slack], made) == incident_report(told, made)
