"""What was done to the drill, and who noticed."""

from __future__ import annotations

from typing import Any

from flows.gameday.score.faults import calls, faults
from tests.flows.gameday.score.conftest import Make
from tests.flows.gameday.score.rehearsal import Rehearsal


def _fault(
    effect: str, at: str = "10s", *, lasts: str | None = None, **more: Any
) -> dict[str, Any]:
    fault = {"service": "ec2", "operation": "CreateSnapshots", "effect": effect, **more}
    return {"at": at, "fault": {"fault": fault, "lasts": lasts}}


def _one(drill: Rehearsal) -> dict[str, Any]:
    (found,) = faults(drill.played())
    return found


def test_a_denial_is_noticed_where_the_journal_tells_of_it(rehearse: Make) -> None:
    drill = rehearse(timeline=[_fault("deny")])
    drill.at(10).inject(0)
    drill.at(31).opened()
    drill.at(40).changes("ec2.snapshot", status="failed", code="UnauthorizedOperation")
    drill.at(100).calls(faults=[{"fault": {}, "hits": 3}])
    found = _one(drill)
    assert (found["hits"], found["noticed"], found["by"]) == (3, True, "Clampdown")
    assert (found["at_seconds"], found["noticed_after_seconds"]) == (10, 30)
    assert len(found["sources"]) == 3


def test_what_was_overcome_in_silence_was_noticed_by_nobody(rehearse: Make) -> None:
    drill = rehearse(timeline=[_fault("throttle")])
    drill.at(10).inject(0)
    drill.opened()
    drill.does("ec2.snapshot")
    # Trouble, but not that of the fault.
    drill.changes("ec2.snapshot", status="failed", code="AccessDenied")
    drill.calls(faults=[{"fault": {}, "hits": 5}])
    found = _one(drill)
    assert (found["hits"], found["noticed"], found["by"]) == (5, False, "nobody")
    assert found["noticed_after_seconds"] is None


def test_what_failed_before_or_long_after_is_not_the_faults_doing(rehearse: Make) -> None:
    drill = rehearse(timeline=[_fault("throttle", lasts="1m")])
    drill.at(5).opened()
    drill.changes("ec2.tag", status="failed", code="Throttling")
    drill.at(10).inject(0)
    drill.at(200).changes("ec2.tag", status="failed", code="Throttling")
    assert _one(drill)["noticed"] is False


def test_a_fault_that_hit_nothing_was_noticed_by_nobody(rehearse: Make) -> None:
    drill = rehearse(timeline=[_fault("deny")])
    drill.at(10).inject(0)
    drill.opened()
    drill.changes("ec2.snapshot", status="failed", code="AccessDenied")
    drill.calls(faults=[{"fault": {}, "hits": 0}])
    assert (_one(drill)["hits"], _one(drill)["noticed"]) == (0, False)


def test_an_error_by_its_own_code(rehearse: Make) -> None:
    drill = rehearse(timeline=[_fault("error", code="SnapshotCreationPerVolumeRateExceeded")])
    drill.at(10).inject(0)
    drill.opened()
    drill.finishes("ec2.snapshot", status="failed", error="SnapshotCreationPerVolumeRateExceeded")
    assert _one(drill)["noticed"] is True
    assert _one(drill)["hits"] is None


def test_each_fault_has_the_hits_of_its_own(rehearse: Make) -> None:
    drill = rehearse(timeline=[_fault("deny", "10s"), _fault("throttle", "20s")])
    drill.at(10).inject(0)
    drill.at(20).inject(1)
    drill.calls(faults=[{"fault": {}, "hits": 1}, {"fault": {}, "hits": 2}])
    assert [item["hits"] for item in faults(drill.played())] == [1, 2]


def _attacked(rehearse: Make) -> Rehearsal:
    intruder = {"at": "60s", "attacker": {"does": "puts_groups_back", "to": "victim"}}
    drill = rehearse(timeline=[intruder])
    drill.at(31).opened()
    drill.at(40).does("ec2.isolate")
    drill.at(60).inject(0)
    return drill


def test_an_intruder_is_noticed_when_what_was_done_is_done_again(rehearse: Make) -> None:
    drill = _attacked(rehearse)
    drill.at(65).changes("ec2.tag")
    assert _one(drill)["noticed"] is False
    drill.at(70).changes("ec2.isolate")
    assert _one(drill)["noticed_after_seconds"] == 10


def test_an_intruder_is_noticed_when_verification_fails(rehearse: Make) -> None:
    drill = _attacked(rehearse)
    drill.at(75).verifies("ec2.isolate", error="still in sg-1")
    assert _one(drill)["noticed_after_seconds"] == 15


def test_an_intruder_whom_nothing_finds_went_unnoticed(rehearse: Make) -> None:
    drill = _attacked(rehearse)
    drill.at(75).verifies("ec2.isolate")
    assert _one(drill)["noticed"] is False


def test_the_orchestrators_death_is_overcome_when_it_is_back(rehearse: Make) -> None:
    drill = rehearse()
    drill.at(50).died()
    drill.at(92).back(42)
    drill.at(100).died()
    first, second = faults(drill.played())
    assert first["what"] == "the orchestrator was killed and was back after 42s"
    assert (first["noticed"], first["noticed_after_seconds"]) == (True, 42)
    assert second["noticed"] is False


def test_calls_are_those_that_aws_recorded(rehearse: Make) -> None:
    drill = rehearse()
    call = {"service": "ec2", "operation": "X", "changes": True, "count": 2, "errors": {"A": 1}}
    record = drill.calls(call)
    (found,) = calls(drill.played())
    assert {key: value for key, value in found.items() if key != "sources"} == call
    assert [source.seq for source in found["sources"]] == [record.seq]
