"""Modals and Home tabs: who has which open, what may open them, and what closes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flows.gameday.slack import blocks as block_kit
from flows.gameday.slack.forms import state
from flows.gameday.slack.workspace import Refusal, Workspace, flagged

# "Currently the limit is 3" and "greater than 250kb" (views.push).
MOST_VIEWS = 3
MOST_BYTES = 250_000


@dataclass
class Trigger:
    """What lets the app open a modal for somebody, once and soon."""

    user: str
    at: float
    used: bool = False


@dataclass
class View:
    """A modal or a Home tab. ``errors`` are those that the app answered, by block id."""

    id: str
    user: str
    given: dict[str, Any]
    hash: str
    root: str
    previous: str | None = None
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def blocks(self) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = self.given["blocks"]
        return blocks

    @property
    def title(self) -> str:
        return str((self.given.get("title") or {}).get("text", ""))


class Views:
    """The views of everybody in a workspace. A trigger lives for ``trigger_seconds``."""

    def __init__(self, workspace: Workspace, trigger_seconds: float = 3.0) -> None:
        self._workspace = workspace
        self._trigger_seconds = trigger_seconds
        self._triggers: dict[str, Trigger] = {}
        self._stacks: dict[str, list[View]] = {}
        self._homes: dict[str, View] = {}

    def new_trigger(self, user_id: str) -> str:
        ids = self._workspace.ids
        trigger = f"{ids.digits(13)}.{ids.digits(12)}.{ids.hexadecimal(32)}"
        with self._workspace.changing():
            self._triggers[trigger] = Trigger(user_id, self._workspace.clock())
        return trigger

    def modal(self, user_id: str) -> View | None:
        """The modal that this person sees: the last of theirs."""
        with self._workspace.changed:
            stack = self._stacks.get(user_id)
            return stack[-1] if stack else None

    def home(self, user_id: str) -> View | None:
        with self._workspace.changed:
            return self._homes.get(user_id)

    def stacks(self) -> dict[str, list[View]]:
        """The open modals of each person, the one they see last."""
        with self._workspace.changed:
            return {user: list(stack) for user, stack in self._stacks.items() if stack}

    def homes(self) -> dict[str, View]:
        with self._workspace.changed:
            return dict(self._homes)

    def open(self, trigger_id: str, given: Any) -> View:
        """views.open. Raises Refusal."""
        with self._workspace.changing():
            checked = self._checked(given, "modal")
            user = self._exchange(trigger_id)
            view_id = self._workspace.ids.new("V")
            opened = View(view_id, user, checked, self._new_hash(), view_id)
            self._stacks[user] = [opened]
            return opened

    def push(self, trigger_id: str, given: Any) -> View:
        """views.push. Raises Refusal."""
        with self._workspace.changing():
            checked = self._checked(given, "modal")
            user = self._exchange(trigger_id)
            if not self._stacks.get(user):
                raise Refusal("not_found")
            return self._pushed(user, checked)

    def update(self, view_id: str, external_id: str, given: Any, hash_: str) -> View:
        """views.update. A view that was closed is not found. Raises Refusal."""
        with self._workspace.changing():
            for view in self._all():
                if view.id == view_id or (
                    external_id and view.given.get("external_id") == external_id
                ):
                    break
            else:
                raise Refusal("not_found")
            checked = self._checked(given, view.given["type"], instead_of=view)
            return self._changed(view, checked, hash_)

    def publish(self, user_id: str, given: Any, hash_: str) -> View:
        """views.publish. Raises Refusal."""
        with self._workspace.changing():
            if user_id not in self._workspace.users:
                raise _invalid("invalid `user_id`")
            if not self._workspace.app.home_tab:
                raise Refusal("not_enabled")
            known = self._homes.get(user_id)
            checked = self._checked(given, "home", instead_of=known)
            if known:
                return self._changed(known, checked, hash_)
            view_id = self._workspace.ids.new("V")
            home = View(view_id, user_id, checked, self._new_hash(), view_id)
            self._homes[user_id] = home
            return home

    def close(self, view: View, *, all_of_them: bool = False) -> None:
        with self._workspace.changing():
            stack = self._stacks.get(view.user, [])
            self._stacks[view.user] = [] if all_of_them else [v for v in stack if v.id != view.id]

    def respond(self, view: View, answer: Any) -> str:
        """Do what the app answered to a submission; give what is wrong with the answer.

        "view_submission": nothing closes the view; ``response_action`` is ``clear``, ``update``,
        ``push`` or ``errors``, which are by the ids of input blocks.
        """
        if answer in (None, "", {}):
            self.close(view)
            return ""
        if not isinstance(answer, Mapping):
            return "invalid_response"
        with self._workspace.changing():
            try:
                match answer.get("response_action"):
                    case "clear":
                        self.close(view, all_of_them=True)
                    case "update":
                        given = self._checked(answer.get("view"), "modal", instead_of=view)
                        self._changed(view, given, "")
                    case "push":
                        self._pushed(view.user, self._checked(answer.get("view"), "modal"))
                    case "errors":
                        inputs = {b["block_id"] for b in view.blocks if b["type"] == "input"}
                        errors = answer.get("errors") or {}
                        if not errors or not set(errors) <= inputs:
                            return "invalid_response"
                        self._replace(view, replace(view, errors=dict(errors)))
                    case _:
                        return "invalid_response"
            except Refusal as refusal:
                return refusal.code
        return ""

    def to_json(self, view: View, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The view as Slack's answers and payloads show it. ``values`` are its state."""
        team, installed = self._workspace.team, self._workspace.installation
        given = view.given
        return {
            "id": view.id,
            "team_id": self._workspace.users[view.user].team.id,
            "type": given["type"],
            "blocks": view.blocks,
            "private_metadata": given.get("private_metadata", ""),
            "callback_id": given.get("callback_id", ""),
            "state": {"values": dict(values if values is not None else state(view.blocks, {}))},
            "hash": view.hash,
            "title": given.get("title") or {"type": "plain_text", "text": "View Title"},
            "clear_on_close": given.get("clear_on_close", False),
            "notify_on_close": given.get("notify_on_close", False),
            "close": given.get("close"),
            "submit": given.get("submit"),
            "previous_view_id": view.previous,
            "root_view_id": view.root,
            "app_id": installed.app_id,
            "external_id": given.get("external_id", ""),
            "app_installed_team_id": team.id,
            "bot_id": installed.bot_id,
        }

    def _exchange(self, trigger_id: str) -> str:
        trigger = self._triggers.get(trigger_id)
        if trigger is None:
            raise Refusal("invalid_trigger_id")
        if trigger.used:
            raise Refusal("exchanged_trigger_id")
        if self._workspace.clock() - trigger.at > self._trigger_seconds:
            raise Refusal("expired_trigger_id")
        trigger.used = True
        return trigger.user

    def _checked(self, given: Any, kind: str, *, instead_of: View | None = None) -> dict[str, Any]:
        if not isinstance(given, Mapping):
            raise _invalid("missing required field: view")
        problems = block_kit.problems_of_view(given, kind)
        if problems:
            raise _invalid(*problems)
        if len(json.dumps(given)) > MOST_BYTES:
            raise Refusal("view_too_large")
        external_id = given.get("external_id")
        if external_id and any(
            view.given.get("external_id") == external_id
            for view in self._all()
            if instead_of is None or view.id != instead_of.id
        ):
            raise Refusal("duplicate_external_id")
        return {**flagged(given), "blocks": self._workspace.with_ids(given["blocks"])}

    def _pushed(self, user: str, checked: dict[str, Any]) -> View:
        stack = self._stacks[user]
        if len(stack) >= MOST_VIEWS:
            raise Refusal("push_limit_reached")
        view_id = self._workspace.ids.new("V")
        view = View(view_id, user, checked, self._new_hash(), stack[0].id, stack[-1].id)
        stack.append(view)
        return view

    def _changed(self, view: View, checked: dict[str, Any], hash_: str) -> View:
        if hash_ and hash_ != view.hash:
            raise Refusal("hash_conflict")
        changed = replace(view, given=checked, hash=self._new_hash(), errors={})
        self._replace(view, changed)
        return changed

    def _replace(self, old: View, new: View) -> None:
        if old.given["type"] == "home":
            self._homes[old.user] = new
        else:
            stack = self._stacks.get(old.user, [])
            self._stacks[old.user] = [new if view.id == old.id else view for view in stack]

    def _all(self) -> list[View]:
        return [*self._homes.values(), *(view for stack in self._stacks.values() for view in stack)]

    def _new_hash(self) -> str:
        return f"{int(self._workspace.clock())}.{self._workspace.ids.word(8)}"


def _invalid(*problems: str) -> Refusal:
    return Refusal(
        "invalid_arguments",
        response_metadata={"messages": [f"[ERROR] {problem}" for problem in problems]},
    )
