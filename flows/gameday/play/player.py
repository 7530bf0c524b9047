"""Playing one scenario: what is due is done, Clampdown answers, and the clock skips to what is next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from flows.gameday.clock import MachineClock, SkippingClock
from flows.gameday.drills import BACK, BEGAN, DIED, ENDED, INJECTED
from flows.gameday.play.acts import DID, Acts
from flows.gameday.play.agenda import Agenda
from flows.gameday.play.before import Before
from flows.gameday.play.beginning import beginning, built, left_by_another, set_ahead
from flows.gameday.play.checks import Checks
from flows.gameday.play.death import Death
from flows.gameday.play.diary import Diary
from flows.gameday.play.ending import write_calls, write_checks, write_difference
from flows.gameday.play.in_slack import InSlack
from flows.gameday.play.injects import Injects
from flows.gameday.play.job import Job
from flows.gameday.play.loopback import Watch
from flows.gameday.play.mailbox import Mailbox
from flows.gameday.play.outside import Outside
from flows.gameday.play.people import StandIns
from flows.gameday.play.rehearsed import rehearsed
from flows.gameday.play.service import AGAIN, Service
from flows.gameday.scenario import Event, PersonInject
from flows.gameday.twin import in_the_simulation
from flows.gameday.worlds import ACCOUNT, WorldIds
from flows.incident import is_incident
from flows.journal.journal import Journal
from flows.journal.record import Record
from flows.settings import Settings
from runbooks import clock
from runbooks.errors import ClampdownError
from runbooks.loader import load
from runbooks.playbook import Account
from runbooks.registry import STEPS

_RESTS_WITHIN = 60.0
# A message that was received and not deleted can be received again after so long (SQS Developer
# Guide, "Visibility timeout": 30 seconds by default).
_INVISIBLE = timedelta(seconds=31)


def play(job: Job, watch: Watch, told: Callable[[str], None], dying: Callable[[], None]) -> None:
    """Play a scenario to its end, or until it kills this process.

    ``told`` is told what happens, ``dying`` that this process kills itself now. Raises
    ClampdownError.
    """
    journal = Journal.open(f"sqlite:///{job.home / 'journal.db'}")
    diary = Diary(journal, job.drill, told)
    try:
        world, start = left_by_another(job, diary) if job.resumes else built(job)
        in_slack = job.people == "slack"
        if in_slack:
            watch.let_reach("slack.com")
        clocks = MachineClock() if in_slack else SkippingClock(start, partial(set_ahead, job.url))
        with clocks as skipping:
            _Player(job, world, journal, diary, skipping, watch, dying).play()
    finally:
        journal.close()


class _Player:
    def __init__(
        self,
        job: Job,
        world: WorldIds,
        journal: Journal,
        diary: Diary,
        skipping: SkippingClock | MachineClock,
        watch: Watch,
        dying: Callable[[], None],
    ) -> None:
        self._job = job
        self._in_slack = job.people == "slack"
        self._scenario = job.scenario
        self._journal = journal
        self._diary = diary
        self._clock = skipping
        self._watch = watch
        self._outside = Outside(world)
        self._mailbox = Mailbox(self._outside)
        self._before = Before.read(job.home)
        self._agenda = Agenda()
        self._death = Death(diary, dying)
        playbooks, like = load(job.playbooks, STEPS), None
        if (real := job.account) is not None:
            like = Account(name=real.name, environment=real.environment)
            playbooks = in_the_simulation(playbooks, real.id, world.region, like)
            like = playbooks.accounts[ACCOUNT]
        people = None if self._in_slack else job.scenario.people
        self._playbooks = rehearsed(playbooks, people, ACCOUNT, world.region, like)
        known = {
            record.body["detail"]["id"]: record.body["detail"]["finding_id"]
            for record in diary.records(INJECTED)
            if record.body["thing"] == "finding" and record.body["detail"]["confirmed"]
        }
        self._injects = Injects(self._outside, self._mailbox, self._before, known)
        self._people: StandIns | InSlack = InSlack(diary)
        if people is not None:
            self._people = StandIns(
                people, self._playbooks, job.seed, diary, journal, self._agenda.at
            )
        self._service: Service | None = None
        self._heard: dict[str, int] = {}

    def play(self) -> None:
        """From where it stands to the end. Raises ClampdownError, which is written down as well."""
        begins = self._begin() if not self._job.resumes else self._diary.began.at
        self._over = begins + self._scenario.lasts
        with self._journal.heard_by(self._death.hear):
            self._put_down(begins)
            try:
                if self._job.resumes:
                    died = self._diary.records(DIED)[-1]
                    back = died.at + timedelta(seconds=died.body["back_after"])
                    self._go_on_until(min(back, self._over))
                self._come_to_work()
                self._go_on_until(self._over)
                self._find_out()
            except ClampdownError as error:
                self._end(error.what)
                raise
            except Exception as error:
                # A fault of ours: it is raised as it is, but the journal says that this has ended.
                self._end(f"Clampdown failed: {type(error).__name__}.")
                raise
            self._end("over")

    def _begin(self) -> datetime:
        job, world = self._job, self._outside.world
        body = beginning(job, world, self._playbooks.digest)
        text = f"DRILL, {job.mode}, seed {job.seed}: {job.scenario.title}"
        return self._diary.write(BEGAN, body, text).at

    def _put_down(self, begins: datetime) -> None:
        """Put down what the scenario has yet in store."""
        done = {record.body["event"] for record in self._diary.records(INJECTED)}
        died = {record.body["event"] for record in self._diary.records(DIED)}
        for number, event in enumerate(self._scenario.timeline):
            moment = begins + event.at
            if number not in done:
                self._agenda.at(moment, partial(self._inject, number, event))
            elif event.dies is not None and number not in died:
                self._death.arm(number, event.dies)
            if event.fault is not None and event.fault.lasts is not None:
                fault = event.fault.fault
                self._agenda.at(moment + event.fault.lasts, partial(self._injects.end_fault, fault))

    # The course of things

    def _go_on_until(self, end: datetime) -> None:
        """Do what is due, and skip to what is next, until it is that late."""
        while True:
            self._rest()
            self._require_undisturbed()
            if self._look():
                # That is work for others, which takes its time.
                continue
            if (do := self._agenda.due(clock.now())) is not None:
                do()
            elif clock.now() >= end or (self._in_slack and self._nothing_more()):
                return
            else:
                self._clock.skip_to(min(end, *self._moments()))

    def _nothing_more(self) -> bool:
        """Whether nobody has to be kept until the end: nothing is in store, and all is over."""
        return self._agenda.next is None and self._service is not None and self._service.is_over()

    def _rest(self) -> None:
        """Wait until nobody is at work. Raises ClampdownError where that takes too long."""
        if not self._clock.at_rest(_RESTS_WITHIN):
            raise ClampdownError(
                f"The drill does not come to rest: something has been at work for {_RESTS_WITHIN:.0f} s."
            )

    def _moments(self) -> Iterator[datetime]:
        """When something may happen next."""
        now = clock.now()
        yield self._over
        for moment in (self._agenda.next, self._clock.next_wake(), *self._deadlines()):
            if moment is not None and moment > now:
                yield moment

    def _deadlines(self) -> Iterator[datetime]:
        if self._service is not None:
            yield from self._service.deadlines()

    def _look(self) -> bool:
        """Hand in what has arrived, and take in what was written down; whether there was any."""
        if self._service is None:
            return False
        news, failed = self._service.take()
        if failed or self._service.go_on():
            self._agenda.at(clock.now() + AGAIN, lambda: None)
        for head in self._journal.incidents():
            heard = self._heard.get(head.incident, 0)
            if not is_incident(head.incident) or head.seq <= heard:
                continue
            for record in self._journal.records(head.incident, heard):
                news = True
                self._heard[head.incident] = record.seq
                self._people.hear(record)
                self._tell(record)
        return news

    def _require_undisturbed(self) -> None:
        if self._watch.refused:
            raise ClampdownError(
                "The drill tried to reach something else than this machine, which was refused: "
                f"{self._watch.refused[0]}."
            )

    def _come_to_work(self) -> None:
        """Start Clampdown; after a death it goes on with what it had begun."""
        settings = Settings(
            home=self._job.home,
            journal=f"sqlite:///{self._job.home / 'journal.db'}",
            playbooks=self._job.playbooks,
            simulate=self._job.url,
            region=self._outside.region,
        )
        self._service = Service(
            settings,
            self._playbooks,
            self._journal,
            self._mailbox,
            self._diary,
            in_slack=self._in_slack,
        )
        self._people.come_back(self._service.responder)
        if self._job.resumes:
            away = (clock.now() - self._diary.records(DIED)[-1].at).total_seconds()
            self._diary.write(BACK, {"away": round(away, 3)}, "Clampdown is back")
            # What it had received, and not dealt with, arrives again.
            self._agenda.at(clock.now() + _INVISIBLE, lambda: None)

    def _inject(self, number: int, event: Event) -> None:
        if event.finding is not None:
            text, detail = self._injects.finding(event.finding, clock.now())
        elif event.fault is not None:
            text, detail = self._injects.fault(event.fault)
        elif event.attacker is not None:
            text, detail = self._injects.attacker(event.attacker)
        elif event.connection is not None:
            text, detail = self._injects.connection(event.connection)
        elif event.person is not None:
            who, does = event.person.who, event.person.does
            text, detail = f"{who} is to {does}", {"who": who, "does": does}
        else:
            assert event.dies is not None
            change = event.dies.change
            text, detail = f"Clampdown is to die at its change {change}", {"change": change}
            self._death.arm(number, event.dies)
        self._diary.injected(number, event.at.total_seconds(), event.things[0], text, detail)
        if event.person is not None:
            self._act(event.person)

    def _act(self, inject: PersonInject) -> None:
        if self._service is None:
            self._diary.person(inject.who, DID[inject.does], refused="Clampdown is away.")
            return
        if inject.does == "undo":
            write_difference("contained", self._before, self._outside, self._diary)
        acts = Acts(self._service.conductor, self._outside, self._diary, self._scenario.playbook)
        acts.act(inject)

    def _tell(self, record: Record) -> None:
        body = record.body
        match record.kind:
            case "incident.opened":
                text = f"opens {record.incident}: {body['playbook']}"
            case "gate.requested":
                text = f"asks for the gate {body['gate']}"
            case "gate.escalated":
                text = f"asks {body['to']} for the gate {body['gate']}"
            case "gate.expired":
                text = f"has no answer at the gate {body['gate']}"
            case "incident.closed":
                text = f"{record.incident} is {body['status']}"
            case _:
                return
        self._diary.tell(f"Clampdown {text}")

    # The end

    def _find_out(self) -> None:
        """Look at what has come of it."""
        assert self._service is not None
        for incident, gate in self._service.waiting():
            self._people.give_up(incident, gate)
        checks = Checks(self._scenario, self._outside, self._before, self._journal, self._diary)
        write_checks(self._scenario, checks, self._diary)
        write_calls(self._outside, self._diary)
        undone = any(item.status == "undone" for item in self._service.responder.incidents())
        write_difference(
            "undone" if undone else "contained", self._before, self._outside, self._diary
        )

    def _end(self, why: str) -> None:
        if self._service is not None:
            self._service.stop()
        self._diary.write(ENDED, {"why": why}, "The drill is over" if why == "over" else why)
