"""Figures for Prometheus: what came in, what was done about it, and how things stand.

Labels take nothing from a finding but what is one of our own words: whoever names a bucket or a tag
can neither forge a line nor make series without end.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.registry import Collector

from flows.finding_log import Outcome
from flows.incident import IncidentStatus
from flows.intake.finding import Finding, Source
from flows.intake_desk import Taken
from flows.journal.record import Record
from flows.shadow.records import Verdict

OTHER = "other"
"""What stands in a label for everything that is not one of our own words."""

FIRST_CHANGE_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
"""In seconds."""

Awaited = Literal["decision", "start"]

_SOURCES = get_args(Source)
_OUTCOMES = (*get_args(Outcome), "duplicate")
_ENDS: tuple[IncidentStatus, ...] = (
    "contained",
    "incomplete",
    "failed",
    "denied",
    "interrupted",
    "aborted",
    "undone",
)
_AWAITED = get_args(Awaited)
_VERDICTS = get_args(Verdict)
_QUEUE_CALLS = ("receive", "delete", "hide", "severity")
_MODES = ("live", "simulated")
_STARTS = ("automatic", "proposed", "person")
_UNSUCCESSFUL = ("failed", "unknown")
# Names of AWS's services in botocore, and of queues (CreateQueue).
_SERVICE = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
# What is remembered from one record to the next; the oldest is forgotten.
_MOST_REMEMBERED = 10_000
_LOG = logging.getLogger(__name__)

Take = Callable[[bytes, str], Taken]
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class Standing:
    """How things stand at a moment.

    ``in_line`` and ``being_contained`` are this process's incidents. ``awaited`` is how many wait
    for people, by what: a gate's decision, or somebody to start what was proposed.
    ``not_contained`` have failed, are incomplete or were interrupted, and nobody has gone on with
    them. ``dead_letters`` are those that the journal holds.
    """

    in_line: int
    being_contained: int
    awaited: Mapping[Awaited, int]
    gates_open: int
    not_contained: int
    dead_letters: int
    automatic_frozen: bool


class Metrics:
    """The figures of one process. Any thread may tell it something. In ``shadow`` it changes
    nothing, and says so."""

    MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, *, shadow: bool = False) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._taking = threading.local()
        self._received: dict[str, float] = {}
        self._modes: dict[str, str] = {}
        self._services: dict[tuple[str, int], str] = {}
        self._queue_failures: dict[str, int] = {}

        self._findings = self._counter(
            "findings",
            "Findings that were decided about, by the service that made them and what was decided",
            ["source", "outcome"],
        )
        self._documents = self._counter(
            "documents",
            "Documents that came in: dealt with, or kept and to be tried again",
            ["via", "outcome"],
        )
        self._rejected = self._counter(
            "rejected",
            "Documents, or findings within them, that were not understood or not confirmed",
        )
        self._opened = self._counter(
            "incidents_opened", "Incidents that were opened, by who starts them", ["start", "mode"]
        )
        self._ended = self._counter(
            "incidents_ended", "Ends of incidents, each time that one ends", ["status", "mode"]
        )
        self._in_line = self._gauge("incidents_in_line", "Incidents that wait for their turn here")
        self._contained = self._gauge(
            "incidents_being_contained", "Incidents that are being contained here"
        )
        self._awaited = self._gauge(
            "incidents_waiting_for_people",
            "Incidents that wait for people, by what they wait for",
            ["awaited"],
        )
        self._gates = self._gauge("gates_open", "Gates that nobody has decided yet")
        self._not_contained = self._gauge(
            "incidents_not_contained",
            "Incidents that failed, are incomplete or were interrupted, and that nobody went on with",
        )
        self._first_change = Histogram(
            "clampdown_first_change_seconds",
            "From a finding's receipt to the first change of the incident that it opened by itself",
            buckets=FIRST_CHANGE_BUCKETS,
            registry=self.registry,
        )
        self._sent = self._counter(
            "changes_sent", "Changing calls to AWS whose intent was recorded", ["service"]
        )
        self._failed = self._counter(
            "changes_failed",
            "Changing calls to AWS that failed, or of which nobody knows whether they did",
            ["service", "outcome"],
        )
        self._undecided = self._gauge(
            "queue_messages_undecided", "Messages received and not decided about yet", ["queue"]
        )
        self._queue_failed = self._counter(
            "queue_failures",
            "Failures at the queues of findings, by what was being done",
            ["doing"],
        )
        self._swept_at = self._gauge(
            "sweep_last_success_timestamp_seconds", "When the last sweep ended well; 0 for never"
        )
        self._lost = self._counter(
            "sweep_findings_lost", "Findings that only a sweep has found: their events were lost"
        )
        self._dead_letters = self._gauge("dead_letters", "Dead letters that the journal holds")
        self._shadow = self._gauge(
            "shadow", "Whether this process is a SHADOW: it opens and changes nothing"
        )
        self._shadow.set(shadow)
        self._judged = self._counter(
            "shadow_judged",
            "Findings of which it was judged what would have been done, by what that is",
            ["verdict"],
        )
        self._frozen = self._gauge("automatic_frozen", "Whether everything automatic is frozen")
        self._journal_away = self._gauge(
            "journal_unavailable", "Whether the journal could not be read when last tried"
        )
        self._leases = self._counter(
            "leases_lost", "Rights to carry an incident out that this process has lost meanwhile"
        )
        self._begin_at_zero()

    def text(self) -> bytes:
        """All figures in Prometheus's text format, version 0.0.4."""
        return generate_latest(_WithoutCreated(self.registry))

    def taking(self, take: Take) -> Take:
        """The same, counted: documents, rejections, and when the findings in them were received."""

        def counted(document: bytes, via: str) -> Taken:
            way = _way(via)
            self._taking.began = time.monotonic()
            try:
                taken = take(document, via)
            except Exception:
                self._documents.labels(way, "kept").inc()
                raise
            finally:
                self._taking.began = None
            self._documents.labels(way, "taken").inc()
            self._rejected.inc(taken.rejected)
            return taken

        return counted

    def finding(self, finding: Finding, outcome: str) -> None:
        """A finding was decided about."""
        self._findings.labels(_one_of(_SOURCES, finding.source), _one_of(_OUTCOMES, outcome)).inc()

    def hear(self, record: Record) -> None:
        """Count what a record tells of; for Journal.heard_by. It raises nothing."""
        try:
            self._count(record)
        except Exception as error:
            # A figure that is missing stops no containment.
            _LOG.warning("A %s record was not counted: %s", record.kind, type(error).__name__)

    def stands(self, standing: Standing) -> None:
        """How things stand now."""
        self._in_line.set(standing.in_line)
        self._contained.set(standing.being_contained)
        for awaited in _AWAITED:
            self._awaited.labels(awaited).set(standing.awaited.get(awaited, 0))
        self._gates.set(standing.gates_open)
        self._not_contained.set(standing.not_contained)
        self._dead_letters.set(standing.dead_letters)
        self._frozen.set(standing.automatic_frozen)

    def journal_answers(self, answers: bool) -> None:
        """Whether the journal could be read."""
        self._journal_away.set(not answers)

    def queues(self, undecided: Mapping[str, int], failures: Mapping[str, int]) -> None:
        """How many messages wait for a decision, by the queue's name; and how often something has
        gone wrong since the start, by its kind, of which the first word counts."""
        for queue, count in undecided.items():
            self._undecided.labels(_matching(_QUEUE, queue)).set(count)
        totals: dict[str, int] = {}
        for kind, count in failures.items():
            doing = kind.partition(" ")[0].rstrip(":")
            doing = doing if doing in _QUEUE_CALLS else "take"
            totals[doing] = totals.get(doing, 0) + count
        with self._lock:
            for doing, total in totals.items():
                self._queue_failed.labels(doing).inc(total - self._queue_failures.get(doing, 0))
                self._queue_failures[doing] = total

    def swept(self, lost: int) -> None:
        """A sweep has ended well; so many of its findings had come no other way."""
        self._swept_at.set_to_current_time()
        self._lost.inc(lost)

    def lease_lost(self) -> None:
        """This process has lost the right to carry out what it was carrying out."""
        self._leases.inc()

    def _count(self, record: Record) -> None:
        body = record.body
        match record.kind:
            case "incident.opened":
                self._count_opened(record)
            case "incident.closed" if body["status"] != "aborted":
                self._count_ended(record.incident, body["status"])
            case "incident.aborted":
                # Whoever carries it out closes it as aborted, too; or nobody does.
                self._count_ended(record.incident, "aborted")
            case "shadow.judged":
                self._judged.labels(_one_of(_VERDICTS, body["verdict"])).inc()
            case "change.intent":
                self._count_sent(record)
            case "change.outcome":
                with self._lock:
                    service = self._services.pop((record.incident, body["intent"]), OTHER)
                if body["status"] in _UNSUCCESSFUL:
                    self._failed.labels(service, body["status"]).inc()
            case _:
                return

    def _count_opened(self, record: Record) -> None:
        body = record.body
        mode = "simulated" if body["simulate"] else "live"
        start = "proposed" if body["proposed"] else "automatic" if body["automatic"] else "person"
        self._opened.labels(start, mode).inc()
        with self._lock:
            _remember(self._modes, record.incident, mode)
            began: float | None = getattr(self._taking, "began", None)
            if start == "automatic" and began is not None:
                _remember(self._received, record.incident, began)

    def _count_ended(self, incident: str, status: str) -> None:
        with self._lock:
            # One that began elsewhere, or before a restart, is rather taken for a real one.
            mode = self._modes.get(incident, "live")
            self._received.pop(incident, None)
        self._ended.labels(_one_of(_ENDS, status), mode).inc()

    def _count_sent(self, record: Record) -> None:
        body = record.body
        service = _matching(_SERVICE, body["change"]["call"]["service"])
        self._sent.labels(service).inc()
        with self._lock:
            _remember(self._services, (record.incident, record.seq), service)
            _remember(self._modes, record.incident, _one_of(_MODES, body["mode"]))
            received = self._received.pop(record.incident, None)
        if received is not None:
            self._first_change.observe(time.monotonic() - received)

    def _counter(self, name: str, text: str, labels: Collection[str] = ()) -> Counter:
        return Counter(f"clampdown_{name}", text, list(labels), registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Collection[str] = ()) -> Gauge:
        return Gauge(f"clampdown_{name}", text, list(labels), registry=self.registry)

    def _begin_at_zero(self) -> None:
        """Have what alerts look at there from the start: Prometheus sees no increase from nothing."""
        for mode in _MODES:
            for status in _ENDS:
                self._ended.labels(status, mode)
            for start in _STARTS:
                self._opened.labels(start, mode)
        for source in _SOURCES:
            for outcome in _OUTCOMES:
                self._findings.labels(source, outcome)
        for awaited in _AWAITED:
            self._awaited.labels(awaited)
        for verdict in _VERDICTS:
            self._judged.labels(verdict)
        for doing in (*_QUEUE_CALLS, "take"):
            self._queue_failed.labels(doing)


class _WithoutCreated(Collector):
    """A registry without the times at which its counters were made: half of all lines, for what a
    counter that begins at zero shows anyway."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


def _way(via: str) -> str:
    """The way by which a document came, of which ``via`` tells more."""
    way, _, rest = via.partition(" ")
    if way == "sqs":
        return f"sqs {_matching(_QUEUE, rest.partition(' ')[0])}"
    return _one_of(("webhook", "sweep"), way)


def _one_of(known: Collection[str], word: Any) -> str:
    return str(word) if word in known else OTHER


def _matching(pattern: re.Pattern[str], word: Any) -> str:
    return word if isinstance(word, str) and pattern.fullmatch(word) else OTHER


def _remember(known: dict[KeyT, ValueT], key: KeyT, value: ValueT) -> None:
    known[key] = value
    while len(known) > _MOST_REMEMBERED:
        del known[next(iter(known))]
