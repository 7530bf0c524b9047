"""A drill: a whole incident rehearsed on a simulated AWS, from the finding to its undoing.

The simulated AWS is started for it and listens on this machine alone; the drill knows no other one,
has no credentials, and has a journal of its own. So nothing that it does can be taken for real.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flows.conductor import Asked, Conductor
from flows.identity import Identity
from flows.incident import Incident
from flows.intake.fetch import fetch_finding
from flows.journal.journal import Journal
from flows.journal.verify import verify
from flows.responder import Responder
from flows.settings import Settings
from runbooks.errors import ClampdownError, InvalidInput, Refused
from runbooks.loader import load
from runbooks.playbook import Account, Approve, ApproverGroup, Playbook, Playbooks
from runbooks.registry import STEPS

# A drill has no people to wait for, and its AWS takes seconds for what AWS takes hours for.
_WITHIN = timedelta(minutes=10)
_ENDS_WITHIN = timedelta(seconds=20)
_LOOK_EVERY = timedelta(milliseconds=100)
_REQUESTER = Identity("local", "drill")
_FINDING = "Backdoor:EC2/C&CActivity.B"


@dataclass(frozen=True)
class Drilled:
    """How a drill went.

    ``contained_after`` is the time from the finding until every step was verified, ``undone_after``
    that of the undo. ``home`` is where its journal is. ``shortcomings`` says, in sentences, what was
    not as it must be.
    """

    incident: str
    playbook: str
    seed: int
    home: Path
    contained_after: timedelta
    undone_after: timedelta
    shortcomings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.shortcomings


def drill(playbook: str, seed: int, settings: Settings) -> Drilled:
    """Rehearse a playbook of this installation: a finding, its containment, and the undo.

    ``seed`` makes the ids in the simulated account the same each time. Of ``settings`` only where
    the playbooks and the state are counts. People's decisions are stood in for.

    Raises InvalidInput for a playbook that there isn't, and ClampdownError where the simulated AWS
    doesn't start or the containment doesn't begin.
    """
    playbooks = load(settings.playbooks, STEPS)
    if playbook not in playbooks.playbooks:
        there = ", ".join(sorted(playbooks.playbooks))
        raise InvalidInput(f"There is no playbook {playbook!r}.", advice=f"There are: {there}.")
    home = _new_home(settings)
    with _simulated_account(seed) as account:
        side = Settings(
            home=home,
            journal=f"sqlite:///{home / 'journal.db'}",
            playbooks=settings.playbooks,
            simulate=account.url,
            region=account.region,
        )
        journal = Journal.open(side.journal_url)
        conductor = Conductor(side, _rehearsed(playbooks, account), journal, prefect=False)
        try:
            return _Drill(conductor, journal, account).play(playbook, seed, home)
        finally:
            conductor.stop(_ENDS_WITHIN)
            journal.close()


@dataclass(frozen=True)
class _Account:
    """The simulated account; ``finding`` is the ARN of what GuardDuty has found in it."""

    url: str
    account: str
    region: str
    victim: str
    finding: str


class _Drill:
    def __init__(self, conductor: Conductor, journal: Journal, account: _Account) -> None:
        self._conductor = conductor
        self._journal = journal
        self._account = account
        self._responder: Responder = conductor.responder()
        self._ends = time.monotonic() + _WITHIN.total_seconds()

    def play(self, playbook: str, seed: int, home: Path) -> Drilled:
        began = time.monotonic()
        incident = self._contain(playbook)
        contained = time.monotonic()
        shortcomings = [*_of_containment(incident), *self._undo(incident.id)]
        undone = time.monotonic()
        if not verify(self._journal).ok:
            shortcomings.append(f"The journal of the drill fails verification: {home}.")
        return Drilled(
            incident.id,
            playbook,
            seed,
            home,
            timedelta(seconds=contained - began),
            timedelta(seconds=undone - contained),
            tuple(shortcomings),
        )

    def _contain(self, playbook: str) -> Incident:
        connections = self._responder.connections("clampdown-drill")
        try:
            finding = fetch_finding(self._account.finding, connections)
        finally:
            connections.close()
        asked = Asked(playbook, self._account.victim, "a drill", finding=finding)
        incident = self._conductor.start(asked, _REQUESTER).result(self._left())
        while self._conductor.carries(incident):
            self._stand_in(self._responder.incident(incident))
            self._left()
            time.sleep(_LOOK_EVERY.total_seconds())
        return self._responder.incident(incident)

    def _stand_in(self, incident: Incident) -> None:
        """Approve what people are asked for: in a simulation, and nowhere else."""
        if not incident.simulate:
            raise Refused(f"{incident.id} is no simulation; a drill decides nothing there.")
        for gate in self._responder.gates(incident):
            for person in _people(self._conductor.playbooks):
                if gate.status != "pending":
                    break
                gate = self._responder.decide(
                    incident.id,
                    gate.id,
                    Identity("local", person),
                    "approve",
                    why="stood in for in a drill",
                    nonce=gate.nonce,
                )

    def _undo(self, incident: str) -> Iterator[str]:
        undone = self._conductor.undo(incident, _REQUESTER).result(self._left())
        yield from (f"Not taken back: {failure}" for failure in undone.failures)
        status = self._responder.incident(incident).status
        if status != "undone":
            yield f"After the undo, {incident} is {status}."

    def _left(self) -> float:
        """Seconds until the drill has to be over. Raises ClampdownError where they are up."""
        left = self._ends - time.monotonic()
        if left <= 0:
            minutes = int(_WITHIN.total_seconds() // 60)
            raise ClampdownError(f"The drill was not over after {minutes} minutes.")
        return left


def _of_containment(incident: Incident) -> Iterator[str]:
    if incident.status != "contained":
        yield f"{incident.id} is {incident.status}, not contained. {incident.error}".rstrip()
    for step in incident.steps:
        if step.verified is False:
            yield f"{step.id} is not verified: {step.error}"


def _new_home(settings: Settings) -> Path:
    """A folder of its own for each drill, the newest last."""
    now = datetime.now(UTC)
    home = settings.home / "drills" / f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    home.mkdir(parents=True)
    return home


def _rehearsed(playbooks: Playbooks, account: _Account) -> Playbooks:
    """The installation's playbooks, in the simulated account alone and with people stood in for."""
    people = _people(playbooks)
    return playbooks.model_copy(
        update={
            "accounts": {
                account.account: Account(
                    name="drill", environment="production", regions=(account.region,)
                )
            },
            "approvers": dict.fromkeys(playbooks.approvers, ApproverGroup(local_users=people)),
            "playbooks": {
                name: _without_step_up(playbook) for name, playbook in playbooks.playbooks.items()
            },
            "slack": None,
        }
    )


def _people(playbooks: Playbooks) -> tuple[str, ...]:
    """As many as the largest gate takes; none of them is the one who asks."""
    gates = (
        entry.approve
        for playbook in playbooks.playbooks.values()
        for entry in playbook.steps
        if isinstance(entry, Approve)
    )
    needed = max((item.count for gate in gates for item in gate.alternatives), default=1)
    return tuple(f"drill-{number}" for number in range(1, needed + 1))


def _without_step_up(playbook: Playbook) -> Playbook:
    """Nobody has an authenticator for those who stand in."""
    steps = tuple(
        entry.model_copy(update={"approve": entry.approve.model_copy(update={"step_up": None})})
        if isinstance(entry, Approve)
        else entry
        for entry in playbook.steps
    )
    return playbook.model_copy(update={"steps": steps})


@contextmanager
def _simulated_account(seed: int) -> Iterator[_Account]:
    """A simulated AWS in a process of its own, which ends with this one, however this one ends."""
    ours = ("AWS_", "CLAMPDOWN_", "PREFECT_")
    process = subprocess.Popen(
        # Without -P, modules of the current directory could be run.
        [sys.executable, "-P", "-m", "flows.drill", str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith(ours)},
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        if not said:
            raise ClampdownError(
                f"The simulated AWS of the drill did not start (exit code {process.wait()}).",
                advice="What it says itself stands above. Nothing was rehearsed.",
            )
        yield _Account(**json.loads(said))
    finally:
        process.stdin.close()
        try:
            process.wait(_ENDS_WITHIN.total_seconds())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _simulate(seed: int) -> None:
    """Be the simulated AWS: say what is in it, and stay until standard input ends."""
    from flows.gameday.aws.server import SimulatedAws
    from flows.gameday.worlds import build, client, load_world

    with SimulatedAws(
        snapshot_seconds=1.0, drain_seconds=1.0, stack_seconds=1.0, health_seconds=5.0, seed=seed
    ) as aws:
        world = build(load_world("small"), aws.url)
        found = aws.find(
            {
                "Type": _FINDING,
                "Severity": 8.0,
                "Region": world.region,
                "Resource": {
                    "ResourceType": "Instance",
                    "InstanceDetails": {"InstanceId": world.victim},
                },
                "Service": {"ResourceRole": "ACTOR"},
            }
        )
        guardduty = client(aws.url, world.region, "guardduty")
        (detector,) = guardduty.list_detectors()["DetectorIds"]
        answer = guardduty.get_findings(DetectorId=detector, FindingIds=[found])
        account = {
            "url": aws.url,
            "account": world.account,
            "region": world.region,
            "victim": world.victim,
            "finding": answer["Findings"][0]["Arn"],
        }
        print(json.dumps(account), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _simulate(int(sys.argv[1]))
