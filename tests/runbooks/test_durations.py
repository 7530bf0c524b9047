"""Durations as playbooks write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runbooks.step import Duration, StepParams, read_duration, write_duration


class Params(StepParams):
    within: Duration = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15m", 900), ("4h", 14_400), ("1h30m", 5_400), ("2d", 172_800), ("90s", 90), ("0s", 0)],
)
def test_a_duration_is_read_as_it_is_said(text: str, seconds: int) -> None:
    assert Params.model_validate({"within": text}).within == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["", "15", "15 m", "m15", "30m1h", "-5m", "1.5h", "15M", 900, None]
)
def test_anything_else_is_refused_with_an_example(value: Any) -> None:
    with pytest.raises(ValidationError, match="such as 15m"):
        Params.model_validate({"within": value})


@given(st.integers(min_value=0, max_value=10**9))
def test_what_is_written_is_read_back(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert read_duration(write_duration(duration)) == duration


def test_parameters_survive_json() -> None:
    params = Params(within=timedelta(minutes=90))
    assert params.model_dump(mode="json") == {"within": "1h30m"}
    assert Params.model_validate_json(params.model_dump_json()) == params
