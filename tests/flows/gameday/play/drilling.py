"""Small scenarios, and a look into the journals of the drills that were made of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from flows.gameday.drills import Drill, read_drill
from flows.gameday.play.stage import Stage
from flows.gameday.run import run_drill
from flows.gameday.scenario import Scenario
from flows.incident import Incident, fold
from flows.journal.journal import Journal
from flows.journal.record import Record
from tests.conftest import ROOT

SHIPPED = ROOT / "playbooks.yaml"
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
MINER = "CryptoCurrency:EC2/BitcoinTool.B"
ALICE = {"groups": ["security-oncall"], "notices": {"after": "2m"}, "decides": {"after": "1m"}}
CAROL = {"groups": ["security-leads"], "notices": {"after": "3m"}, "decides": {"after": "1m"}}
# In no Auto Scaling group, which would replace what is isolated and not taken out of it before.
TARGET = "standalone"
ISOLATED = {"id": "isolated", "title": "Isolated", "holds": "isolated", "of": [TARGET]}


def quick(file: Path) -> Path:
    """The shipped playbooks, of which the one for instances does only what takes little time."""
    document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    playbook = document["playbooks"]["ec2-compromise"]
    [gate] = [step for step in playbook["steps"] if "approve" in step]
    tags = {"with": {"tags": {"contained": "yes"}}}
    steps = [{"step": "ec2.snapshot"}, gate, {"step": "ec2.isolate"}, {"step": "ec2.tag", **tags}]
    playbook["steps"] = steps
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return file


def scenario(*timeline: dict[str, Any], **more: Any) -> Scenario:
    """A scenario that is about the small world's standalone instance, unless it says otherwise."""
    given = {
        "version": 1,
        "title": "A small scenario",
        "purpose": "To see whether it is played",
        "start": START,
        "lasts": "2h",
        "people": {"alice": ALICE},
        "timeline": list(timeline) or [finding()],
        "objectives": [ISOLATED],
        **more,
    }
    return Scenario.model_validate(given)


def finding(at: str = "1m", **more: Any) -> dict[str, Any]:
    """An event in which GuardDuty finds a miner."""
    return {"at": at, "finding": {"type": MINER, "on": TARGET, **more}}


class Played:
    """A drill that was played: its records, its incidents, and what is asked of them."""

    def __init__(self, home: Path) -> None:
        journal = Journal.open(f"sqlite:///{home / 'journal.db'}")
        try:
            self.drill: Drill = read_drill(home, journal, home.name)
        finally:
            journal.close()

    @property
    def incidents(self) -> list[Incident]:
        folded = [fold(records) for records in self.drill.incidents.values()]
        return sorted(folded, key=lambda incident: incident.opened_at)

    @property
    def incident(self) -> Incident:
        [incident] = self.incidents
        return incident

    def of(self, kind: str) -> list[Record]:
        """Records of a kind, in whichever chain they are, the oldest first."""
        chains = [self.drill.records, *self.drill.incidents.values()]
        found = [record for chain in chains for record in chain if record.kind == kind]
        return sorted(found, key=lambda record: record.at)

    def people(self) -> list[tuple[str, str]]:
        """Who did what."""
        return [(r.body["person"], r.body["does"]) for r in self.of("drill.person")]

    def minutes(self, record: Record) -> float:
        """How long after the beginning a record was written."""
        return (record.at - self.drill.at) / timedelta(minutes=1)

    def checked(self) -> dict[str, bool]:
        return {r.body["objective"]: r.body["holds"] for r in self.of("drill.checked")}

    def found(self) -> dict[str, str]:
        return {r.body["objective"]: r.body["found"] for r in self.of("drill.checked")}

    def calls(self, operation: str) -> dict[str, Any]:
        """What is written down of an operation; of one that was never called, that."""
        [told] = self.of("drill.calls")
        none = {"count": 0, "errors": {}}
        return next((c for c in told.body["calls"] if c["operation"] == operation), none)

    @property
    def why(self) -> str:
        assert self.drill.ended is not None
        return str(self.drill.ended.body["why"])


class Director:
    """Plays scenarios, one after the other, on one stage."""

    def __init__(self, stage: Stage, home: Path, playbooks: Path) -> None:
        self.stage = stage
        self.home = home
        self.playbooks = playbooks
        self.told: list[str] = []

    def play(self, played: Scenario, seed: int = 1, **more: Any) -> Played:
        home = run_drill(
            played,
            name="small",
            playbooks=more.pop("playbooks", self.playbooks),
            home=self.home,
            seed=seed,
            stage=self.stage,
            told=self.told.append,
            **more,
        )
        return Played(home)
