"""People in the simulated Slack: what they do, what the app answers, and what they see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.gameday.slack import forms, mrkdwn, payloads
from flows.gameday.slack.blocks import problems_of_message
from flows.gameday.slack.delivery import Ack
from flows.gameday.slack.forms import NotPossible
from flows.gameday.slack.records import SLACKBOT, Channel, Message, User
from flows.gameday.slack.views import View

if TYPE_CHECKING:
    from flows.gameday.slack.server import SimulatedSlack


class Person:
    """Somebody in the workspace. Everything they do waits for the app's answer and gives it.

    Different threads may have the same person or several do things at once. What a person can't do
    raises NotPossible. Whoever is of another organisation can do all of it, although Slack doesn't
    offer them commands: an app must not depend on that.
    """

    def __init__(self, slack: SimulatedSlack, user: User) -> None:
        self._slack = slack
        self.user = user

    @property
    def id(self) -> str:
        return self.user.id

    def become(self, **flags: bool) -> None:
        """Change what the person is: ``deleted``, ``is_restricted``, ``is_ultra_restricted``…"""
        with self._slack.workspace.changing():
            for name, value in flags.items():
                if not isinstance(getattr(self.user, name, None), bool):
                    raise AttributeError(f"A user has no flag {name!r}.")
                setattr(self.user, name, value)

    def command(self, text: str, channel: Channel | None = None) -> Ack:
        """Type a slash command (``/clampdown status``); without a channel, to the app itself."""
        command, _, rest = text.partition(" ")
        slack, app = self._slack, self._slack.workspace.app
        configured = app.commands is None or command in app.commands
        if not (configured and app.has_scope("commands")):
            raise NotPossible(f"{command} is not a valid command.")
        channel = self._channel(channel or slack.workspace.direct_message(self.id))
        payload = payloads.slash_command(
            slack.workspace,
            self.user,
            channel,
            command,
            rest.strip(),
            response_url=slack.hooks.new("commands", self.id, channel),
            trigger_id=slack.views.new_trigger(self.id),
        )
        ack = slack.deliver("slash_commands", payload, accepts_response=True)
        if ack.ok and ack.body:
            ack = replace(ack, error=self._answered(channel, ack.body))
        if ack.error and ack.error != "slack_is_down":
            said = f'{command} failed with the error "{ack.error}"'
            slack.workspace.whisper(channel, SLACKBOT, said, to=self.id)
        return ack

    def click(
        self,
        channel: Channel | str,
        ts: str,
        action_id: str,
        value: Any = None,
        *,
        seen: Message | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> Ack:
        """Use an element of a message: click its button, or choose ``value`` in its menu.

        ``seen`` is the message as the person still has it on the screen, where it has changed since.
        ``values`` are what they have entered in its other fields.
        """
        slack = self._slack
        channel = self._channel(channel)
        message = seen or self.message(channel, ts)
        block, element = forms.element_of(message.blocks, action_id)
        payload = payloads.block_actions(
            slack.workspace,
            self.user,
            forms.action(block, element, value, slack.workspace.new_ts()),
            trigger_id=slack.views.new_trigger(self.id),
            message=(channel, message),
            response_url=slack.hooks.new("actions", self.id, channel, message),
            values=values,
        )
        return self._interact(payload)

    def use(
        self,
        view: View,
        action_id: str,
        value: Any = None,
        *,
        values: Mapping[str, Any] | None = None,
    ) -> Ack:
        """Use an element of a modal or of the Home tab."""
        block, element = forms.element_of(view.blocks, action_id)
        given = dict(values or {})
        if element["type"] not in ("button", "overflow"):
            given.setdefault(action_id, value)
        entries = forms.state(view.blocks, given)
        payload = payloads.block_actions(
            self._slack.workspace,
            self.user,
            forms.action(block, element, value, self._slack.workspace.new_ts()),
            trigger_id=self._slack.views.new_trigger(self.id),
            view=self._slack.views.to_json(view, entries),
        )
        return self._interact(payload)

    def submit(self, view: View, values: Mapping[str, Any] | None = None) -> Ack:
        """Fill in a modal and submit it. ``values`` are by action id or block id."""
        if not view.given.get("submit"):
            raise NotPossible(f"{view.title!r} can't be submitted; it can only be closed.")
        entries = forms.state(view.blocks, values or {})
        forms.check(view.blocks, entries)
        slack = self._slack
        payload = payloads.view_submission(
            slack.workspace,
            self.user,
            slack.views.to_json(view, entries),
            trigger_id=slack.views.new_trigger(self.id),
        )
        ack = self._interact(payload, accepts_response=True)
        if not ack.ok:
            return ack
        return replace(ack, error=slack.views.respond(view, ack.body))

    def close(self, view: View, *, all_of_them: bool = False) -> Ack | None:
        """Close a modal; the app is told where it asked for that."""
        slack = self._slack
        slack.views.close(view, all_of_them=all_of_them)
        if not view.given.get("notify_on_close"):
            return None
        payload = payloads.view_closed(
            slack.workspace, self.user, slack.views.to_json(view), cleared=all_of_them
        )
        return self._interact(payload)

    def message_shortcut(self, channel: Channel | str, ts: str, callback_id: str) -> Ack:
        """Choose a shortcut in the menu of a message."""
        self._require_shortcut(callback_id)
        slack = self._slack
        channel = self._channel(channel)
        message = self.message(channel, ts)
        payload = payloads.message_action(
            slack.workspace,
            self.user,
            channel,
            message,
            callback_id,
            response_url=slack.hooks.new("app", self.id, channel),
            trigger_id=slack.views.new_trigger(self.id),
        )
        return self._interact(payload)

    def shortcut(self, callback_id: str) -> Ack:
        """Choose a global shortcut."""
        self._require_shortcut(callback_id)
        slack = self._slack
        trigger_id = slack.views.new_trigger(self.id)
        return self._interact(
            payloads.shortcut(slack.workspace, self.user, callback_id, trigger_id=trigger_id)
        )

    def open_home(self) -> Ack:
        """Open the app's Home tab."""
        slack = self._slack
        if not slack.workspace.app.home_tab:
            raise NotPossible("The app has no Home tab.")
        channel = slack.workspace.direct_message(self.id)
        home = slack.views.home(self.id)
        event = payloads.app_home_opened(
            slack.workspace, self.user, channel, slack.views.to_json(home) if home else None
        )
        return slack.deliver_event(event, channel)

    def say(self, channel: Channel | str, text: str, *, thread_ts: str = "") -> Message:
        """Post a message. The app gets it where it has subscribed to such."""
        section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
        blocks = [{"type": "rich_text", "elements": [section]}]
        workspace = self._slack.workspace
        return workspace.post(
            self._channel(channel),
            self.id,
            text,
            blocks=workspace.with_ids(blocks),
            thread_ts=thread_ts,
        )

    def message(self, channel: Channel | str, ts: str) -> Message:
        """A message that the person sees, also an ephemeral one. Raises NotPossible."""
        channel = self._channel(channel)
        with self._slack.workspace.changed:
            seen = [m for m in channel.ephemerals if m.shown_to == self.id and m.ts == ts]
            found = seen[0] if seen else channel.messages.get(ts)
        if found is None:
            raise NotPossible(f"There is no message {ts} in {channel.name or channel.id}.")
        return found

    def ephemerals(self, channel: Channel | str | None = None) -> list[Message]:
        """What only this person sees, in the order in which it came."""
        wanted = None if channel is None else self._channel(channel).id
        with self._slack.workspace.changed:
            return [
                message
                for one in self._slack.workspace.channels.values()
                if wanted in (None, one.id)
                for message in one.ephemerals
                if message.shown_to == self.id
            ]

    def direct_messages(self) -> list[Message]:
        """What the app and this person have written to each other."""
        with self._slack.workspace.changed:
            return [
                message
                for channel in self._slack.workspace.channels.values()
                if channel.im_with == self.id
                for message in channel.messages.values()
            ]

    def pings(self) -> list[Message]:
        """The messages by which this person was notified, because they mention them."""
        workspace = self._slack.workspace
        with workspace.changed:
            names = {self.id, *(g.id for g in workspace.groups.values() if self.id in g.users)}
            return [
                message
                for channel in workspace.channels.values()
                if self.id in channel.members
                for message in channel.messages.values()
                if mrkdwn.mentioned(message) & (names | mrkdwn.BROADCASTS)
            ]

    @property
    def modal(self) -> View | None:
        """The modal that is open before this person."""
        return self._slack.views.modal(self.id)

    @property
    def home(self) -> View | None:
        """The app's Home tab as it was last published for this person."""
        return self._slack.views.home(self.id)

    def _interact(self, payload: Mapping[str, Any], *, accepts_response: bool = False) -> Ack:
        if not self._slack.workspace.app.interactivity:
            raise NotPossible("The app is not set up for interactivity.")
        return self._slack.deliver("interactive", payload, accepts_response=accepts_response)

    def _answered(self, channel: Channel, body: Any) -> str:
        """Show what the app answered to a command: to the person, unless it says to all.

        Gives what is wrong with the answer.
        """
        answer: Mapping[str, Any] = body if isinstance(body, Mapping) else {"text": str(body)}
        workspace = self._slack.workspace
        blocks = answer.get("blocks") or []
        if problems_of_message(blocks):
            return "invalid_response"
        content: dict[str, Any] = {
            "text": str(answer.get("text", "")),
            "blocks": workspace.with_ids(blocks),
        }
        if answer.get("response_type") == "in_channel":
            workspace.post(channel, workspace.bot_user, **content)
        else:
            workspace.whisper(channel, workspace.bot_user, **content, to=self.id)
        return ""

    def _require_shortcut(self, callback_id: str) -> None:
        app = self._slack.workspace.app
        configured = app.shortcuts is None or callback_id in app.shortcuts
        if not (configured and app.has_scope("commands")):
            raise NotPossible(f"The app has no shortcut {callback_id!r}.")

    def _channel(self, channel: Channel | str) -> Channel:
        """The channel, which the person must be in. Raises NotPossible."""
        found = self._slack.workspace.channels.get(channel) if isinstance(channel, str) else channel
        if found is None or self.id not in found.members:
            raise NotPossible(f"{self.user.name} is not in {channel!r}.")
        return found
