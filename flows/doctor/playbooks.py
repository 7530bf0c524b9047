"""playbooks.yaml: what is valid and still doesn't do what its author meant."""

from __future__ import annotations

from collections.abc import Iterator

from flows.doctor.check import Check, Result, counted, ok, problem, some, warning
from flows.doctor.setup import Setup
from runbooks.lint import notes
from runbooks.playbook import Approve, ApproverGroup, Manual, Playbooks, Route
from runbooks.registry import STEPS

_GROUP = "playbooks"


def checks(setup: Setup) -> list[Check]:
    book = setup.playbooks
    return [
        Check(_GROUP, "file", lambda: _file(setup)),
        Check(
            _GROUP,
            "routes",
            lambda: _routes(book),
            meaning="Findings that they are meant for start nothing, and propose nothing.",
        ),
        Check(
            _GROUP,
            "approvers",
            lambda: _approvers(book),
            meaning="What stands behind such a gate is never done.",
        ),
        Check(
            _GROUP,
            "accounts",
            lambda: _accounts(setup),
            meaning="There, nothing looks for findings whose events were lost, and no clean room is "
            "deleted when its time is over.",
        ),
        Check(
            _GROUP,
            "gates",
            lambda: _gates(book),
            meaning="It is right if you meant it: nobody is asked before something is taken down.",
        ),
    ]


def _file(setup: Setup) -> Result:
    book = setup.playbooks
    # One that is not valid has ended the command before.
    return ok(
        f"{setup.settings.playbooks} is valid: {counted(len(book.playbooks), 'playbook')}, "
        f"{counted(len(book.routes), 'route')}, {counted(len(book.accounts), 'account')}."
    )


def _routes(book: Playbooks) -> Result:
    if not book.routes:
        return warning(
            "There are no routes.",
            meaning="No finding starts or proposes anything; people start playbooks by hand.",
            advice="Add `routes` to playbooks.yaml.",
        )
    dead = [
        f"route {number} ({route.playbook}) is for {why}"
        for number, route in enumerate(book.routes, start=1)
        if (why := _never(route, book))
    ]
    if dead:
        return warning(
            f"Nothing ever meets {some(dead)}.", advice="Correct it, or list the account."
        )
    automatic = sum(route.mode == "automatic" for route in book.routes)
    shadow = sum(route.mode == "shadow" for route in book.routes)
    said = f"{counted(len(book.routes), 'route')}, of which {automatic} start by themselves"
    return ok(f"{said} and {shadow} are in SHADOW." if shadow else f"{said}.")


def _never(route: Route, book: Playbooks) -> str:
    """For what a route is that there is not; empty where something may meet it."""
    environments = {account.environment for account in book.accounts.values()}
    if route.match.account and not set(route.match.account) & set(book.accounts):
        return f"account {', '.join(route.match.account)}, which is not under `accounts`"
    if route.match.environment and not set(route.match.environment) & environments:
        return f"environment {', '.join(route.match.environment)}, which no account has"
    return ""


def _approvers(book: Playbooks) -> Result:
    if unheard := list(_unheard(book)):
        return problem(
            f"Only people in Slack may decide {some(unheard)}, and playbooks.yaml has no `slack`.",
            advice="Set Slack up (docs/slack.md), or add `local_users` to the group.",
        )
    if alone := list(_alone(book)):
        return warning(
            f"One person alone may decide {some(alone)}.",
            meaning="Where it is they who ask for an incident, nobody may approve it.",
            advice="Add a second person to the group, or an `escalate_to`.",
        )
    return ok("Every gate has people who may decide it.")


def _unheard(book: Playbooks) -> Iterator[str]:
    """What only people may decide who can be asked nowhere. The loader refuses groups of nobody."""
    if book.slack is not None:
        return
    for name, playbook in book.playbooks.items():
        for entry in playbook.steps:
            if isinstance(entry, Approve):
                place, names = f"gate {entry.approve.id}", entry.approve.groups
            elif isinstance(entry, Manual):
                place, names = f"task {entry.manual.id}", (entry.manual.by,)
            else:
                continue
            groups = [book.approvers[group] for group in names if group in book.approvers]
            if groups and not any(group.local_users for group in groups):
                yield f"{place} of {name}"


def _alone(book: Playbooks) -> Iterator[str]:
    """The gates that have a single approver, who may not be the one that asked for the incident."""
    for name, playbook in book.playbooks.items():
        for entry in playbook.steps:
            if isinstance(entry, Approve) and "requester" in entry.approve.distinct_from:
                groups = [book.approvers.get(group) for group in entry.approve.groups]
                if _one_person(groups):
                    yield f"gate {entry.approve.id} of {name}"


def _one_person(groups: list[ApproverGroup | None]) -> bool:
    known = [group for group in groups if group is not None]
    if len(known) < len(groups) or any(group.slack_usergroup for group in known):
        return False
    people = {person for group in known for person in (*group.slack_users, *group.local_users)}
    same = {person for group in known for person in group.same_person}
    return len(people - same) == 1


def _accounts(setup: Setup) -> Result:
    if not setup.playbooks.accounts:
        return warning(
            "No accounts are listed.",
            meaning="Clampdown acts nowhere.",
            advice="Add `accounts` to playbooks.yaml.",
        )
    without = [
        f"{key} ({account.name})"
        for key, account in setup.playbooks.accounts.items()
        if not account.regions
    ]
    if without:
        return warning(
            f"No `regions` are given for {some(without)}.", advice="Add them to playbooks.yaml."
        )
    return ok("Every account says in which Regions it is looked after.")


def _gates(book: Playbooks) -> Result:
    said = notes(book, STEPS)
    if said:
        return warning(
            f"{some(said, 1)}.", advice="`clampdown validate` lists each. Change `when` if not."
        )
    return ok("Nothing that takes something down is reached without a gate.")
