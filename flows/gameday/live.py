"""A live drill: a real containment in a real account, of what is there for drills, and its undoing.

Only resources that are tagged ``clampdown:drill`` with the value ``true`` are changed, and what
belongs to them alone (:class:`runbooks.guardrails.DrillsOnly`). That is looked at before anything is
opened, for the whole plan, and by the executor before each call. People decide the gates as they do
in earnest; everything that they see says DRILL.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from flows.carry_out import Result
from flows.gameday import drills
from flows.gameday.live_calls import changing_calls
from flows.gameday.live_finding import KIND, generated_finding, written_finding
from flows.gameday.live_scenario import live_scenario
from flows.gameday.live_scope import Look, refuse_what_is_not_for_drills
from flows.gameday.live_state import State, differences, state_of
from flows.gameday.play.diary import DECISIONS, Diary
from flows.identity import Identity
from flows.incident import Incident
from flows.intake.finding import Finding
from flows.responder import Responder
from runbooks.calls import sha256
from runbooks.errors import ClampdownError, Interrupted, InvalidInput, Refused
from runbooks.targets.instance import Ec2Instance

SETTLES_WITHIN = timedelta(seconds=60)
"""How long AWS may take to show that everything is as before."""
_LOOK_EVERY = timedelta(seconds=3)


@dataclass(frozen=True)
class LiveDrilled:
    """How a live drill went; ``drill`` is its chain in the journal, which has all of it.

    ``undone_after`` is None where it is kept. ``shortcomings`` says, in sentences, what was not as
    it must be.
    """

    drill: str
    incident: str
    contained_after: timedelta
    undone_after: timedelta | None
    shortcomings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.shortcomings


def live_drill(
    responder: Responder,
    playbook: str,
    target: str,
    identity: Identity,
    *,
    keep: bool = False,
    create_sample_findings: bool = False,
    prefect: bool = True,
    told: Callable[[str], None] = lambda text: None,
) -> LiveDrilled:
    """Contain one instance that is there for drills, and take it back unless ``keep``.

    It waits for people at gates. ``create_sample_findings`` has GuardDuty make the finding;
    otherwise it is written in GuardDuty's shape. ``told`` hears what happens, in lines.

    Raises Refused where it is no live account, NotForDrills for what isn't tagged for drills, and
    what opening an incident raises; then nothing was changed.
    """
    if responder.settings.simulate:
        raise Refused(
            "A live drill is for a real account, and this is a simulated one.",
            advice="`clampdown gameday run` plays scenarios in a simulation.",
        )
    if playbook not in responder.playbooks.playbooks:
        there = ", ".join(sorted(responder.playbooks.playbooks))
        raise InvalidInput(f"There is no playbook {playbook!r}.", advice=f"There are: {there}.")
    connections = responder.connections("clampdown-drill")
    try:
        (ref,) = responder.references([target], connections)
        connections.require_account(ref.account, ref.region, "Nothing was done.")
        drill = f"{drills.PREFIX}{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        look = Look(connections, ref)
        refuse_what_is_not_for_drills(responder, playbook, look.now(), connections)
        played = _LiveDrill(responder, drill, playbook, identity, look, told, prefect=prefect)
        return played.play(keep=keep, generated=create_sample_findings)
    finally:
        connections.close()


class _LiveDrill:
    def __init__(
        self,
        responder: Responder,
        drill: str,
        playbook: str,
        identity: Identity,
        look: Look,
        told: Callable[[str], None],
        *,
        prefect: bool,
    ) -> None:
        self._responder = responder
        self._drill = drill
        self._playbook = playbook
        self._identity = identity
        self._look = look
        self._prefect = prefect
        self._diary = Diary(responder.journal, drill, told)
        self._shortcomings: list[str] = []

    def play(self, *, keep: bool, generated: bool) -> LiveDrilled:
        target = self._look.now()
        before = state_of(target)
        self._begin(target, keep=keep)
        with self._ending():
            finding = self._find(target, generated=generated)
            began = time.monotonic()
            result = self._contain(finding)
            contained_after = timedelta(seconds=time.monotonic() - began)
            incident = result.incident
            self._difference("contained", before, incident)
            undone_after: timedelta | None = None
            if self._may_undo(result, keep=keep):
                began = time.monotonic()
                self._undo(incident.id, before)
                undone_after = timedelta(seconds=time.monotonic() - began)
            self._find_out(incident.id, keep=keep)
        return LiveDrilled(
            self._drill, incident.id, contained_after, undone_after, tuple(self._shortcomings)
        )

    def _begin(self, target: Ec2Instance, *, keep: bool) -> None:
        scenario = live_scenario(self._playbook, keep=keep)
        definition = scenario.model_dump(mode="json", by_alias=True)
        body = {
            "scenario": f"live {self._playbook}",
            "title": scenario.title,
            "definition": definition,
            "digest": sha256(definition),
            "playbooks_digest": self._responder.playbooks.digest,
            "mode": drills.LIVE,
            "seed": 0,
            "tool": version("clampdown"),
            "people": "people",
            "region": target.ref.region,
            "account": target.ref.account,
            "names": {"target": target.id},
            "played_at": datetime.now(UTC).isoformat(),
        }
        where = f"{target.id} in {target.ref.account}, {target.ref.region}"
        text = f"DRILL {self._drill}, LIVE: {scenario.title} on {where}"
        self._diary.write(drills.BEGAN, body, text)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """However it ends, the journal says so."""
        try:
            yield
        except ClampdownError as error:
            self._diary.write(drills.ENDED, {"why": error.what}, f"DRILL ends: {error}")
            raise
        why = "stopped" if self._responder.stop.is_set() else "over"
        self._diary.write(drills.ENDED, {"why": why}, f"DRILL {self._drill} is {why}.")

    def _find(self, target: Ec2Instance, *, generated: bool) -> Finding:
        if not generated:
            finding = written_finding(target, secrets.token_hex(16))
            self._injected(finding, f"a finding about {target.id}, written in GuardDuty's shape")
            return finding
        # Written down before GuardDuty is asked: that is a change in the account, too.
        asked = f"GuardDuty is asked for a sample of {KIND} (CreateSampleFindings)"
        self._diary.write(drills.SAMPLE_ASKED, {"type": KIND, "account": target.ref.account}, asked)
        finding, detector = generated_finding(target, self._look.connections)
        text = f"GuardDuty's sample {finding.id} of detector {detector}, put on {target.id}"
        self._injected(finding, text)
        return finding

    def _injected(self, finding: Finding, text: str) -> None:
        detail = {"id": "finding", "finding_id": finding.id, "arn": finding.arn}
        self._diary.injected(0, 0.0, "finding", text, detail)

    def _contain(self, finding: Finding) -> Result:
        opened = self._responder.open(
            self._playbook,
            [self._look.ref.arn],
            self._identity,
            finding=finding,
            reason=f"DRILL {self._drill}",
            drill=self._drill,
        )
        started = self._responder.carry_out(opened, self._identity, prefect=self._prefect)
        if started.result is None:
            raise ClampdownError(f"{opened.incident.id} was not carried out.")
        self._people(opened.incident.id)
        return started.result

    def _people(self, incident: str) -> None:
        """What people decided, as the incident's own records have it."""
        for record in self._responder.journal.records(incident):
            if record.kind in DECISIONS:
                self._diary.decided(record)

    def _may_undo(self, result: Result, *, keep: bool) -> bool:
        incident = self._responder.incident(result.incident.id)
        if incident.status not in {"contained", "incomplete"}:
            self._shortcomings.append(
                f"{incident.id} is {incident.status}. {incident.error}".strip()
            )
        for step in incident.steps:
            if step.verified is False:
                self._shortcomings.append(f"{step.id} is not verified: {step.error}")
        later = [str(known.finding.get("id")) for known in incident.findings[1:]]
        if later:
            # Somebody may have broken into a machine that is only there for drills.
            self._shortcomings.append(
                f"{', '.join(later)} came in about {self._look.ref.id} meanwhile and may be real: "
                f"nothing is taken back. `clampdown undo {incident.id}` does, once you have looked."
            )
            return False
        if isinstance(result.error, Interrupted):
            self._shortcomings.append(
                f"It was stopped. `clampdown undo {incident.id}` takes back what was done."
            )
            return False
        return not keep

    def _undo(self, incident: str, before: State) -> None:
        undone = self._responder.undo(incident, self._identity)
        self._shortcomings += [f"Not taken back: {failure}" for failure in undone.failures]
        self._settled(before)
        left = self._difference("undone", before, self._responder.incident(incident))
        self._shortcomings += [
            f"After the undo, {item['path']} is {item['after'] or 'gone'}, not "
            f"{item['before'] or 'absent'}."
            for item in left
        ]

    def _settled(self, before: State) -> None:
        """Give AWS the time to show what was taken back."""
        ends = time.monotonic() + SETTLES_WITHIN.total_seconds()
        while differences(before, state_of(self._look.now())) and time.monotonic() < ends:
            if self._responder.stop.wait(_LOOK_EVERY.total_seconds()):
                return

    def _difference(
        self, when: str, before: State, incident: Incident
    ) -> Sequence[dict[str, object]]:
        changes = differences(before, state_of(self._look.now()))
        self._diary.write(
            drills.DIFFERENCE, {"when": when, "incident": incident.id, "changes": changes}
        )
        return changes

    def _find_out(self, incident_id: str, *, keep: bool) -> None:
        """Look at what must hold, and count the calls, from the incident's records."""
        records = self._responder.journal.records(incident_id)
        was_contained = any(
            record.kind == "incident.closed" and record.body["status"] == "contained"
            for record in records
        )
        self._check(
            "contained", holds=was_contained, found="it was" if was_contained else "it was not"
        )
        if not keep:
            status = self._responder.incident(incident_id).status
            whole = status == "undone" and not any(
                "After the undo" in s for s in self._shortcomings
            )
            self._check("as-before", holds=whole, found=f"the incident is {status}")
        self._diary.write(drills.CALLS, {"calls": changing_calls(records), "faults": []})

    def _check(self, objective: str, *, holds: bool, found: str) -> None:
        body = {"objective": objective, "holds": holds, "found": found, "of": ["target"]}
        self._diary.write(drills.CHECKED, body)
