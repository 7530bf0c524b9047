"""Whose a resource is, by its tags, and what follows: the channel, and who decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runbooks.playbook import OWNER, Playbook, Playbooks, Team


def owners_by(tags: Iterable[Mapping[str, str]], keys: Sequence[str]) -> list[str]:
    """The teams that resources belong to, each once: by the first of the keys that a resource has.

    Keys are held against tags without regard to case, as people write them.
    """
    found: list[str] = []
    for resource in tags:
        known = {key.casefold(): value for key, value in reversed(list(resource.items()))}
        named = [known[key.casefold()] for key in keys if known.get(key.casefold())]
        found.extend(named[:1])
    return list(dict.fromkeys(found))


def team_of(playbooks: Playbooks, tags: Iterable[Mapping[str, str]]) -> Team | None:
    """The team of playbooks.yaml to which all resources belong; None where there is not just one."""
    named = [owners_by([resource], playbooks.owner_tags) for resource in tags]
    if not named or not named[0] or any(owners != named[0] for owners in named):
        return None
    return playbooks.teams.get(named[0][0])


def decided_by_owner(playbook: Playbook, team: Team | None) -> Playbook:
    """The playbook with the team's approvers wherever the group ``owner`` is asked.

    Without a team it stays as it is: the group ``owner`` of `approvers` decides.
    """
    if team is None or team.approvers is None:
        return playbook
    return Playbook.model_validate(_replaced(playbook.to_json(), team.approvers))


# Where a playbook names groups.
_GROUPS = {"by", "group", "escalate_to", "break_glass"}


def _replaced(value: Any, approvers: str) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _group(item, approvers) if key in _GROUPS else _replaced_in(key, item, approvers)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_replaced(item, approvers) for item in value]
    return value


def _replaced_in(key: str, value: Any, approvers: str) -> Any:
    if key == "notify":
        return [_group(item, approvers) for item in value]
    # What a step is given is no matter of who decides.
    return value if key == "with" else _replaced(value, approvers)


def _group(value: Any, approvers: str) -> Any:
    return approvers if value == OWNER else value
