"""The sweep: what events lost is found, from everywhere, and the journal isn't flooded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.intake.finding import Finding
from flows.intake.parse import parse
from flows.journal.errors import JournalUnavailable
from flows.journal.journal import Journal
from flows.serve import sweep as sweeping
from flows.serve.sweep import Sweep
from runbooks.aws import Where
from runbooks.connections import AccountAccess, Connections
from runbooks.errors import AwsUnreachable
from runbooks.playbook import Playbooks
from tests.runbooks.playbook_files import accepted, small

ACCOUNT = "123456789012"
PARIS, DUBLIN = Where(ACCOUNT, "eu-west-3"), Where(ACCOUNT, "eu-west-1")


@dataclass(frozen=True)
class Taken:
    findings: int
    duplicates: int


class Desk:
    """Knows findings by id and time, as whoever really decides does."""

    def __init__(self) -> None:
        self.taken: list[Finding] = []
        self.failing: Callable[[Finding], Exception | None] = lambda finding: None

    def take(self, document: bytes, via: str) -> Taken:
        assert via == "sweep"
        [finding] = parse(document)
        if (error := self.failing(finding)) is not None:
            raise error
        known = finding.id in self.ids
        self.taken.append(finding)
        return Taken(1, int(known))

    @property
    def ids(self) -> list[str]:
        return [finding.id for finding in self.taken]


def playbooks(*regions: str, more: str = "") -> Playbooks:
    before = '"111122223333": {name: payments, environment: production, regions: [eu-west-1]}'
    given = f", regions: [{', '.join(regions)}]" if regions else ""
    after = f'"{ACCOUNT}": {{name: payments, environment: production{given}}}'
    return accepted(small((before, after)) + more)


def routes(*severities: str) -> str:
    lines = [
        f"  - match: {{severity: '{severity}'}}\n    playbook: compromise\n    mode: propose\n"
        for severity in severities
    ]
    return "routes:\n" + "".join(lines)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def own_journal(sqlite_url: str) -> Iterator[Journal]:
    journal = Journal.open(sqlite_url)
    yield journal
    journal.close()


@pytest.fixture
def make(simulated_aws: SimulatedAws, own_journal: Journal, desk: Desk) -> Iterator[Any]:
    """A sweep as a process has one; the places are in the order of their Regions."""
    opened: list[Connections] = []

    def made(file: Playbooks | None = None, **options: Any) -> Sweep:
        connections = Connections(
            {ACCOUNT: AccountAccess(), "210987654321": AccountAccess()},
            session_name="clampdown-intake",
            simulate=simulated_aws.url,
        )
        opened.append(connections)
        given = file or playbooks(DUBLIN.region)
        return Sweep(given, connections, own_journal, desk.take, **options)

    yield made
    for connections in opened:
        connections.close()


def find(aws: SimulatedAws, where: Where = DUBLIN, **changes: Any) -> str:
    """Have GuardDuty find something that no event tells of."""
    return aws.find(
        {
            "AccountId": where.account,
            "Region": where.region,
            "Type": "CryptoCurrency:EC2/BitcoinTool.B!DNS",
            "Severity": 8.0,
            "Resource": {
                "ResourceType": "Instance",
                "InstanceDetails": {"InstanceId": "i-0123456789abcdef0"},
            },
            **changes,
        }
    )


def updated(ago: timedelta) -> dict[str, str]:
    moment = (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {"CreatedAt": moment, "UpdatedAt": moment}


def asked_since(aws: SimulatedAws) -> timedelta:
    """How long ago the last listing began."""
    criterion = aws.calls.of("guardduty", "ListFindings")[-1].parameters["findingCriteria"]
    since = criterion["criterion"]["updatedAt"]["greaterThanOrEqual"]
    return datetime.now(UTC) - datetime.fromtimestamp(since / 1000, UTC)


def written(journal: Journal) -> list[dict[str, Any]]:
    return [dict(record.body) for record in journal.records("sweep")]


def test_what_events_lost_is_found(make: Any, desk: Desk, simulated_aws: SimulatedAws) -> None:
    first = find(simulated_aws)
    late = find(simulated_aws, **updated(timedelta(hours=23)))
    find(simulated_aws, **updated(timedelta(hours=25)))
    swept = make().once()
    assert sorted(desk.ids) == sorted([first, late])
    assert (swept.findings, swept.new, swept.places, swept.failures) == (2, 2, (DUBLIN,), ())


def test_archived_findings_are_found_as_well(
    make: Any, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    identity = find(simulated_aws, Service={"Archived": True})
    make().once()
    [finding] = desk.taken
    assert (finding.id, finding.archived) == (identity, True)


def test_the_next_sweep_begins_ten_minutes_before_the_last(
    make: Any, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    sweep = make()
    find(simulated_aws)
    sweep.once()
    assert timedelta(hours=24) <= asked_since(simulated_aws) < timedelta(hours=24, seconds=10)
    second = sweep.once()
    assert timedelta(minutes=10) <= asked_since(simulated_aws) < timedelta(minutes=11)
    assert (second.findings, second.new) == (1, 0)


def test_a_new_process_goes_on_where_the_last_one_was(
    make: Any, own_journal: Journal, simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(simulated_aws)
    make().once()
    make().once()
    assert timedelta(minutes=10) <= asked_since(simulated_aws) < timedelta(minutes=11)
    # It was down for three days.
    began = datetime.now(UTC) - timedelta(days=3)
    [record] = own_journal.records("sweep")
    body = {**record.body, "region": PARIS.region, "began": began.isoformat()}
    own_journal.append("sweep", "sweep.done", body, record.actor, at=began)
    find(simulated_aws, PARIS)
    make(playbooks(PARIS.region)).once()
    assert timedelta(days=3) < asked_since(simulated_aws) < timedelta(days=3, minutes=11)


def test_a_clock_that_was_ahead_makes_no_gap(
    make: Any, own_journal: Journal, simulated_aws: SimulatedAws
) -> None:
    find(simulated_aws)
    make().once()
    [record] = own_journal.records("sweep")
    ahead = datetime.now(UTC) + timedelta(days=1)
    own_journal.append(
        "sweep", "sweep.done", {**record.body, "began": ahead.isoformat()}, record.actor
    )
    make().once()
    assert asked_since(simulated_aws) >= timedelta(hours=24)


def test_a_simulation_does_not_say_where_a_real_sweep_was(
    make: Any, own_journal: Journal, simulated_aws: SimulatedAws
) -> None:
    find(simulated_aws)
    make().once()
    [record] = own_journal.records("sweep")
    assert record.body["simulate"] == simulated_aws.url
    began = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
    real = {**record.body, "simulate": "", "began": began}
    own_journal.append("sweep", "sweep.done", real, record.actor)
    make().once()
    assert asked_since(simulated_aws) < timedelta(minutes=11)


def test_many_findings_come_in_pages_the_most_severe_first(
    make: Any, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    severities = [float(1 + number % 9) for number in range(120)]
    for severity in severities:
        find(simulated_aws, Severity=severity)
    swept = make().once()
    assert swept.new == 120
    assert len(set(desk.ids)) == 120
    assert [finding.severity for finding in desk.taken] == sorted(severities, reverse=True)
    calls = simulated_aws.calls.of("guardduty", "GetFindings")
    assert [len(call.parameters["findingIds"]) for call in calls] == [50, 50, 20]


@pytest.mark.parametrize(
    ("severities", "least"),
    [
        ((), None),
        ((">= 7", ">= 4"), 4),
        (("> 6.9",), 6),
        (("== 8.5", "< 3"), None),
        ((">= 0.5",), None),
    ],
)
def test_what_no_route_could_take_is_not_asked_for(
    severities: tuple[str, ...], least: int | None, make: Any, simulated_aws: SimulatedAws
) -> None:
    find(simulated_aws)
    more = routes(*severities) if severities else ""
    make(playbooks(DUBLIN.region, more=more)).once()
    [call] = simulated_aws.calls.of("guardduty", "ListFindings")
    criterion = call.parameters["findingCriteria"]["criterion"]
    assert criterion.get("severity") == (least and {"greaterThanOrEqual": least})


def test_a_place_that_refuses_keeps_no_other_from_being_swept(
    make: Any, desk: Desk, simulated_aws: SimulatedAws, caplog: pytest.LogCaptureFixture
) -> None:
    identity = find(simulated_aws, PARIS)
    find(simulated_aws)
    simulated_aws.fault(
        Fault(service="guardduty", operation="ListDetectors", effect="deny", times=1)
    )
    swept = make(playbooks(DUBLIN.region, "us-east-1", PARIS.region)).once()
    assert desk.ids == [identity]
    assert swept.places == (PARIS,)
    denied, off = swept.failures
    assert f"{ACCOUNT}, eu-west-1 was not swept to the end" in denied
    assert "guardduty:ListDetectors" in denied
    assert "us-east-1" in off
    assert "GuardDuty is not turned on there." in off
    assert denied in caplog.text


def test_an_account_without_regions_or_of_somebody_else_is_said(
    make: Any, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    find(simulated_aws)
    [failure] = make(playbooks()).once().failures
    assert "playbooks.yaml gives no regions" in failure
    assert make(playbooks(), region=DUBLIN.region).once().places == (DUBLIN,)
    file = accepted(small(("111122223333", "210987654321")))
    [failure] = make(file).once().failures
    assert f"The credentials belong to account {ACCOUNT}" in failure


def test_a_finding_that_can_t_be_taken_keeps_no_other_from_it_and_comes_again(
    make: Any, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    sweep = make()
    bad = find(simulated_aws, Severity=9.0)
    good = find(simulated_aws)
    desk.failing = lambda finding: ValueError("i-hostile") if finding.id == bad else None
    [failure] = sweep.once().failures
    assert desk.ids == [good]
    assert bad in failure
    assert "ValueError" in failure
    assert "i-hostile" not in failure
    desk.failing = lambda finding: None
    assert sweep.once().new == 1
    assert timedelta(hours=24) <= asked_since(simulated_aws)
    assert desk.ids[1:] == [bad, good]


def test_while_aws_is_away_a_place_is_left_and_swept_again(
    make: Any, desk: Desk, own_journal: Journal, simulated_aws: SimulatedAws
) -> None:
    sweep = make(playbooks(DUBLIN.region, PARIS.region))
    for _ in range(3):
        find(simulated_aws)
    elsewhere = find(simulated_aws, PARIS)
    tried: list[Finding] = []

    def away(finding: Finding) -> Exception | None:
        tried.append(finding)
        return AwsUnreachable("no answer") if finding.region == DUBLIN.region else None

    desk.failing = away
    swept = sweep.once()
    assert swept.places == (PARIS,)
    assert desk.ids == [elsewhere]
    assert len(tried) == 2
    assert [body["region"] for body in written(own_journal)] == [PARIS.region]
    desk.failing = lambda finding: None
    assert sweep.once().new == 3


def test_without_the_journal_there_is_no_sweep(
    make: Any, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    find(simulated_aws)
    desk.failing = lambda finding: JournalUnavailable("disk full")
    with pytest.raises(JournalUnavailable):
        make().once()


def test_only_one_process_sweeps_at_a_time(
    journal: Journal, desk: Desk, simulated_aws: SimulatedAws
) -> None:
    connections = Connections(
        {ACCOUNT: AccountAccess()}, session_name="clampdown-intake", simulate=simulated_aws.url
    )
    find(simulated_aws)
    sweep = Sweep(playbooks(DUBLIN.region), connections, journal, desk.take)
    with journal.hold("sweep"):
        assert sweep.once().elsewhere
        assert not simulated_aws.calls.of("guardduty", "ListFindings")
    assert sweep.once().new == 1
    connections.close()


def test_a_sweep_is_written_down_where_something_was_new_or_once_an_hour(
    make: Any, own_journal: Journal, simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = make()
    find(simulated_aws)
    for _ in range(3):
        sweep.once()
    assert [body["found"] for body in written(own_journal)] == [1]
    find(simulated_aws)
    sweep.once()
    sweep.once()
    assert [body["found"] for body in written(own_journal)] == [1, 1]
    monkeypatch.setattr(sweeping, "_WRITTEN_EVERY", timedelta(0))
    sweep.once()
    assert [body["found"] for body in written(own_journal)] == [1, 1, 0]
    last = written(own_journal)[-1]
    assert (last["account"], last["region"]) == (ACCOUNT, DUBLIN.region)
    assert datetime.fromisoformat(last["began"]) <= datetime.now(UTC)
