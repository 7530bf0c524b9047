"""``make demo-slack``: one incident as on-call would see it in Slack, without a Slack workspace.

The app is the real one, a process of its own, as ``clampdown slack`` starts it. It talks to a
simulated Slack over HTTP and a WebSocket, and acts on a simulated AWS. Nothing is reached but this
machine.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.sandbox import DRAIN_SECONDS, HEALTH_SECONDS, SNAPSHOT_SECONDS, STACK_SECONDS
from flows.gameday.slack.app import App
from flows.gameday.slack.forms import NotPossible
from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel, Message
from flows.gameday.slack.server import SimulatedSlack
from flows.gameday.slack.terminal import channel_title, message_text, view_text
from flows.gameday.slack.views import View
from flows.gameday.worlds import WorldIds, build, load_world
from flows.slack import actions

_MANIFEST = Path("deployments/slack-manifest.yaml")
_ENDED_WITHIN = 30.0
_TOLD_WITHIN = 40.0
# Whatever is edited is shown once it has not changed for so long.
_SETTLED_AFTER = 1.5
_MOST_LINES = 60


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns 0, or 1 where the app did not do its part."""
    parser = argparse.ArgumentParser(prog="make demo-slack", description=__doc__)
    parser.add_argument("--page", type=Path, default=Path("build/slack.html"), metavar="FILE")
    page: Path = parser.parse_args(arguments).page
    started = time.monotonic()
    try:
        with _stage() as demo:
            demo.play()
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(demo.slack.page(title="Clampdown in Slack"), encoding="utf-8")
    except (TimeoutError, NotPossible, OSError) as failure:
        print(f"\nThe demo stopped: {failure}", file=sys.stderr)
        return 1
    print(f"\nThe workspace as a page: {page}")
    print(f"That took {time.monotonic() - started:.0f} s.")
    return 0


@contextmanager
def _stage() -> Iterator[_Demo]:
    """A simulated AWS, a simulated Slack with people in it, and the app that serves them."""
    manifest = yaml.safe_load(_MANIFEST.read_text(encoding="utf-8"))
    with (
        tempfile.TemporaryDirectory(prefix="clampdown-demo-") as directory,
        SimulatedAws(
            snapshot_seconds=SNAPSHOT_SECONDS,
            drain_seconds=DRAIN_SECONDS,
            stack_seconds=STACK_SECONDS,
            health_seconds=HEALTH_SECONDS,
        ) as aws,
        SimulatedSlack(App.from_manifest(manifest)) as slack,
    ):
        demo = _Demo(slack, build(load_world("small"), aws.url))
        with demo.app(Path(directory)):
            yield demo


class _Demo:
    """Rita is on call and asks for things; Alice is on call, Carol leads, and a bot sends alerts."""

    def __init__(self, slack: SimulatedSlack, world: WorldIds) -> None:
        self.slack = slack
        self.world = world
        self.rita = slack.person("rita", real_name="Rita Moreau")
        self.alice = slack.person("alice", real_name="Alice Okafor")
        self.carol = slack.person("carol", real_name="Carol Weiss")
        self.bot = slack.person("guardduty", real_name="GuardDuty alerts", is_bot=True)
        people = (self.rita, self.alice, self.carol)
        self.alerts = slack.channel("alerts", *people, self.bot)
        self.room = slack.channel("incidents", *people)
        self.shown: dict[str, tuple[Message, list[str]]] = {}

    def play(self) -> None:
        incident = self.trigger()
        self.approve()
        self.follow()
        self.take_back(incident)
        self.leave_one_waiting()

    def trigger(self) -> str:
        victim = self.world.victim
        self.say("1. An alert comes in. Rita, who is on call, picks the instance out of it.")
        alert = self.bot.say(
            self.alerts, f"Backdoor:EC2/C&CActivity.B, severity 8: {victim} talks to a C&C server."
        )
        self.settle()
        self.did(self.rita, "chooses the shortcut “Contain this” in the message's menu")
        self.rita.message_shortcut(self.alerts, alert.ts, "contain_from_message")
        form = self.modal(self.rita)
        self.did(self.rita, "says why, and submits")
        self.rita.submit(form, {"reason": "the alert; the owner doesn't know of that connection"})
        self.say("2. The thread begins: the plan, and what was safe to do at once. The rest waits.")
        self.post(actions.APPROVE)
        self.settle()
        told = self.rita.ephemerals()[-1].text
        return next(word.strip("`:") for word in told.split() if "inc-" in word)

    def approve(self) -> None:
        self.say("3. Nobody approves what they have asked for themselves.")
        gate = self.post(actions.APPROVE)
        self.did(self.rita, "clicks Approve")
        before = len(self.rita.ephemerals())
        self.rita.click(self.room, gate.ts, actions.APPROVE)
        self.wait(lambda: len(self.rita.ephemerals()) > before)
        self.settle()
        self.say("4. Alice finds it in her App Home, and decides.")
        self.did(self.alice, "opens the app's Home tab")
        self.alice.open_home()
        home: View = self.wait(lambda: self.alice.home)
        self.show(view_text(self.slack.workspace, home))
        self.did(self.alice, "looks at every call, and clicks Approve in the thread")
        self.alice.click(self.room, gate.ts, actions.SHOW_CALLS)
        calls = self.modal(self.alice)
        self.alice.close(calls)
        self.alice.click(self.room, gate.ts, actions.APPROVE)
        self.wait(lambda: actions.APPROVE not in self.now(gate))

    def follow(self) -> None:
        self.say(
            "5. Contained and verified; the evidence is locked, and a clean room stands ready."
        )
        task = self.post(actions.TASK_DONE)
        self.settle()
        self.did(self.alice, "has asked Legal, and clicks Done")
        self.alice.click(self.room, task.ts, actions.TASK_DONE)
        self.wait(lambda: actions.TASK_DONE not in self.now(task))
        self.wait(lambda: any(post.files for post in self.posts()))
        self.settle()

    def take_back(self, incident: str) -> None:
        self.say("6. It was a false alarm: take everything back. Evidence stays.")
        self.did(self.rita, f"types /clampdown undo {incident}")
        self.rita.command(f"/clampdown undo {incident}", self.room)
        form = self.modal(self.rita)
        self.did(self.rita, "means it")
        self.rita.submit(form)
        self.wait(lambda: any("taken back" in told.text for told in self.rita.direct_messages()))
        self.settle()

    def leave_one_waiting(self) -> None:
        self.say("7. Another one, left open: so the page shows a gate that waits, and a modal.")
        other = self.world.ids["member_1"]
        self.did(self.carol, f"types /clampdown contain {other} because …")
        asked = f"/clampdown contain {other} because it answers the same C&C server"
        known = {post.ts for post in self.posts()}
        self.carol.command(asked, self.room)
        gate = self.post(actions.APPROVE, but=known)
        self.alice.open_home()
        self.alice.click(self.room, gate.ts, actions.DENY)
        self.modal(self.alice)
        self.settle()

    # The app

    @contextmanager
    def app(self, home: Path) -> Iterator[None]:
        """``clampdown slack`` in a process of its own, connected to this Slack."""
        installation = self.slack.installation
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CLAMPDOWN_"))},
            "AWS_REGION": self.world.region,
            "CLAMPDOWN_HOME": str(home / "state"),
            "CLAMPDOWN_PLAYBOOKS": str(self.playbooks(home)),
            "CLAMPDOWN_SIMULATE": self.world.url,
            "CLAMPDOWN_SLACK_API_URL": self.slack.api_url,
            "CLAMPDOWN_SLACK_APP_TOKEN": installation.app_token,
            "CLAMPDOWN_SLACK_BOT_TOKEN": installation.bot_token,
            "PYTHONUNBUFFERED": "1",
        }
        print("$ clampdown slack &", flush=True)
        command = [sys.executable, "-m", "flows.cli", "slack", "--without-prefect"]
        log = home / "app.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            self.wait(lambda: self.slack.connections or process.poll() is not None)
            yield
        except (TimeoutError, NotPossible):
            print(log.read_text(encoding="utf-8"), file=sys.stderr)
            raise
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=_ENDED_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def playbooks(self, home: Path) -> Path:
        """The shipped playbooks, with these people as approvers and this channel."""
        data = yaml.safe_load(Path("playbooks.yaml").read_text(encoding="utf-8"))
        members = {"security-oncall": (self.rita, self.alice), "security-leads": (self.carol,)}
        for name, people in members.items():
            data["approvers"][name]["slack_team"] = self.slack.workspace.team.id
            data["approvers"][name]["slack_users"] = [person.id for person in people]
        data["slack"] = {"channel": self.room.id, "owner_tags": ["team"]}
        file = home / "playbooks.yaml"
        file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        return file

    # Looking

    def posts(self) -> list[Message]:
        return self.slack.messages(self.room)

    def post(self, action: str, but: set[str] | None = None) -> Message:
        """The newest message with such a button, as soon as there is one."""

        def find() -> Message | None:
            found = [
                post
                for post in self.posts()
                if f"'{action}'" in str(post.blocks) and post.ts not in (but or ())
            ]
            return found[-1] if found else None

        found: Message = self.wait(find)
        return found

    def now(self, post: Message) -> str:
        """What a message is made of as it is now."""
        return str(next(one.blocks for one in self.posts() if one.ts == post.ts))

    def modal(self, person: Person) -> View:
        """The modal before somebody, which is shown, as soon as there is one."""
        view: View = self.wait(lambda: person.modal)
        self.show(view_text(self.slack.workspace, view))
        return view

    def wait(self, check: Callable[[], Any], within: float = _TOLD_WITHIN) -> Any:
        return self.slack.until(check, within)

    # Showing

    def settle(self) -> None:
        """Show what is new or has changed, once that is at rest."""
        seen, since = self.everything(), time.monotonic()
        while time.monotonic() - since < _SETTLED_AFTER:
            time.sleep(0.1)
            if (now := self.everything()) != seen:
                seen, since = now, time.monotonic()
        for channel, message in seen:
            before, lines = self.shown.get(message.ts, (None, []))
            if before == message:
                continue
            text = message_text(self.slack.workspace, channel, message).splitlines()
            self.shown[message.ts] = message, text
            head = f"{channel_title(self.slack.workspace, channel)}, {text[0]}"
            body = [line for line in text[1:] if line not in lines]
            if not body:
                continue
            left_out = ["  …"] if len(body) < len(text) - 1 else []
            thread = "    " if message.is_reply else ""
            self.show("\n".join(thread + line for line in (head, *body, *left_out)))

    def everything(self) -> list[tuple[Channel, Message]]:
        with self.slack.workspace.changed:
            return sorted(
                (
                    (channel, message)
                    for channel in self.slack.workspace.channels.values()
                    for message in (*channel.messages.values(), *channel.ephemerals)
                ),
                key=lambda item: item[1].ts,
            )

    def say(self, text: str) -> None:
        bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
        print(f"\n{bold}{text}{plain}", flush=True)

    def did(self, person: Person, what: str) -> None:
        print(f"\n» {person.user.real_name} {what}.", flush=True)

    def show(self, text: str) -> None:
        lines = text.splitlines()
        if len(lines) > _MOST_LINES:
            lines[_MOST_LINES:] = [f"  … and {len(lines) - _MOST_LINES} more lines"]
        print("\n" + "\n".join(f"  {line}".rstrip() for line in lines), flush=True)


if __name__ == "__main__":
    sys.exit(main())
