"""Who somebody is comes from the operating system or Slack, never from what they say."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from flows.identity import Identity, local_identity, owner_of
from flows.journal.record import Actor


def test_the_local_user_is_the_operating_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    name = pwd.getpwuid(os.getuid()).pw_name
    for variable in ("USER", "LOGNAME", "SUDO_USER", "USERNAME"):
        monkeypatch.setenv(variable, "security-lead")
    assert local_identity() == Identity("local", name)
    assert local_identity().principal == f"local:{name}"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_999)
    assert local_identity().principal == "local:uid-3999999999"


def test_a_slack_user_counts_with_the_workspace() -> None:
    mine, other = Identity("slack", "U1", "T1"), Identity("slack", "U1", "T2")
    assert mine.principal == "slack:T1/U1"
    assert mine.principal != other.principal


def test_nobody_is_taken_for_another_by_the_name() -> None:
    names = {
        Identity("local", "alice").principal,
        Identity("slack", "alice").principal,
        Identity("slack", "alice", "T1").principal,
        Identity("local", "T1/alice").principal,
    }
    assert len(names) == 4


@pytest.mark.parametrize(
    ("identity", "via"),
    [(Identity("local", "alice"), "cli"), (Identity("slack", "U1", "T1"), "slack")],
)
def test_the_journals_actor_says_who_and_by_which_way(identity: Identity, via: str) -> None:
    assert identity.actor == Actor("person", identity.principal, via)


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("bot", "it is a bot"),
        ("deactivated", "the account is deactivated"),
        ("stranger", "it belongs to another organisation"),
        ("guest", "it is a guest"),
    ],
)
def test_some_may_decide_nothing_whatever_list_they_are_on(flag: str, reason: str) -> None:
    assert Identity("slack", "U1", "T1", **{flag: True}).objection == reason  # type: ignore[arg-type]
    assert Identity("slack", "U1", "T1").objection == ""
    assert Identity("local", "alice").objection == ""


def test_a_files_owner_is_the_operating_systems(tmp_path: Path) -> None:
    path = tmp_path / "playbooks.yaml"
    assert owner_of(path) == ()
    path.touch()
    assert owner_of(path) == (local_identity().principal,)
