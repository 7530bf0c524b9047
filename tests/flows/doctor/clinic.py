"""A set-up that is all right, to be broken, and somebody who looks at it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from flows.doctor.check import Check, Result
from flows.doctor.examination import examine
from flows.doctor.setup import Setup
from flows.gameday.worlds import client
from flows.serve.settings import ServeSettings
from flows.settings import Settings
from runbooks.loader import load
from tests.flows.scene import Scene

Group = Callable[[Setup], Sequence[Check]]
STEPS = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
ROLE = "arn:aws:iam::222222222222:role/clampdown"


class Clinic:
    """Examines what a scene is set up as.

    ``accounts`` and ``more`` are parts of playbooks.yaml; ``queues`` and ``dead_letters`` the URLs
    that the service is given.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.accounts = '{"123456789012": {name: sandbox, environment: test, regions: [eu-west-1]}}'
        self.approvers = "{oncall: {local_users: [alice, bob]}}"
        self.more = ""
        self.steps = STEPS
        self.queues: list[str] = []
        self.dead_letters = ""
        self.settings: dict[str, Any] = {}

    def setup(self) -> Setup:
        scene = self.scene
        scene.head = f"version: 1\naccounts: {self.accounts}\napprovers: {self.approvers}\n"
        scene.write(self.steps, more=self.more)
        settings = Settings(
            **{
                "home": scene.home,
                "playbooks": scene.file,
                "simulate": scene.aws.url,
                "region": scene.world.region,
                **self.settings,
            }
        )
        serve = ServeSettings(queues=tuple(self.queues), dead_letters=self.dead_letters)
        return Setup(settings, serve, load(scene.file))

    def examine(self, group: Group) -> dict[str, Result]:
        """What a group's checks find, by their names."""
        examination = examine(group(self.setup()))
        assert not examination.hung, examination
        return {check.name: result for check, result in examination.found}

    def client(self, service: str, region: str = "") -> Any:
        return client(self.scene.aws.url, region or self.scene.world.region, service)


def trust(account: str) -> str:
    """A role's trust in all of an account."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
