"""The installation's playbooks as a drill plays them: with other people, in a simulated account."""

from __future__ import annotations

from collections.abc import Mapping

from flows.gameday.scenario import Person
from runbooks.playbook import (
    Account,
    Approve,
    ApproverGroup,
    Entry,
    Playbook,
    Playbooks,
    Route,
)


def rehearsed(
    playbooks: Playbooks,
    people: Mapping[str, Person] | None,
    account: str,
    region: str,
    like: Account | None = None,
) -> Playbooks:
    """The same playbooks, guardrails, budgets and routes.

    In the place of the accounts is the simulated one, a production account unless it is ``like``
    another; who decides is whom the scenario has. A group
    in which the scenario has nobody can decide nothing, as one that is away. Nobody is asked for a
    second proof, and nothing is told in Slack. With ``people`` None the real ones play, who are told
    and decide there.
    """
    if people is None:
        groups, slack = dict(playbooks.approvers), playbooks.slack
    else:
        groups, slack = _groups(playbooks, people), None
    return playbooks.model_copy(
        update={
            "accounts": {
                account: like or Account(name="drill", environment="production", regions=(region,))
            },
            "approvers": groups,
            "playbooks": {
                name: _without_step_up(playbook) for name, playbook in playbooks.playbooks.items()
            },
            "routes": tuple(_in(account, route) for route in playbooks.routes),
            "slack": slack,
        }
    )


def _groups(playbooks: Playbooks, people: Mapping[str, Person]) -> dict[str, ApproverGroup]:
    known = {*playbooks.approvers, *(group for who in people.values() for group in who.groups)}
    return {group: ApproverGroup(local_users=_of(people, group)) for group in known}


def _of(people: Mapping[str, Person], group: str) -> tuple[str, ...]:
    return tuple(name for name, person in people.items() if group in person.groups)


def _in(account: str, route: Route) -> Route:
    """A route of some accounts is the simulated account's."""
    if not route.match.account:
        return route
    match = route.match.model_copy(update={"account": (account,)})
    return route.model_copy(update={"match": match})


def _without_step_up(playbook: Playbook) -> Playbook:
    """Nobody has an authenticator for those who stand in."""
    return playbook.model_copy(update={"steps": tuple(_asking_once(e) for e in playbook.steps)})


def _asking_once(entry: Entry) -> Entry:
    if not isinstance(entry, Approve):
        return entry
    return entry.model_copy(update={"approve": entry.approve.model_copy(update={"step_up": None})})
