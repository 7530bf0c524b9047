"""Figures: counted from what happens, described as they are, and nobody's to forge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from flows.finding_log import Outcome
from flows.intake.finding import Finding, Source
from flows.intake_desk import Taken
from flows.journal.errors import JournalUnavailable
from flows.journal.record import Actor, Record
from flows.serve import metrics as module
from flows.serve.metrics import FIRST_CHANGE_BUCKETS, Metrics, Standing
from tests.conftest import ROOT
from tests.flows.people import REQUESTER
from tests.flows.scene import Scene

DOCUMENT = (ROOT / "docs" / "metrics.md").read_text()
INCIDENT = "inc-20260101-abcdef"
HOSTILE = [
    'ec2"} 1\nclampdown_automatic_frozen 1\n#',
    "\r\nclampdown_automatic_frozen 1\r\n",
    "\\",
    "\u2028clampdown_automatic_frozen 1",
    "x" * 10_000,
    "İec2",
    "",
]
STANDING = Standing(
    in_line=2,
    being_contained=3,
    awaited={"decision": 4, "start": 5},
    gates_open=6,
    not_contained=8,
    dead_letters=7,
    automatic_frozen=True,
)


def record(kind: str, body: Mapping[str, Any], *, seq: int = 1, incident: str = INCIDENT) -> Record:
    actor = Actor("system", "clampdown", "executor")
    return Record(incident, seq, datetime.now(UTC), kind, actor, body, "0" * 64, "0" * 64)


def opened(*, incident: str = INCIDENT, **body: Any) -> Record:
    told = {"simulate": "", "proposed": False, "automatic": True, **body}
    return record("incident.opened", told, incident=incident)


def intent(seq: int, service: str = "ec2", *, incident: str = INCIDENT) -> Record:
    change = {"call": {"service": service, "operation": "create_tags", "params": {}}}
    body = {"step": "one", "change": change, "mode": "live", "undoes": None}
    return record("change.intent", body, seq=seq, incident=incident)


def outcome(of: int, status: str) -> Record:
    return record("change.outcome", {"intent": of, "status": status}, seq=of + 100)


def finding(**more: Any) -> Finding:
    """One whose values nobody has checked."""
    return Finding.model_construct(**{"source": "guardduty", "type": HOSTILE[0], **more})


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"clampdown_{name}", labels)


def tell_all(metrics: Metrics) -> None:
    """Tell it something of everything that it counts."""
    metrics.hear(opened())
    metrics.hear(intent(2))
    metrics.hear(outcome(2, "failed"))
    metrics.hear(record("incident.closed", {"status": "failed", "error": "x"}))
    metrics.finding(finding(), "contained")
    metrics.taking(lambda document, via: Taken(rejected=1))(b"", "sqs urgent 6f1c")
    metrics.stands(STANDING)
    metrics.journal_answers(False)
    metrics.queues({"urgent": 1}, {"receive urgent: Throttled": 2})
    metrics.swept(3)
    metrics.lease_lost()


def families(metrics: Metrics) -> dict[str, tuple[str, set[str]]]:
    """What Prometheus reads: each metric's type and the names of its labels."""
    found: dict[str, tuple[str, set[str]]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = family.type, labels - {"le"}
    return found


# The document


def test_the_document_describes_each_metric_as_it_is() -> None:
    metrics = Metrics()
    tell_all(metrics)
    rows = re.findall(r"^\| `(clampdown_\w+)` \| (\w+) \| ([^|]*)\| ", DOCUMENT, re.MULTILINE)
    described = {name: (type_, set(re.findall(r"`(\w+)`", labels))) for name, type_, labels in rows}
    assert described == families(metrics)
    assert len(rows) == len(described)


def test_the_document_names_every_word_that_labels_hold() -> None:
    words = {*get_args(Outcome), *get_args(Source), *module._ENDS, *module._STARTS, "duplicate"}
    assert [word for word in sorted(words) if f"`{word}`" not in DOCUMENT] == []


def test_alerts_speak_of_metrics_and_words_that_there_are() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    rules = yaml.safe_load(blocks[-1])["groups"][0]["rules"]
    assert len(rules) == 3
    metrics = Metrics()
    tell_all(metrics)
    known = families(metrics)
    for rule in rules:
        assert rule["labels"] == {"severity": "page"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
        named = re.findall(r"clampdown_\w+", rule["expr"])
        assert named
        for name in named:
            assert name in known
            # Each must be there from the start: alerts are silent about what is not.
            assert re.search(rf"^{name} ", Metrics().text().decode(), re.MULTILINE)


# What is counted


def test_an_incident_is_counted_from_its_records() -> None:
    metrics = Metrics()
    metrics.hear(opened())
    metrics.hear(opened(incident="inc-2", proposed=True, automatic=False))
    metrics.hear(opened(incident="inc-3", automatic=False, simulate="http://127.0.0.1:1"))
    assert value(metrics, "incidents_opened_total", start="automatic", mode="live") == 1
    assert value(metrics, "incidents_opened_total", start="proposed", mode="live") == 1
    assert value(metrics, "incidents_opened_total", start="person", mode="simulated") == 1
    for seq, (service, status) in enumerate(
        [("ec2", "done"), ("ec2", "failed"), ("iam", "unknown"), ("iam", "accepted")], 2
    ):
        metrics.hear(intent(seq, service))
        metrics.hear(outcome(seq, status))
    assert value(metrics, "changes_sent_total", service="ec2") == 2
    assert value(metrics, "changes_sent_total", service="iam") == 2
    assert value(metrics, "changes_failed_total", service="ec2", outcome="failed") == 1
    assert value(metrics, "changes_failed_total", service="iam", outcome="unknown") == 1
    assert value(metrics, "changes_failed_total", service="iam", outcome="accepted") is None
    metrics.hear(record("incident.closed", {"status": "contained", "error": ""}))
    assert value(metrics, "incidents_ended_total", status="contained", mode="live") == 1


def test_an_abort_is_one_end_whoever_else_writes_it_down() -> None:
    metrics = Metrics()
    metrics.hear(opened())
    metrics.hear(record("incident.aborted", {"why": "enough"}))
    metrics.hear(record("incident.closed", {"status": "aborted", "error": ""}))
    assert value(metrics, "incidents_ended_total", status="aborted", mode="live") == 1


def test_a_real_incident_is_counted_as_its_journal_has_it(scene: Scene) -> None:
    scene.write('- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}')
    metrics = Metrics()
    with scene.responder().journal.heard_by(metrics.hear):
        responder = scene.responders[0]
        started = responder.run("tag-it", [scene.world.victim], REQUESTER, prefect=False)
        responder.undo(started.incident.id, REQUESTER)
    assert value(metrics, "incidents_opened_total", start="person", mode="simulated") == 1
    assert value(metrics, "incidents_ended_total", status="contained", mode="simulated") == 1
    assert value(metrics, "incidents_ended_total", status="undone", mode="simulated") == 1
    assert value(metrics, "changes_sent_total", service="ec2") == len(scene.changes()) > 1
    assert "clampdown_changes_failed_total{" not in metrics.text().decode()


def test_the_time_to_the_first_change_begins_with_the_receipt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([100.0, 100.75])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    metrics = Metrics()

    def take(document: bytes, via: str) -> Taken:
        metrics.hear(opened())
        metrics.hear(opened(incident="inc-2", proposed=True, automatic=False))
        return Taken(findings=2, incidents=(INCIDENT, "inc-2"))

    assert metrics.taking(take)(b"", "webhook").findings == 2
    metrics.hear(opened(incident="inc-3"))  # of somebody else: nothing was received
    for seq, incident in [(5, INCIDENT), (6, INCIDENT), (7, "inc-2"), (8, "inc-3")]:
        metrics.hear(intent(seq, incident=incident))
    assert value(metrics, "first_change_seconds_count") == 1
    assert value(metrics, "first_change_seconds_sum") == 0.75
    assert (FIRST_CHANGE_BUCKETS[0], FIRST_CHANGE_BUCKETS[-1]) == (0.05, 60.0)


def test_a_document_that_could_not_be_taken_is_counted_as_kept_and_raised_on() -> None:
    metrics = Metrics()

    def away(document: bytes, via: str) -> Taken:
        raise JournalUnavailable("The journal is away.")

    with pytest.raises(JournalUnavailable):
        metrics.taking(away)(b"", "sqs urgent 6f1c")
    metrics.taking(lambda document, via: Taken(findings=1, rejected=2))(b"", "sweep")
    assert value(metrics, "documents_total", via="sqs urgent", outcome="kept") == 1
    assert value(metrics, "documents_total", via="sweep", outcome="taken") == 1
    assert value(metrics, "rejected_total") == 2


def test_how_things_stand_is_shown_as_it_was_last_told() -> None:
    metrics = Metrics()
    metrics.stands(STANDING)
    shown = {
        "incidents_in_line": 2,
        "incidents_being_contained": 3,
        "gates_open": 6,
        "incidents_not_contained": 8,
        "dead_letters": 7,
        "automatic_frozen": 1,
    }
    assert {name: value(metrics, name) for name in shown} == shown
    assert value(metrics, "incidents_waiting_for_people", awaited="decision") == 4
    assert value(metrics, "incidents_waiting_for_people", awaited="start") == 5
    metrics.journal_answers(False)
    assert value(metrics, "journal_unavailable") == 1
    metrics.journal_answers(True)
    assert value(metrics, "journal_unavailable") == 0


def test_failures_at_queues_are_told_as_totals_and_counted_once() -> None:
    metrics = Metrics()
    failures = {"receive urgent: Throttled": 2, "delete: AwsUnreachable": 1, "Interrupted": 3}
    metrics.queues({"urgent": 4}, failures)
    metrics.queues({"urgent": 0}, {**failures, "receive rest: Throttled": 1})
    assert value(metrics, "queue_failures_total", doing="receive") == 3
    assert value(metrics, "queue_failures_total", doing="delete") == 1
    assert value(metrics, "queue_failures_total", doing="take") == 3
    assert value(metrics, "queue_messages_undecided", queue="urgent") == 0


# What nobody can do


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_comes_in_forges_a_line_or_makes_a_label_of_its_own(text: str) -> None:
    metrics = Metrics()
    tell_all(metrics)
    before = metrics.text().decode().count("\n")
    metrics.finding(finding(source=text), text)
    metrics.hear(opened(simulate="", title=text))
    metrics.hear(intent(9, text))
    metrics.hear(outcome(9, "failed"))
    metrics.hear(outcome(9, text))
    metrics.hear(record("incident.closed", {"status": text, "error": text}))
    metrics.taking(lambda document, via: Taken())(text.encode(), text)
    metrics.taking(lambda document, via: Taken())(text.encode(), f"sqs {text}")
    metrics.queues({text: 1}, {text: 1})
    metrics.journal_answers(True)
    metrics.stands(Standing(0, 0, {}, 0, 0, 0, False))

    shown = metrics.text().decode()
    assert value(metrics, "automatic_frozen") == 0
    assert "clampdown_automatic_frozen 0.0\n" in shown
    labels = {
        word
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
        for label, word in sample.labels.items()
        if label != "le"
    }
    assert all(re.fullmatch(r"[a-z0-9-]+( [A-Za-z0-9_-]+)?", word) for word in labels)
    # Whatever there is to come, it is all `other`, and makes no more series.
    assert shown.count("\n") <= before + 9
    metrics.finding(finding(source=f"{text}2"), f"{text}2")
    metrics.hear(intent(10, f"{text}\x00"))
    assert metrics.text().decode().count("\n") == shown.count("\n")


@pytest.mark.parametrize(
    "kind", ["incident.opened", "incident.closed", "change.intent", "change.outcome"]
)
def test_a_record_that_is_not_understood_stops_nothing(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    Metrics().hear(record(kind, {"text": HOSTILE[0]}))
    assert f"A {kind} record was not counted: KeyError" in caplog.text
    assert HOSTILE[0] not in caplog.text


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 3)
    metrics = Metrics()

    def take(document: bytes, via: str) -> Taken:
        for number in range(10):
            metrics.hear(opened(incident=f"inc-{number}"))
            metrics.hear(intent(number, incident=f"inc-x{number}"))
        return Taken()

    metrics.taking(take)(b"", "sweep")
    assert [len(known) for known in (metrics._received, metrics._modes, metrics._services)] == [
        3
    ] * 3
    # The newest are known still.
    metrics.hear(intent(50, incident="inc-9"))
    assert value(metrics, "first_change_seconds_count") == 1


def test_two_registries_in_one_process_know_nothing_of_each_other() -> None:
    first, second = Metrics(), Metrics()
    first.lease_lost()
    assert (value(first, "leases_lost_total"), value(second, "leases_lost_total")) == (1, 0)
