"""When an execution is shown in Prefect: after what is more urgent, never too late, and all of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import prefect_view, respond
from flows.prefect_server import NoAnswer
from flows.prefect_view import PrefectFollower, finish_all
from flows.turns import QUIET

_SOON = timedelta(seconds=10)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The incidents that Prefect shows, of which there is no server."""
    shown: list[str] = []

    async def show(execution: Any, url: str, resting: object) -> None:
        shown.append(execution.id)

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(prefect_view, "require_answer", lambda url, within: None)
    monkeypatch.setattr(respond, "show_in_prefect", show)
    return shown


@pytest.fixture
def busy() -> Iterator[None]:
    """Some other incident has its turn."""
    QUIET.clear()
    yield
    QUIET.set()


def follow(home: Path, incident: str = "inc-1", *, calm: bool = True) -> PrefectFollower:
    execution: Any = SimpleNamespace(
        id=incident, calm=threading.Event(), around=SimpleNamespace(resumes=True)
    )
    if calm:
        execution.calm.set()
    follower = PrefectFollower(execution, home)
    follower.start()
    return follower


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SOON.total_seconds()
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def test_nothing_is_shown_while_an_incident_of_this_process_is_more_urgent(
    tmp_path: Path, shown: list[str], busy: None
) -> None:
    names = [f"inc-{number}" for number in range(5)]
    followers = [follow(tmp_path, name) for name in names]
    assert not followers[0].finish(timedelta(seconds=0.3))
    assert shown == []
    QUIET.set()
    assert all(follower.finish(_SOON) for follower in followers)
    assert sorted(shown) == names


def test_where_it_never_is_quiet_it_is_shown_all_the_same(
    tmp_path: Path, shown: list[str], busy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_view, "_AFTER_OTHERS", timedelta(milliseconds=100))
    assert follow(tmp_path).finish(_SOON)
    assert shown == ["inc-1"]


def test_at_the_end_of_the_process_what_is_not_shown_yet_is_waited_for(
    tmp_path: Path, shown: list[str], busy: None
) -> None:
    for number in range(3):
        follow(tmp_path, f"inc-{number}")
    assert finish_all(timedelta(seconds=0.1)) == 3
    threading.Timer(0.2, QUIET.set).start()
    assert finish_all(_SOON) == 0
    assert len(shown) == 3


def test_a_server_that_does_not_answer_keeps_no_process_from_ending(
    tmp_path: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def away(url: str, within: timedelta) -> None:
        asked.set()
        raise NoAnswer("nobody listens there")

    monkeypatch.setattr(prefect_view, "require_answer", away)
    follower = follow(tmp_path)
    asked.wait(10)
    began = time.monotonic()
    assert finish_all(timedelta(seconds=30)) == 0
    assert time.monotonic() - began < 5
    assert "nobody listens" in follower.view().problem
    assert shown == []
