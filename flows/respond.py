"""Responding to an incident, as a Prefect flow: one flow run per incident, one task run per step.

Prefect shows the run, spreads runs over workers and keeps their schedules. It decides nothing:
gates are the journal's, and a Prefect that is slow, gone, or lost its database changes nothing
about what is contained. Importing this module imports Prefect, which takes a second; who can't
wait uses :mod:`flows.carry_out`, which brings this flow in as soon as there is time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect import flow, get_client, tags, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.context import TagsContext
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.execution import Execution
from flows.plan_text import plan_markdown
from flows.prefect_client import share_certificates
from runbooks.playbook import Approve, RunStep
from runbooks.registry import STEPS

# Prefect's server takes task runs in from a queue, after the flow run itself has ended.
_RECORDED = timedelta(seconds=5)
_LOOK_FIRST = timedelta(milliseconds=100)

share_certificates()

Resting = Callable[[], AbstractContextManager[None]]


@dataclass
class _Shown:
    """An execution, how many task runs were begun to show it, and what to be in while it waits."""

    execution: Execution
    resting: Resting
    task_runs: int = 0


# What this process carries out. A flow run is given an incident's id and finds it here: nothing
# but the id goes through Prefect's database.
_SHOWN: dict[str, _Shown] = {}


class NotRecorded(Exception):
    """Prefect's server has not taken all of the run in. Nothing but a view depends on it."""


class NotShown(Exception):
    """Prefect's server has taken nothing of the run in."""


@flow(
    name="respond",
    flow_run_name="{incident} {playbook}",
    persist_result=False,
    validate_parameters=False,
)
async def respond(incident: str, playbook: str) -> None:
    """Carry out an incident's playbook, step by step."""
    shown = _SHOWN[incident]
    execution = shown.execution
    await acreate_markdown_artifact(
        key=f"plan-{incident}",
        markdown=plan_markdown(execution.plan, execution.playbook.title),
        description=f"The plan of {playbook} for {incident}",
    )

    async def perform(entry: RunStep) -> None:
        run = step.with_options(task_run_name=_name_of(entry))
        shown.task_runs += 1
        if STEPS[entry.step].waits and not execution.over:
            with shown.resting():
                await run(incident, entry.id)
        else:
            await run(incident, entry.id)

    async def pass_(entry: Approve) -> None:
        run = gate.with_options(task_run_name=f"approval: {entry.approve.id}")
        shown.task_runs += 1
        with nullcontext() if execution.over else shown.resting():
            await run(incident, entry.approve.id)

    # The flow run has the tags. For a task run's, Prefect's server is asked for a place under each
    # one's limit; where it is slow, the run would fail for that, and no limit holds anything here.
    with TagsContext(current_tags=set()):
        await execution.walk(perform, pass_)


def _name_of(entry: RunStep) -> str:
    """The step's id, and which step it is where that does not say it."""
    return entry.id if entry.id == entry.step else f"{entry.id} ({entry.step})"


@task(name="step", cache_policy=NO_CACHE, persist_result=False)
async def step(incident: str, step_id: str) -> None:
    """Run one step on every target of the incident."""
    execution = _SHOWN[incident].execution
    entry = next(entry for entry in execution.playbook.run_steps() if entry.id == step_id)
    await execution.step(entry)


@task(name="approval", cache_policy=NO_CACHE, persist_result=False)
async def gate(incident: str, gate_id: str) -> None:
    """Wait until people have decided. What they decide is in the journal, not here."""
    execution = _SHOWN[incident].execution
    entry = next(
        entry
        for entry in execution.playbook.steps
        if isinstance(entry, Approve) and entry.approve.id == gate_id
    )
    await execution.gate(entry)


async def show_in_prefect(execution: Execution, url: str, resting: Resting = nullcontext) -> None:
    """Show an execution as a flow run with its tags, until Prefect has recorded all of it.

    ``url`` is the API of the server that shows it; another incident of this process may be shown by
    another one. It is in ``resting`` while it waits for people, for AWS, or for Prefect to record
    what it was sent. A failed containment is a failed flow run, and no error here.

    Raises NotRecorded, NotShown, and whatever Prefect raises.
    """
    playbook = execution.planner.playbook_id
    accounts = sorted({ref.account for ref in execution.refs})
    shown = _SHOWN[execution.id] = _Shown(execution, resting)
    named = (execution.id, playbook, execution.mode, *(f"account:{a}" for a in accounts))
    with temporary_settings({PREFECT_API_URL: url}):
        try:
            with tags(*named):
                state = await respond(execution.id, playbook, return_state=True)
        finally:
            del _SHOWN[execution.id]
        run = state.state_details.flow_run_id
        if run is None:
            raise NotShown("Prefect does not know the flow run.")
        # What sends task runs to one server never sends to another; the next incident has its own.
        sending: Any = EventsWorker.drain_all(timeout=_RECORDED.total_seconds(), at_exit=False)
        await sending
        with resting():
            await _recorded(run, shown.task_runs)


async def _recorded(flow_run: UUID, task_runs: int) -> None:
    pause = _LOOK_FIRST.total_seconds()
    only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
    try:
        async with asyncio.timeout(_RECORDED.total_seconds()), get_client() as client:
            while True:
                known = await client.read_task_runs(flow_run_filter=only)
                over = sum(run.state is not None and run.state.is_final() for run in known)
                if over >= task_runs:
                    return
                await asyncio.sleep(pause)
                # After a burst, many look at once.
                pause *= 2
    except TimeoutError as error:
        raise NotRecorded("Prefect's server is slow: it may not show all of the steps.") from error
