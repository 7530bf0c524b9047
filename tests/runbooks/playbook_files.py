"""A small playbooks file, and what the loader says about changes to it."""

from __future__ import annotations

from runbooks.loader import InvalidPlaybooks, Problem, loads
from runbooks.playbook import Playbooks

SMALL = """\
version: 1
accounts:
  "111122223333": {name: payments, environment: production, regions: [eu-west-1]}
approvers:
  oncall: {slack_team: T1, slack_users: [U1], local_users: [alice, bob]}
  leads: {local_users: [carol]}
playbooks:
  compromise:
    title: Compromised instance
    target: ec2.instance
    steps:
      - step: ec2.protect
      - approve: {id: contain, by: oncall}
      - step: ec2.isolate
        with: {tracked_connections: untrack}
"""


def small(*changes: tuple[str, str], more: str = "") -> str:
    """The small file with texts replaced, each of which must be there, and more steps."""
    text = SMALL
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text + more


def accepted(document: str | bytes) -> Playbooks:
    return loads(document.encode() if isinstance(document, str) else document, "p.yaml")


def problems(document: str | bytes) -> list[str]:
    """Every problem as ``line:column: message``; empty for a valid file."""
    found: tuple[Problem, ...] = ()
    try:
        accepted(document)
    except InvalidPlaybooks as error:
        found = error.problems or (Problem("an error without a problem", 0, 0, ""),)
    assert all(problem.file == "p.yaml" for problem in found)
    assert all("\n" not in problem.message for problem in found)
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in found]
