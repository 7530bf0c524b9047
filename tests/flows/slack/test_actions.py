"""What buttons carry can be read again, and nothing else can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.slack.actions import GateValue, PageValue, TaskValue
from runbooks.errors import InvalidInput

INCIDENT = "inc-20261123-7f3a9c"
NAME = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", fullmatch=True)


@given(NAME, st.from_regex(r"[0-9a-f]{16}", fullmatch=True), st.integers(0, 99))
def test_values_are_read_as_they_were_written(name: str, nonce: str, page: int) -> None:
    gate = GateValue(INCIDENT, name, nonce)
    assert GateValue.read(str(gate)) == gate
    task = TaskValue(INCIDENT, name)
    assert TaskValue.read(str(task)) == task
    for shown in (PageValue(INCIDENT, page, name), PageValue(INCIDENT, page)):
        assert PageValue.read(str(shown)) == shown


def test_an_incidents_id_alone_is_its_first_page() -> None:
    assert PageValue.read(INCIDENT) == PageValue(INCIDENT, 0)


@pytest.mark.parametrize(
    "value", ["", "a", "a b", "a b c d", "a  b", "a b <c>", "a b c\n", "ä b c"]
)
def test_other_values_are_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="nothing was done"):
        GateValue.read(value)
