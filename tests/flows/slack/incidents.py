"""Real incidents of a playbook whose approvers are in Slack, and what their thread says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from flows.identity import Identity
from flows.incident import Incident
from flows.intake.finding import Finding
from flows.intake.parse import parse
from flows.intake.sample import write_sample
from flows.journal.record import Record
from flows.slack.away import NOBODY_AWAY, Away
from flows.slack.message import Block, Message
from flows.slack.thread import messages
from flows.slack.told import Told
from runbooks.playbook import Playbooks
from tests.conftest import ROOT
from tests.flows.people import TEAM
from tests.flows.scene import Scene

SAMPLES = ROOT / "samples" / "findings"
ANA = Identity("slack", "U0ANA", TEAM)
BEN = Identity("slack", "U0BEN", TEAM)
LEA = Identity("slack", "U0LEA", TEAM, usergroups=("S0LEADS",))
RIA = Identity("slack", "U0RIA", TEAM)
EVE = Identity("slack", "U0EVE", TEAM)

APPROVERS: Mapping[str, Any] = {
    "oncall": {
        "slack_team": TEAM,
        "slack_users": [ANA.id, BEN.id, RIA.id],
        "local_users": ["alice"],
        "deputies": {ANA.id: BEN.id},
    },
    "leads": {"slack_team": TEAM, "slack_usergroup": "S0LEADS"},
    "terminal": {"local_users": ["carol"]},
}
BEFORE: Sequence[Any] = ({"parallel": [{"step": "ec2.protect"}, {"step": "ec2.snapshot"}]},)
BEHIND: Sequence[Any] = (
    {"step": "autoscaling.detach", "with": {"replacement": "launch"}},
    {
        "parallel": [
            {"step": "elb.deregister"},
            {"step": "ec2.isolate", "with": {"tracked_connections": "deny_remote_ips"}},
            {"step": "ec2.contain_credentials"},
        ]
    },
    {"step": "ec2.tag", "with": {"tags": {"clampdown:finding": "${finding.id}"}}},
    {"step": "evidence.wait"},
)
TASK = {"manual": {"text": "Open a case with Legal", "by": "oncall"}}
TAG_ONE = {"step": "ec2.tag", "id": "one", "with": {"tags": {"one": "1"}}}
TAG_TWO = {"step": "ec2.tag", "id": "two", "with": {"tags": {"two": "2"}}}
NAME = "contain-it"


def gate(**settings: Any) -> dict[str, Any]:
    return {"approve": {"id": "contain", "by": "oncall", **settings}}


def write(scene: Scene, *steps: Any, **more: Any) -> None:
    """A playbook file with one playbook of these steps."""
    data: dict[str, Any] = {
        "version": 1,
        "accounts": {"123456789012": {"name": "sandbox", "environment": "production"}},
        "approvers": dict(APPROVERS),
        "slack": {"channel": "C0INCIDENT"},
        "playbooks": {
            NAME: {
                "title": "Compromised instance",
                "target": "ec2.instance",
                "steps": list(steps),
            }
        },
        **more,
    }
    scene.file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def finding(scene: Scene, **fields: Any) -> Finding:
    """A finding about the world's victim; ``fields`` are put over its own."""
    world = scene.world
    event = write_sample(
        SAMPLES / "eventbridge-cryptocurrency-ec2-bitcointool.json",
        instance_id=world.victim,
        account=world.account,
        region=world.region,
        private_ip=world.ids["victim_ip"],
        network_interface_id=world.ids["victim_eni"],
    )
    (found,) = parse(json.dumps(event).encode())
    return found.model_copy(update=fields)


def records(scene: Scene, incident: Incident | str) -> list[Record]:
    chain = incident if isinstance(incident, str) else incident.id
    return scene.responders[0].journal.records(chain)


def playbooks(scene: Scene) -> Playbooks:
    return scene.responders[-1].playbooks


def told(scene: Scene, incident: Incident | str, now: datetime | None = None) -> Told:
    return Told(records(scene, incident), playbooks(scene), now or datetime.now(UTC))


def thread(
    scene: Scene,
    incident: Incident | str,
    now: datetime | None = None,
    away: Away = NOBODY_AWAY,
) -> dict[str, Message]:
    """The thread's messages by their keys."""
    found = messages(records(scene, incident), playbooks(scene), now or datetime.now(UTC), away)
    return {message.key: message for message in found}


def shown(message: Message | Block) -> str:
    """What somebody reads, a line for each line; buttons in brackets with what they carry."""
    blocks = message.blocks if isinstance(message, Message) else message["blocks"]
    return "\n".join(line for block in blocks for line in _lines(block))


def buttons(message: Message | Block) -> dict[str, Block]:
    """The buttons of a message or view by their action ids."""
    blocks = message.blocks if isinstance(message, Message) else message["blocks"]
    return {
        element["action_id"]: element
        for block in blocks
        if block["type"] == "actions"
        for element in block["elements"]
    }


def _lines(block: Block) -> list[str]:
    match block["type"]:
        case "header" | "section" if "text" in block:
            return block["text"]["text"].splitlines()
        case "section":
            return [field["text"].replace("\n", ": ") for field in block["fields"]]
        case "context":
            return [element["text"] for element in block["elements"]]
        case "actions":
            return ["".join(f"[{e['text']['text']}]" for e in block["elements"])]
        case "input":
            return [block["label"]["text"]]
        case _:
            return ["---"]
