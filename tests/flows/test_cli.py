"""The command line, run as people run it: what is printed where, and which exit code says what."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from flows import approvals
from flows.cli import app
from flows.identity import Identity
from flows.journal.journal import Journal
from runbooks.playbook import ApproverGroup
from tests.conftest import ROOT
from tests.flows.commands import EVENT, ME, SAMPLES, Commands, Ended
from tests.runbooks.stage import Stage

INSTANCE_OF_SAMPLES = "i-0123456789abcdef0"
# They end only when somebody ends them, or have subcommands or a set-up of their own.
TESTED_ELSEWHERE = {
    "doctor",
    "gameday",
    "resume-automatic",
    "sandbox",
    "serve",
    "slack",
    "ui",
    "worker",
}


@pytest.fixture
def live(tmp_path: Path) -> Commands:
    """Commands that are not told of any simulated AWS."""
    return Commands(tmp_path)


@pytest.fixture
def trap() -> Iterator[dict[str, str]]:
    """The environment that leads every request of an SDK to somebody who must not be asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield {"HTTPS_PROXY": url, "HTTP_PROXY": url}
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def preserve(clampdown: Commands, stage: Stage, *more: str) -> Ended:
    """A containment without any gate, carried out."""
    return clampdown("run", "preserve", "--target", stage.world.victim, "--without-prefect", *more)


def wait_at_gate(clampdown: Commands, stage: Stage, *more: str) -> str:
    """An incident that has come to its gate and was left there; its id."""
    ended = clampdown(
        "run", "contain", "--target", stage.world.victim, "--without-prefect", "--no-wait", *more
    )
    assert "approve" in ended.out
    return ended.incident


def assert_said(ended: Ended, code: int, *texts: str) -> None:
    """It ended with this code, and said why where errors are said."""
    assert ended.code == code, ended
    assert ended.out == ""
    for text in texts:
        assert text in ended.err


# Every command


def test_every_command_prints_one_document_with_json_and_words_without(
    clampdown: Commands, stage: Stage
) -> None:
    victim, without = stage.world.victim, "--without-prefect"
    for extra in ([], ["--json"]):
        event = str(clampdown.finding(stage, id=f"finding{len(extra)}"))
        ran = clampdown("run", "preserve", "--target", victim, without, "--finding", event, *extra)
        incident = ran.incident
        gated = clampdown("run", "contain", "--target", victim, without, "--no-wait", *extra)
        other = clampdown(
            "run", "contain", "--target", stage.world.ids["bystander"], without, "--no-wait", *extra
        )
        done = {
            "run": ran,
            "validate": clampdown("validate", *extra),
            "playbooks": clampdown("playbooks", *extra),
            "show": clampdown("show", "contain", *extra),
            "plan": clampdown("plan", "contain", "--target", victim, *extra),
            "respond": clampdown("respond", "--finding", event, without, *extra),
            "approve": clampdown("approve", gated.incident, "contain", *extra),
            "resume": clampdown("resume", gated.incident, without, *extra),
            "deny": clampdown("deny", other.incident, "contain", "--why", "no", *extra),
            "abort": clampdown("abort", other.incident, "--why", "false alarm", *extra),
            "incidents": clampdown("incidents", *extra),
            "status": clampdown("status", incident, *extra),
            "timeline": clampdown("timeline", incident, *extra),
            "undo": clampdown("undo", incident, *extra),
            "permissions": clampdown("permissions", "contain", *extra),
            "reap": clampdown("reap", *extra),
            "journal": clampdown("journal", "verify", *extra),
            "export": clampdown("journal", "export", incident, *extra),
        }
        clampdown("undo", gated.incident)
        for name, ended in done.items():
            assert ended.code == 0, (name, ended)
            assert ended.out.strip(), name
            if extra:
                assert isinstance(ended.json, dict), name
                assert ended.err == "", (name, ended.err)
        assert commands() - TESTED_ELSEWHERE == set(done) - {"export"}


def commands() -> set[str]:
    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_errors_are_one_document_with_json_too(clampdown: Commands) -> None:
    ended = clampdown("plan", "no-such-playbook", "--target", "i-0123456789abcdef0", "--json")

    assert ended.code == 2
    assert ended.json["error"]["kind"] == "InvalidInput"
    assert "contain, preserve" in ended.json["error"]["advice"]
    assert "no-such-playbook" in ended.err


# Usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["run"],
        ["run", "contain"],
        ["plan", "contain", "--target", "i-0123456789abcdef0", "--no-such-option"],
        ["deny", "inc-20260101-abcdef", "contain"],
        ["journal", "no-such-command"],
    ],
    ids=" ".join,
)
def test_bad_usage_says_so_and_exits_2(live: Commands, arguments: list[str]) -> None:
    assert_said(live(*arguments), 2, "Usage: clampdown")


@pytest.mark.parametrize("arguments", [[], ["journal"]], ids=["clampdown", "clampdown journal"])
def test_no_command_shows_which_there_are(live: Commands, arguments: list[str]) -> None:
    ended = live(*arguments)

    assert ended.code == 2
    assert "Usage: clampdown" in ended.out + ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "inc-20260101-abcdef"],
        ["timeline", "inc-20260101-abcdef"],
        ["resume", "inc-20260101-abcdef"],
        ["undo", "inc-20260101-abcdef"],
        ["approve", "inc-20260101-abcdef", "contain"],
        ["abort", "inc-20260101-abcdef", "--why", "it"],
        ["journal", "verify", "inc-20260101-abcdef"],
        ["journal", "export", "inc-20260101-abcdef"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_an_incident_that_does_not_exist_is_said_to_exit_2(
    live: Commands, arguments: list[str]
) -> None:
    assert_said(live(*arguments), 2, "incident")


# Targets


@pytest.mark.parametrize(
    ("target", "code", "text"),
    [
        ("i-0123456789abcdef0", 2, "i-0123456789abcdef0"),
        ("i-xyz; rm -rf /", 2, "is not an instance"),
        ("", 2, "is not an instance"),
        ("arn:aws:ec2:eu-west-1:999999999999:instance/i-0123456789abcdef0", 3, "999999999999"),
        ("arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0", 2, "us-east-1"),
    ],
    ids=["unknown", "malformed", "empty", "another account", "another Region"],
)
def test_a_target_that_is_not_there_is_refused(
    clampdown: Commands, stage: Stage, target: str, code: int, text: str
) -> None:
    for command in ("plan", "run"):
        ended = clampdown(command, "contain", "--target", target)
        assert ended.code == code, ended
        assert text in ended.err + ended.out
    assert stage.changes() == []


def test_a_terminated_instance_is_not_contained(clampdown: Commands, stage: Stage) -> None:
    gone = stage.world.ids["standalone"]
    stage.client("ec2").terminate_instances(InstanceIds=[gone])
    stage.forget_calls()

    assert_said(clampdown("plan", "contain", "--target", gone), 1, gone, "terminated")
    ended = clampdown("run", "contain", "--target", gone, "--without-prefect")

    assert ended.code == 1
    assert "terminated" in ended.out
    assert stage.changes() == []


def test_an_instance_without_a_vpc_is_not_isolated(
    clampdown: Commands, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moto.ec2.models.instances.Instance.vpc_id", None)

    ended = clampdown("plan", "contain", "--target", stage.world.victim)

    assert_said(ended, 1, stage.world.victim, "VPC")


def test_a_protected_instance_is_refused_before_anything_is_sent(
    clampdown: Commands, stage: Stage
) -> None:
    tags = [{"Key": "clampdown:protected", "Value": "true"}]
    stage.client("ec2").create_tags(Resources=[stage.world.victim], Tags=tags)
    stage.forget_calls()

    ended = preserve(clampdown, stage)

    assert ended.code == 3
    assert "protected" in ended.out
    assert stage.changes() == []


def test_more_targets_than_an_incident_may_have_are_refused(
    clampdown: Commands, stage: Stage
) -> None:
    targets = [part for n in range(6) for part in ("--target", f"i-0123456789abcdef{n}")]

    assert_said(clampdown("run", "preserve", *targets), 3, "6 targets", "5", "Nothing was done")
    assert len(stage.aws.calls) == 0


def test_what_is_contained_already_is_said_to_be_and_nothing_changes(
    clampdown: Commands, stage: Stage
) -> None:
    first = preserve(clampdown, stage)
    stage.forget_calls()
    again = preserve(clampdown, stage)

    assert again.code == 0
    assert "already contained; nothing was changed" in again.out
    assert again.incident == first.incident
    assert stage.changes() == []


def test_a_denied_call_ends_with_1_and_says_which_and_how_to_go_on(
    clampdown: Commands, stage: Stage
) -> None:
    stage.deny("ec2:ModifyInstanceAttribute")

    failed = preserve(clampdown, stage)

    assert failed.code == 1
    assert "ec2:ModifyInstanceAttribute" in failed.out
    assert f"clampdown status {failed.incident}" in failed.out
    stage.allow_everything()
    resumed = clampdown("resume", failed.incident, "--without-prefect")
    assert resumed.code == 0
    assert "contained" in resumed.out


# Which AWS


def test_without_credentials_nothing_is_sent(live: Commands, trap: dict[str, str]) -> None:
    for command in ("plan", "run"):
        ended = live(command, "contain", "--target", "i-0123456789abcdef0", **trap)
        assert_said(ended, 1, "There are no AWS credentials", "Nothing was done")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2"])
def test_a_live_run_that_would_be_redirected_is_refused(
    live: Commands, trap: dict[str, str], name: str
) -> None:
    environment = {
        name: trap["HTTP_PROXY"],
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "x",
    }

    ended = live("run", "contain", "--target", "i-0123456789abcdef0", **environment)

    assert_said(ended, 3, name, "--simulate")


def test_a_simulation_does_not_mind_where_live_calls_would_go(
    clampdown: Commands, stage: Stage, trap: dict[str, str]
) -> None:
    ended = clampdown(
        "plan", "preserve", "--target", stage.world.victim, AWS_ENDPOINT_URL="http://example.com"
    )

    assert ended.code == 0


@pytest.mark.parametrize(
    "url", ["https://ec2.eu-west-1.amazonaws.com", "http://10.0.0.1:5000", "nonsense"]
)
def test_a_simulated_aws_elsewhere_is_refused(live: Commands, url: str) -> None:
    ended = live("plan", "contain", "--target", "i-0123456789abcdef0", "--simulate", url)

    assert_said(ended, 3, url, "http://127.0.0.1:PORT")


def test_a_simulated_aws_that_does_not_answer_is_said_to(live: Commands) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"

        ended = live("plan", "contain", "--target", "i-0123456789abcdef0", "--simulate", url)

    assert_said(ended, 1, "can't be reached", "Nothing was done")


def test_an_incident_never_changes_sides(clampdown: Commands, stage: Stage) -> None:
    incident = wait_at_gate(clampdown, stage)

    for command in ("resume", "undo"):
        ended = clampdown(command, incident, CLAMPDOWN_SIMULATE="http://127.0.0.1:9")
        assert_said(ended, 3, incident, stage.url)
        ended = clampdown(command, incident, CLAMPDOWN_SIMULATE="")
        assert_said(ended, 3, incident, stage.url, "live")


# Playbooks


def test_missing_playbooks_are_said_to_be(live: Commands) -> None:
    live.playbooks.unlink()

    for arguments in (["playbooks"], ["run", "contain", "--target", "i-0123456789abcdef0"]):
        ended = live(*arguments)
        assert_said(ended, 2, str(live.playbooks), "--playbooks FILE")


@pytest.mark.parametrize(
    "content",
    [b"", b"# nothing\n", b"\xff\xfe{", b"version: 1\nversion: 1\n", b"a: &x [*x]", b"[" * 5000],
    ids=["empty", "comments", "UTF-16", "duplicate", "alias", "deep"],
)
def test_playbooks_that_are_none_are_said_with_line_and_column(
    live: Commands, content: bytes
) -> None:
    live.playbooks.write_bytes(content)

    ended = live("validate")

    assert ended.code == 2
    assert ended.out.startswith(f"{live.playbooks}:1:") or f"{live.playbooks}:2:" in ended.out
    assert "error(s)" in ended.err
    assert_said(live("playbooks"), 2, f"{live.playbooks}:")


def test_playbooks_that_can_not_be_read_are_said_to(live: Commands) -> None:
    live.playbooks.unlink()
    live.playbooks.mkdir()

    assert_said(live("show", "contain"), 2, str(live.playbooks))


def test_the_playbooks_option_wins_over_the_environment(live: Commands, tmp_path: Path) -> None:
    other = tmp_path / "other place" / "play books.yaml"
    other.parent.mkdir()
    live.playbooks.rename(other)

    ended = live("playbooks", "--playbooks", str(other))

    assert ended.code == 0
    assert "preserve" in ended.out


def test_a_setting_that_makes_no_sense_is_named(live: Commands) -> None:
    ended = live("playbooks", CLAMPDOWN_PARALLEL_STEPS="many")

    assert_said(ended, 2, "CLAMPDOWN_PARALLEL_STEPS")


# Findings


def fitted(name: str, stage: Stage) -> bytes:
    """A sample about the victim; all of them are about one instance, in the world's account."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    return text.replace(INSTANCE_OF_SAMPLES, stage.world.victim).encode()


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        (EVENT, 0, "contained"),
        ("asff-imported-event.json", 0, "contained"),
        ("eventbridge-cryptocurrency-ec2-bitcointool.json", 1, "Proposed"),
        ("ssh-bruteforce-target.json", 1, "Proposed"),
        ("sample-finding.json", 1, "TARGET"),
    ],
)
def test_a_finding_of_every_shape_is_routed(
    clampdown: Commands, stage: Stage, name: str, code: int, said: str
) -> None:
    finding = clampdown.directory / "finding.json"
    finding.write_bytes(fitted(name, stage))

    ended = clampdown("respond", "--finding", str(finding), "--without-prefect")

    assert ended.code == code, ended
    assert said in ended.out + ended.err
    assert bool(stage.changes()) == (code == 0)


@pytest.mark.parametrize("name", ["getfindings-response.json", "s3-export.jsonl"])
def test_the_first_finding_of_a_list_is_routed_when_it_is_alone(
    clampdown: Commands, stage: Stage, name: str
) -> None:
    finding = clampdown.directory / name
    text = fitted(name, stage)
    if name.endswith("jsonl"):
        finding.write_bytes(text.splitlines()[0])
    else:
        answer = json.loads(text)
        finding.write_text(json.dumps({"Findings": answer["Findings"][:1]}))

    ended = clampdown("respond", "--finding", str(finding), "--without-prefect")

    assert ended.incident


def test_a_proposal_is_started_by_resuming_it(clampdown: Commands, stage: Stage) -> None:
    finding = clampdown.finding(stage, type="Trojan:EC2/DropPoint")
    proposed = clampdown("respond", "--finding", str(finding), "--without-prefect")

    assert proposed.code == 1
    assert f"clampdown resume {proposed.incident}" in proposed.out
    assert stage.changes() == []
    assert clampdown("resume", proposed.incident, "--without-prefect").code == 0
    assert stage.changes() != []


def test_a_finding_that_no_route_wants_exits_3_with_the_reason(
    clampdown: Commands, stage: Stage
) -> None:
    clampdown.write_playbooks(routes=[])

    ended = clampdown("respond", "--finding", str(clampdown.finding(stage)))

    assert_said(ended, 3, "Nothing is done about Backdoor:EC2/C&CActivity.B", "No route matches")
    assert len(stage.aws.calls) == 0


@pytest.mark.parametrize("name", ["iam-anomalous.json", "attack-sequence.json"])
def test_a_finding_without_the_right_kind_of_target_exits_3(clampdown: Commands, name: str) -> None:
    clampdown.write_playbooks(
        routes=[{"match": {"source": "guardduty"}, "playbook": "preserve", "mode": "automatic"}]
    )

    ended = clampdown("respond", "--finding", str(SAMPLES / name), "--without-prefect")

    assert ended.code in {1, 3}
    assert "contained" not in ended.out


def test_a_target_of_an_attack_is_never_contained_automatically(
    clampdown: Commands, stage: Stage
) -> None:
    clampdown.write_playbooks(
        routes=[{"match": {"source": "guardduty"}, "playbook": "preserve", "mode": "automatic"}]
    )
    finding = clampdown.finding(stage, "ssh-bruteforce-target.json")

    ended = clampdown("respond", "--finding", str(finding), "--without-prefect")

    assert ended.code == 1
    assert "a person has to start the playbook" in ended.err
    assert stage.changes() == []


def test_a_sample_finding_is_refused_live(live: Commands, trap: dict[str, str]) -> None:
    finding = str(SAMPLES / "sample-finding.json")

    assert_said(live("respond", "--finding", finding, **trap), 3, "sample", "--simulate")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        (b"", "empty"),
        (b"{}", "there is nothing in it"),
        (b"not JSON", "JSON"),
        (b'{"detail": {', "JSON"),
        ("{}".encode("utf-16"), "there is nothing in it"),
        (b"\x00" * 10, "is not text"),
        (b"[1, 2]", "object"),
    ],
    ids=["missing", "empty", "no members", "text", "cut off", "UTF-16", "zeros", "numbers"],
)
def test_a_file_that_is_no_finding_is_refused_with_the_reason(
    live: Commands, content: bytes | None, said: str
) -> None:
    path = live.directory / "finding.json"
    if content is not None:
        path.write_bytes(content)

    for command in (["respond"], ["run", "preserve", "--target", "i-0123456789abcdef0"]):
        ended = live(*command, "--finding", str(path))
        assert ended.code == 2, ended
        assert said in ended.err
        assert ended.err.startswith("clampdown: ")


def test_two_findings_in_a_file_are_one_too_many(live: Commands) -> None:
    ended = live("respond", "--finding", str(SAMPLES / "getfindings-response.json"))

    assert_said(ended, 2, "2 findings")


def test_what_a_finding_says_can_not_control_the_terminal(
    clampdown: Commands, stage: Stage
) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\r\n   0.00 ✓ all is well \u202e"
    finding = clampdown.finding(stage, title=evil, description=evil)

    reason = ["--reason", evil, "--finding", str(finding), "--calls"]
    ended = preserve(clampdown, stage, *reason)
    views = [clampdown(view, ended.incident).out for view in ("status", "timeline")]

    assert ended.code == 0
    for text in (ended.out, ended.err, clampdown("incidents").out, *views):
        assert not any(letter in text for letter in "\x1b\x07\r\u202e")
        assert "\n   0.00 ✓ all is well" not in text


# Gates, decided from another process


def test_a_run_that_waits_goes_on_when_another_process_approves(
    clampdown: Commands, stage: Stage
) -> None:
    with clampdown.start(
        "run", "contain", "--target", stage.world.victim, "--without-prefect"
    ) as running:
        waiting = Ended(0, running.says("clampdown approve"), "")
        assert "ec2:CreateSecurityGroup" not in stage.changes()

        approved = clampdown("approve", waiting.incident, "contain", "--why", "confirmed")
        ended = running.end()

    assert (approved.code, ended.code) == (0, 0)
    assert "approved" in approved.out
    assert "confirmed" in ended.out
    assert "contained" in ended.out
    assert "Open a case with Legal" in ended.out
    assert "ec2:ModifyNetworkInterfaceAttribute" in stage.changes()


def test_a_run_that_waits_ends_with_3_when_another_process_denies(
    clampdown: Commands, stage: Stage
) -> None:
    with clampdown.start(
        "run", "contain", "--target", stage.world.victim, "--without-prefect"
    ) as running:
        waiting = Ended(0, running.says("clampdown deny"), "")
        denied = clampdown("deny", waiting.incident, "contain", "--why", "it is a drill")
        ended = running.end()

    assert (denied.code, ended.code) == (0, 3)
    assert "it is a drill" in ended.out
    assert "clampdown undo" in ended.out
    assert "ec2:CreateSecurityGroup" not in stage.changes()
    assert_said(clampdown("resume", waiting.incident, "--without-prefect"), 3, "denied")


def test_who_does_not_wait_approves_and_resumes(clampdown: Commands, stage: Stage) -> None:
    left = clampdown(
        "run", "contain", "--target", stage.world.victim, "--without-prefect", "--no-wait", "--json"
    )
    assert (left.code, left.json["status"]) == (1, "waiting")

    assert clampdown("approve", left.incident, "contain").code == 0
    resumed = clampdown("resume", left.incident, "--without-prefect", "--json")

    assert (resumed.code, resumed.json["status"]) == (0, "contained")
    assert "ec2:ModifyNetworkInterfaceAttribute" in stage.changes()


def test_a_gate_that_nobody_decides_in_time_ends_with_3_and_is_asked_again(
    clampdown: Commands, stage: Stage
) -> None:
    gate_with(clampdown, within="1s")

    ended = clampdown("run", "contain", "--target", stage.world.victim, "--without-prefect")

    assert ended.code == 3
    assert "Nobody decided the gate contain in time" in ended.out
    late = clampdown("approve", ended.incident, "contain")
    assert_said(late, 3, "Too late", "clampdown resume")
    assert "ec2:CreateSecurityGroup" not in stage.changes()
    with clampdown.start("resume", ended.incident, "--without-prefect") as running:
        running.says("clampdown approve")


def test_a_quorum_of_two_needs_two(clampdown: Commands, stage: Stage) -> None:
    gate_with(clampdown, quorum=2)
    incident = wait_at_gate(clampdown, stage)

    first = clampdown("approve", incident, "contain", "--json")
    twice = clampdown("approve", incident, "contain")
    assert (first.json["status"], first.json["needed"]) == ("pending", "1/2 of oncall")
    assert_said(twice, 3, "nobody counts twice")

    journal = Journal.open(f"sqlite:///{clampdown.home / 'journal.db'}")
    approvers = {"oncall": ApproverGroup(local_users=(ME, "bob"))}
    approvals.decide(journal, incident, "contain", Identity("local", "bob"), "approve", approvers)
    journal.close()
    assert clampdown("resume", incident, "--without-prefect").code == 0


def test_who_is_not_on_the_list_is_refused(clampdown: Commands, stage: Stage) -> None:
    gate_with(clampdown, by="others")
    incident = wait_at_gate(clampdown, stage)

    assert_said(clampdown("approve", incident, "contain"), 3, ME, "not on the list", "others")
    assert_said(clampdown("deny", incident, "contain", "--why", "no"), 3, "not on the list")
    assert "gate.refused" in [record.kind for record in clampdown.records(incident)]


def test_who_started_it_can_not_approve_it(clampdown: Commands, stage: Stage) -> None:
    gate_with(clampdown, distinct_from=["requester"])
    incident = wait_at_gate(clampdown, stage)

    assert_said(clampdown("approve", incident, "contain"), 3, "somebody else must")


def test_a_plan_that_was_not_looked_at_is_not_approved(clampdown: Commands, stage: Stage) -> None:
    incident = wait_at_gate(clampdown, stage)
    shown = clampdown("status", incident, "--json").json["gates"][0]["digest"]

    assert_said(clampdown("approve", incident, "contain", "--digest", "0000"), 2, shown[:12])
    assert clampdown("approve", incident, "contain", "--digest", shown[:12]).code == 0


def test_a_gate_that_does_not_exist_is_said_to(clampdown: Commands, stage: Stage) -> None:
    incident = wait_at_gate(clampdown, stage)

    assert_said(clampdown("approve", incident, "no-such-gate"), 2, "no-such-gate", incident)


def test_a_task_for_people_is_reported_done(clampdown: Commands, stage: Stage) -> None:
    incident = wait_at_gate(clampdown, stage)
    clampdown("approve", incident, "contain")
    clampdown("resume", incident, "--without-prefect")

    assert "legal" in clampdown("status", incident).out
    assert clampdown("approve", incident, "legal", "--why", "case 7").code == 0
    [task] = clampdown("status", incident, "--json").json["manual"]
    assert (task["done"], task["note"]) == (True, "case 7")


def test_an_abort_from_another_process_stops_what_waits(clampdown: Commands, stage: Stage) -> None:
    with clampdown.start(
        "run", "contain", "--target", stage.world.victim, "--without-prefect"
    ) as running:
        waiting = Ended(0, running.says("clampdown approve"), "")
        aborted = clampdown("abort", waiting.incident, "--why", "false alarm")
        ended = running.end()

    assert (aborted.code, ended.code) == (0, 1)
    assert "false alarm" in ended.out
    assert clampdown("status", waiting.incident, "--json").json["status"] == "aborted"
    assert_said(clampdown("resume", waiting.incident), 3, "aborted")


def test_an_incident_is_carried_out_by_one_process_at_a_time(
    clampdown: Commands, stage: Stage
) -> None:
    with clampdown.start(
        "run", "contain", "--target", stage.world.victim, "--without-prefect"
    ) as running:
        waiting = Ended(0, running.says("clampdown approve"), "")
        second = clampdown("resume", waiting.incident, "--without-prefect")

    assert second.code in {1, 3}
    assert waiting.incident in second.err


def gate_with(clampdown: Commands, **settings: Any) -> None:
    import yaml

    data = yaml.safe_load(clampdown.playbooks.read_text(encoding="utf-8"))
    [gate] = [e["approve"] for e in data["playbooks"]["contain"]["steps"] if "approve" in e]
    gate |= settings
    clampdown.write_playbooks(**data)


# The journal


def test_a_journal_that_was_edited_exits_4_and_names_the_record(
    clampdown: Commands, stage: Stage
) -> None:
    incident = preserve(clampdown, stage).incident
    assert clampdown("journal", "verify").code == 0
    with sqlite3.connect(clampdown.home / "journal.db") as database:
        database.execute("DROP TRIGGER records_no_update")
        database.execute("UPDATE records SET actor_id = 'local:mallory' WHERE seq = 3")

    for arguments in (["journal", "verify"], ["journal", "verify", incident]):
        ended = clampdown(*arguments)
        assert ended.code == 4
        assert f"{incident} record 3: edited" in ended.out
        assert "FAILS VERIFICATION" in ended.out
    document = clampdown("journal", "verify", "--json")
    assert (document.code, document.json["ok"]) == (4, False)
    # Nothing is done on the word of a journal that somebody has edited.
    stage.forget_calls()
    assert clampdown("undo", incident).code == 4
    assert clampdown("resume", incident, "--without-prefect").code == 4
    assert stage.changes() == []


def test_an_exported_journal_has_every_record(clampdown: Commands, stage: Stage) -> None:
    incident = preserve(clampdown, stage).incident
    known = clampdown.records(incident)
    file = clampdown.directory / "out put.csv"

    lines = clampdown("journal", "export").out.splitlines()
    table = clampdown("journal", "export", incident, "--format", "csv", "--output", str(file))

    assert [json.loads(line)["hash"] for line in lines] == [record.hash for record in known]
    assert (table.code, table.out) == (0, "")
    assert all(record.hash in file.read_text() for record in known)
    assert_said(clampdown("journal", "export", "--format", "xml"), 2, "jsonl or csv")


def test_the_journal_records_what_was_asked_by_whom_and_why(
    clampdown: Commands, stage: Stage
) -> None:
    incident = preserve(clampdown, stage, "--reason", "ticket 7").incident

    opened = clampdown.records(incident)[0]

    assert (opened.actor.id, opened.actor.via) == (f"local:{ME}", "cli")
    assert opened.body["reason"] == "ticket 7"
    assert "ticket 7" in clampdown("timeline", incident).out


def test_undoing_takes_back_what_was_done_and_says_what_stays(
    clampdown: Commands, stage: Stage
) -> None:
    before = stage.state()
    incident = preserve(clampdown, stage).incident
    assert_said(clampdown("undo", incident, "--step", "no-such-step"), 2, "ec2.protect")

    ended = clampdown("undo", incident)

    assert ended.code == 0
    assert "kept: " in ended.out
    assert stage.without_evidence() == stage.without_evidence(before)
    assert clampdown("status", incident, "--json").json["status"] == "undone"
    again = clampdown("undo", incident)
    assert (again.code, "0 changes" in again.out) == (0, True)


def test_an_undo_that_is_kept_from_something_exits_1_and_goes_on_later(
    clampdown: Commands, stage: Stage
) -> None:
    before = stage.state()
    incident = preserve(clampdown, stage).incident
    stage.deny("ec2:ModifyInstanceAttribute")

    failed = clampdown("undo", incident)
    assert failed.code == 1
    assert "not taken back: " in failed.out
    stage.allow_everything()

    assert clampdown("undo", incident).code == 0
    assert stage.without_evidence() == stage.without_evidence(before)


# The terminal


def test_a_reader_that_goes_away_is_no_error_to_complain_of(
    clampdown: Commands, stage: Stage
) -> None:
    incident = preserve(clampdown, stage).incident
    for command in (["timeline", incident], ["journal", "export"], ["playbooks", "--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "flows.cli", *command],
                env=clampdown.environment,
                cwd=ROOT,
                stdout=writing,
                stderr=subprocess.PIPE,
                check=False,
            )
        finally:
            os.close(writing)
        assert (done.returncode, done.stderr) == (1, b"")


def test_a_closed_standard_output_is_no_error_to_complain_of(live: Commands) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m flows.cli playbooks >&-"],
        env=live.environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        check=False,
    )

    assert b"Traceback" not in done.stderr


def test_a_terminal_that_knows_only_ascii_gets_no_traceback(
    clampdown: Commands, stage: Stage
) -> None:
    incident = preserve(clampdown, stage, "--reason", "böse ✗").incident
    ascii_only = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    words = clampdown.python("timeline", incident, **ascii_only)
    document = clampdown.python("timeline", incident, "--json", **ascii_only)
    plan = clampdown.python("show", "contain", **ascii_only)

    assert (words.code, document.code, plan.code) == (0, 0, 0)
    assert document.json["records"][0]["body"]["reason"] == "böse ✗"


@pytest.mark.parametrize("columns", ["1", "20"])
def test_a_narrow_terminal_loses_nothing(clampdown: Commands, stage: Stage, columns: str) -> None:
    incident = preserve(clampdown, stage).incident

    for command in (["incidents"], ["status", incident], ["timeline", incident], ["playbooks"]):
        ended = clampdown(*command, COLUMNS=columns)
        assert ended.code == 0
        assert ended.out
    assert incident in clampdown("status", incident, COLUMNS="20").out


def test_paths_may_have_spaces(tmp_path: Path, stage: Stage) -> None:
    spaced = tmp_path / "on call" / "Ärger"
    spaced.mkdir(parents=True)
    clampdown = Commands(spaced, stage)
    finding = clampdown.finding(stage)

    ended = clampdown("respond", "--finding", str(finding), "--without-prefect")

    assert ended.code == 0
    assert (spaced / "state" / "journal.db").is_file()


@pytest.mark.parametrize("home", ["a-file", "a-file/below"])
def test_a_home_that_can_not_be_written_stops_before_anything_is_sent(
    clampdown: Commands, stage: Stage, home: str
) -> None:
    (clampdown.directory / "a-file").write_text("")
    elsewhere = str(clampdown.directory / home)

    ended = clampdown("run", "preserve", "--target", stage.world.victim, CLAMPDOWN_HOME=elsewhere)

    assert_said(ended, 1, elsewhere)
    assert stage.changes() == []


def test_the_command_is_installed_and_says_what_it_can_do() -> None:
    command = Path(sys.executable).with_name("clampdown")

    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    for name in commands():
        assert name in done.stdout
