"""This machine's clock against AWS's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flows.doctor import accounts, setup
from flows.doctor.clock import compare
from flows.doctor.setup import Moment
from flows.gameday.aws.faults import Fault
from tests.flows.doctor.clinic import Clinic

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_an_answer_of_aws_is_compared(clinic: Clinic) -> None:
    result = clinic.examine(accounts.checks)["clock"]

    assert result.what == "This machine's clock and AWS's agree."


def test_without_an_answer_there_is_nothing_to_compare(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.settings["simulate"] = ""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    assert clinic.examine(accounts.checks)["clock"].status == "not looked at"


@pytest.mark.parametrize(
    ("off", "status", "said"),
    [
        (timedelta(seconds=59), "ok", "agree"),
        (timedelta(seconds=75), "warning", "1 min 15 s ahead of AWS's"),
        (timedelta(seconds=-75), "warning", "1 min 15 s behind AWS's"),
        (timedelta(minutes=6), "problem", "6 min 0 s ahead of AWS's"),
    ],
)
def test_a_clock_that_is_off_is_told(off: timedelta, status: str, said: str) -> None:
    result = compare(Moment(NOON, NOON + off))

    assert result.status == status
    assert said in result.what


def test_a_refusal_tells_the_time_too(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    clinic.scene.aws.fault(
        Fault(service="sts", effect="error", code="RequestTimeTooSkewed", status=403)
    )
    late = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr(setup, "_now", lambda: late)

    result = clinic.examine(accounts.checks)["clock"]

    assert result.status == "problem"
    assert "ahead of AWS's" in result.what
