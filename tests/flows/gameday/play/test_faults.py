"""Faults as a drill needs them: for Clampdown alone, for a time, and counted."""

from __future__ import annotations

from flows.gameday.aws.faults import Fault, Faults
from flows.gameday.play.injects import own

DENIED = Fault(service="ec2", operation="Create*", effect="deny")


def test_only_whom_a_fault_is_for_meets_it() -> None:
    faults = Faults()
    faults.add(own(DENIED))
    assert faults.meet("ec2", "CreateTags", {}, "Boto3/1.0") is None
    assert faults.meet("ec2", "CreateTags", {}, "Boto3/1.0 clampdown") is not None
    assert faults.hit() == [(own(DENIED), 1)]


def test_what_is_over_hits_nothing_and_the_others_go_on_counting() -> None:
    faults = Faults()
    once = Fault(service="ec2", times=1, effect="throttle")
    faults.add(once)
    faults.add(DENIED)
    for _ in range(3):
        faults.meet("ec2", "CreateTags", {})
    faults.end(DENIED)
    assert faults.meet("ec2", "CreateTags", {}) is None
    assert faults.hit() == [(once, 1), (DENIED, 2)]
