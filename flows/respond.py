"""Responding to an incident, as a Prefect flow: one flow run per incident, one task run per step.

Prefect shows the run, spreads runs over workers and keeps their schedules. It decides nothing:
gates are the journal's, and a Prefect that is slow, gone, or lost its database changes nothing
about what is contained. Importing this module imports Prefect, which takes a second; who can't
wait uses :mod:`flows.carry_out`, which brings this flow in as soon as there is time.
"""

from __future__ import annotations

from collections.abc import Awaitable

from prefect import flow, tags, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.execution import Execution
from flows.plan_text import plan_markdown
from runbooks.playbook import Approve, RunStep

# What this process carries out. A flow run is given an incident's id and finds it here: nothing
# but the id goes through Prefect's database.
EXECUTIONS: dict[str, Execution] = {}


@flow(
    name="respond",
    flow_run_name="{incident} {playbook}",
    persist_result=False,
    validate_parameters=False,
)
async def respond(incident: str, playbook: str) -> None:
    """Carry out an incident's playbook, step by step."""
    execution = EXECUTIONS[incident]
    await acreate_markdown_artifact(
        key=f"plan-{incident}",
        markdown=plan_markdown(execution.plan, execution.playbook.title),
        description=f"The plan of {playbook} for {incident}",
    )

    async def perform(entry: RunStep) -> None:
        run = step.with_options(task_run_name=entry.id, tags=[entry.step])
        await run(incident, entry.id)

    async def pass_(entry: Approve) -> None:
        run = gate.with_options(task_run_name=f"approval: {entry.approve.id}")
        await run(incident, entry.approve.id)

    await execution.walk(perform, pass_)


@task(name="step", cache_policy=NO_CACHE, persist_result=False)
async def step(incident: str, step_id: str) -> None:
    """Run one step on every target of the incident."""
    execution = EXECUTIONS[incident]
    entry = next(entry for entry in execution.playbook.run_steps() if entry.id == step_id)
    await execution.from_elsewhere(execution.step(entry))


@task(name="approval", cache_policy=NO_CACHE, persist_result=False)
async def gate(incident: str, gate_id: str) -> None:
    """Wait until people have decided. What they decide is in the journal, not here."""
    execution = EXECUTIONS[incident]
    entry = next(
        entry
        for entry in execution.playbook.steps
        if isinstance(entry, Approve) and entry.approve.id == gate_id
    )
    await execution.from_elsewhere(execution.gate(entry))


def run_in_prefect(execution: Execution, playbook: str) -> Awaitable[None]:
    """The flow run of an execution, with its tags."""
    EXECUTIONS[execution.id] = execution
    accounts = sorted({ref.account for ref in execution.refs})

    async def run() -> None:
        with tags(execution.id, playbook, execution.mode, *(f"account:{a}" for a in accounts)):
            await respond(execution.id, playbook)

    return run()
