"""What came of a scenario's findings, connections and people, as its drill's end finds it."""

from __future__ import annotations

from dataclasses import dataclass

from flows.gameday.drills import INJECTED, PERSON
from flows.gameday.play.diary import Diary
from flows.gameday.play.outside import Outside
from flows.gameday.scenario import Scenario
from flows.incident import Incident, fold, is_incident
from flows.journal.journal import Journal
from flows.journal.verify import verify


@dataclass(frozen=True)
class Found:
    """Whether a condition holds of something, and how it was found, in words."""

    holds: bool
    text: str


class Outcomes:
    """Holds conditions against what was written down, and connections against the network."""

    def __init__(
        self, scenario: Scenario, outside: Outside, journal: Journal, diary: Diary
    ) -> None:
        self._scenario = scenario
        self._outside = outside
        self._journal = journal
        self._diary = diary

    def connection(self, name: str, *, alive: bool) -> Found:
        made = {
            record.body["detail"]["id"]: record.body["detail"].get("connection")
            for record in self._diary.records(INJECTED)
            if record.body["thing"] == "connection"
        }
        if not made.get(name):
            # What never came about is cut.
            return Found(not alive, f"{name} was never established.")
        known = {item["id"]: item for item in self._outside.get("connections")["connections"]}
        fate = known[made[name]]
        text = f"{name} is {'alive' if fate['alive'] else 'cut'}: {fate['why']}"
        return Found(fate["alive"] is alive, text if text.endswith(".") else f"{text}.")

    def not_opened(self, name: str) -> Found:
        incidents = self._incidents_of(name)
        if incidents:
            return Found(False, f"{name} has led to {', '.join(i.id for i in incidents)}.")
        return Found(True, f"{name} has led to no incident.")

    def proposed(self, name: str) -> Found:
        incidents = self._incidents_of(name)
        if not incidents:
            return Found(False, f"{name} has led to no incident.")
        status = ", ".join(f"{item.id} is {item.status}" for item in incidents)
        waits = all(item.status == "proposed" for item in incidents)
        return Found(waits, f"{name}: {status}.")

    def refused(self, name: str) -> Found:
        """Of a person: what they wanted; of a finding: what would have come of it."""
        if name in self._scenario.people:
            acts = [r for r in self._diary.records(PERSON) if r.body["person"] == name]
            refused = [record.body["refused"] for record in acts if record.body["refused"]]
            return Found(bool(refused), " ".join(refused) or f"{name} was refused nothing.")
        ids = self._finding_ids(name)
        decided = [
            r.body for r in self._journal.find(kind="finding.decided") if r.body["id"] in ids
        ]
        outcomes = [body["outcome"] for body in decided]
        ended = [item.status for item in self._incidents_of(name)]
        holds = bool(outcomes or ended) and all(
            outcome in {"refused", "unconfirmed"} for outcome in outcomes if not ended
        )
        holds = holds and all(status in {"denied", "failed"} for status in ended)
        why = [text for body in decided for text in body["why"][-1:]]
        said = ", ".join(dict.fromkeys([*outcomes, *ended])) or "nothing was decided about it"
        return Found(holds, " ".join([f"{name}: {said}.", *why]))

    def _finding_ids(self, name: str) -> set[str]:
        found: set[str] = set()
        for record in self._diary.records(INJECTED):
            detail = record.body["detail"]
            if record.body["thing"] == "finding" and detail["id"] == name:
                found |= {detail["finding_id"], *detail.get("finding_ids", [])}
        return found

    def _incidents_of(self, name: str) -> list[Incident]:
        ids = self._finding_ids(name)
        chains = [head.incident for head in self._journal.incidents()]
        incidents = [fold(self._journal.records(chain)) for chain in chains if is_incident(chain)]
        return [
            incident
            for incident in incidents
            if ids & {str(known.finding["id"]) for known in incident.findings}
        ]

    def journal_verifies(self) -> Found:
        checked = verify(self._journal)
        if checked.ok:
            return Found(True, "Every chain of the journal verifies.")
        return Found(False, f"The journal fails verification: {checked.problems[0].message}.")
