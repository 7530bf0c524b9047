"""The workspace as a page and as plain text: everything is there, legible and escaped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from slack_sdk import WebClient

from flows.gameday.slack import terminal
from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from tests.flows.gameday.slack.apps import (
    SILENCE,
    SocketApp,
    actions,
    button,
    modal,
    section,
    text_input,
)

EVIL = "<script>alert('x')</script>&\"'`*"
AT = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


class Reader(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    EMPTY = frozenset({"meta", "br", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


@pytest.fixture
def app(slack: SimulatedSlack) -> Iterator[SocketApp]:
    with SocketApp(slack) as connected:
        yield connected


@pytest.fixture
def conversation(
    slack: SimulatedSlack,
    app: SocketApp,
    web: WebClient,
    maria: Person,
    tom: Person,
    channel: Channel,
) -> str:
    """A gate in a thread, an ephemeral refusal, a modal, a Home tab, a file; the root's ts."""
    group = slack.group("ir-oncall", maria)
    tom.say(channel, "GuardDuty: i-0abc talks to a C2 server")
    root: str = web.chat_postMessage(
        channel=channel.id,
        text="Incident",
        blocks=[
            {"type": "header", "text": {"type": "plain_text", "text": ":rotating_light: i-0abc"}},
            section(
                f"*SIMULATED* asked by <@{tom.id}>, `ec2-compromise`, due "
                f"<!date^{int(AT.timestamp())}^{{date_short_pretty}} {{time}}|noon>"
            ),
            {
                "type": "section",
                "fields": [
                    {"type": "mrkdwn", "text": text} for text in ("*Severity*\n8", "*Team*")
                ],
            },
            {"type": "divider"},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "3 steps"}]},
        ],
    )["ts"]
    gate = web.chat_postMessage(
        channel=channel.id,
        thread_ts=root,
        text="Gate",
        blocks=[
            section(f"<!subteam^{group.id}> Contain?"),
            actions(button("approve", style="primary"), button("deny", "Deny", style="danger")),
        ],
    )["ts"]
    web.reactions_add(channel=channel.id, timestamp=gate, name="eyes")
    web.chat_postEphemeral(
        channel=channel.id, user=tom.id, thread_ts=root, text="You asked for it yourself."
    )
    maria.command("/clampdown")
    trigger = app.told[-1]["payload"]["trigger_id"]
    why = text_input("why", "Why?", multiline=True)
    options = [{"text": {"type": "plain_text", "text": "Yes"}, "value": "yes"}]
    simulate = {
        "type": "input",
        "optional": True,
        "label": {"type": "plain_text", "text": "Simulate"},
        "hint": {"type": "plain_text", "text": "Nothing is changed."},
        "element": {
            "type": "radio_buttons",
            "action_id": "simulate",
            "options": options,
            "initial_option": options[0],
        },
    }
    web.views_open(trigger_id=trigger, view=modal(why, simulate, submit="Deny"))
    app.answer = lambda envelope: {"response_action": "errors", "errors": {"why": "Say more."}}
    assert maria.modal is not None
    maria.submit(maria.modal, {"why": "no"})
    web.views_publish(
        user_id=maria.id, view={"type": "home", "blocks": [section("1 gate waits for you.")]}
    )
    web.files_upload_v2(channel=channel.id, content="# Report", filename="inc-1.md")
    return root


def test_the_page_shows_it_all(slack: SimulatedSlack, conversation: str) -> None:
    page = slack.page(title="Game day", now=AT)
    reader = Reader(page)
    for text in (
        "Game day",
        "#incidents",
        "Tom Ode",
        "🚨 i-0abc",
        "due today 12:00",
        "@ir-oncall",
        "Approve",
        "Only visible to Tom Ode",
        "You asked for it yourself.",
        "Say more.",
        "Nothing is changed.",
        "1 gate waits for you.",
        "inc-1.md",
        "👀 1",
    ):
        assert text in reader.text, text
    classes = [attributes.get("class") for _, attributes in reader.seen]
    assert "button primary" in classes
    assert "button danger" in classes
    assert "thread" in classes
    assert "mention" in classes


def test_the_page_needs_nothing_else(slack: SimulatedSlack, conversation: str) -> None:
    page = slack.page()
    reader = Reader(page)
    tags = {tag for tag, _ in reader.seen}
    assert not tags & {"script", "link", "img", "iframe", "object", "form", "input"}
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page
    assert not [name for _, attributes in reader.seen for name in attributes if name[:2] == "on"]


def test_the_text_shows_it_all(slack: SimulatedSlack, conversation: str) -> None:
    text = slack.text(now=AT, width=72)
    for part in (
        "── #incidents ─",
        "Clampdown (app)",
        "▌ 🚨 i-0abc",
        "SIMULATED asked by @tom, ec2-compromise, due today 12:00",
        "Severity: 8",
        "  │   @ir-oncall Contain?",
        "  │   [ Approve ]  [ Deny ]",
        "only Tom Ode sees this",
        "📎 inc-1.md (8 bytes)",
        "── Contain · Maria Keller ─",
        "⚠ Say more.",
        "Simulate (optional)",
        "(•) Yes",
        "[ Cancel ]  [ Deny ]",
        "1 gate waits for you.",
    ):
        assert part in text, part
    assert max(len(line) for line in text.splitlines()) <= 72


def test_what_comes_from_elsewhere_is_escaped(
    slack: SimulatedSlack, app: SocketApp, web: WebClient, channel: Channel
) -> None:
    mallory = slack.person("mallory", real_name=EVIL)
    channel.members.add(mallory.id)
    channel.topic = EVIL
    mallory.say(channel, EVIL)
    evil_text = {"type": "plain_text", "text": EVIL}
    options = [{"text": evil_text, "value": "x"}]
    menu = {"type": "static_select", "action_id": "menu", "placeholder": evil_text}
    web.chat_postMessage(
        channel=channel.id,
        text="x",
        blocks=[
            section(EVIL),
            section(f"<javascript:alert(1)|{EVIL.replace('<', '').replace('>', '')}>"),
            section("<https://example.com/\"onmouseover='x'|link>"),
            {"type": "header", "text": evil_text},
            {"type": "section", "fields": [evil_text]},
            {"type": "image", "image_url": "https://example.com/x.png", "alt_text": EVIL},
            actions(button("x", EVIL), {**menu, "options": options}),
        ],
    )
    mallory.command("/clampdown", channel)
    view = modal(
        text_input("b", EVIL, initial_value=EVIL), title={"type": "plain_text", "text": EVIL[:24]}
    )
    web.views_open(trigger_id=app.told[-1]["payload"]["trigger_id"], view=view)
    web.files_upload_v2(channel=channel.id, content="x", filename="x.md", title=EVIL)
    reader = Reader(slack.page(title=EVIL))
    assert "script" not in {tag for tag, _ in reader.seen}
    assert reader.text.count("alert('x')") >= 10
    links = [attributes for tag, attributes in reader.seen if tag == "a"]
    assert [link["href"] for link in links] == ["https://example.com/\"onmouseover='x'"]
    assert all(set(link) == {"href", "rel"} for link in links)
    assert "alert('x')" in slack.text()


def test_a_message_can_be_shown_by_itself(
    slack: SimulatedSlack, web: WebClient, channel: Channel
) -> None:
    text = "```\naws ec2 modify-instance\n```\n> as asked\n<https://example.com|the runbook>"
    ts = web.chat_postMessage(channel=channel.id, text=text)["ts"]
    web.chat_update(channel=channel.id, ts=ts, text=text + " " + "word " * 30)
    [message] = slack.messages(channel)
    shown = terminal.message_text(slack.workspace, channel, message, width=60).splitlines()
    assert shown[0].endswith("Clampdown (app) (edited)")
    assert shown[1:3] == ["    aws ec2 modify-instance", "  │ as asked"]
    assert shown[3].startswith("  the runbook (https://example.com) word")
    assert len(shown) > 5


def test_what_slack_says_itself_is_shown_too(
    slack: SimulatedSlack, web: WebClient, maria: Person, channel: Channel
) -> None:
    root = web.chat_postMessage(channel=channel.id, text="x")["ts"]
    web.chat_postMessage(channel=channel.id, text="reply", thread_ts=root)
    web.chat_delete(channel=channel.id, ts=root)
    with SimulatedSlack(ack_seconds=0.1) as hurried:
        with SocketApp(hurried, lambda envelope: SILENCE):
            hurried.person("tom").command("/clampdown")
        assert 'failed with the error "operation_timeout"' in hurried.page().replace("&quot;", '"')
        assert "Slackbot" in hurried.text()
    assert "This message was deleted." in slack.text()
    slack.archive(channel)
    assert "#incidents (archived)" in slack.text()


def test_every_kind_of_block_is_shown(
    slack: SimulatedSlack, web: WebClient, maria: Person, channel: Channel
) -> None:
    bold = {"type": "text", "text": "bold\nnext", "style": {"bold": True}}
    parts = [
        bold,
        {"type": "user", "user_id": maria.id},
        {"type": "channel", "channel_id": channel.id},
        {"type": "usergroup", "usergroup_id": "S9"},
        {"type": "broadcast", "range": "here"},
        {"type": "emoji", "name": "eyes"},
        {"type": "link", "url": "https://example.com"},
    ]
    listed = {"type": "rich_text_section", "elements": [{"type": "text", "text": "item"}]}
    blocks: list[dict[str, Any]] = [
        {
            "type": "rich_text",
            "elements": [
                {"type": "rich_text_section", "elements": parts},
                {"type": "rich_text_list", "style": "bullet", "elements": [listed]},
                {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "code"}]},
                {"type": "rich_text_quote", "elements": [{"type": "text", "text": "said"}]},
            ],
        },
        {"type": "markdown", "text": "*marked*"},
        {"type": "table", "rows": [[{"type": "raw_text", "text": "cell"}]]},
        section("with a picture", accessory={"type": "image", "image_url": "x", "alt_text": "pic"}),
        section("with a button", accessory=button("go", "Go")),
        {
            "type": "context",
            "elements": [
                {"type": "image", "image_url": "x", "alt_text": "icon"},
                {"type": "plain_text", "text": "beside"},
            ],
        },
    ]
    attachment = {"text": "attached", "pretext": "before", "fallback": "x"}
    web.chat_postMessage(channel=channel.id, text="x", blocks=blocks, attachments=[attachment])
    text, page = slack.text(), Reader(slack.page()).text
    for part in (
        "@maria",
        "#incidents",
        "@S9",
        "@here",
        "👀",
        "• item",
        "code",
        "said",
        "marked",
        "(table)",
        "pic",
        "Go",
        "[icon]  beside",
        "attached",
        "before",
    ):
        assert part in text, part
        assert part in page, part
