"""Findings for shadow to judge, and the routes that lead there."""

from __future__ import annotations

import json
from typing import Any

from flows.identity import SERVICE
from flows.intake.finding import Finding
from flows.intake.parse import parse
from flows.intake.route import Routed
from flows.intake.sample import write_sample
from flows.responder import Responder
from flows.shadow.records import Judgement
from tests.flows.commands import SAMPLES
from tests.flows.scene import Scene

SHADOW = """\
routes:
  - match: {type: "CryptoCurrency:EC2/*"}
    playbook: tag-it
    mode: shadow
"""
ONE = '- {step: ec2.tag, id: one, with: {tags: {one: "1"}}}'
TWO = '- {step: ec2.tag, id: two, with: {tags: {two: "2"}}}'
GATED = f"{ONE}\n- approve: {{id: contain, by: oncall, quorum: 2, within: 10m}}\n{TWO}"
WHOLE = """\
- step: ec2.protect
- step: ec2.snapshot
- approve: {id: contain, by: oncall}
- step: autoscaling.detach
- parallel: [{step: elb.deregister}, {step: ec2.isolate}, {step: ec2.contain_credentials}]
- {step: ec2.tag, with: {tags: {one: "1"}}}
- step: evidence.wait
"""


def finding(scene: Scene, instance: str = "", **changes: Any) -> Finding:
    """A real finding about an instance of the world."""
    world = scene.world
    document = write_sample(
        SAMPLES / "eventbridge-cryptocurrency-ec2-bitcointool.json",
        instance_id=instance or world.victim,
        account=world.account,
        region=world.region,
        private_ip=world.ids["victim_ip"],
        network_interface_id=world.ids["victim_eni"],
    )
    (read,) = parse(json.dumps(document).encode())
    return read.model_copy(update={"sample": False, **changes})


def judged(responder: Responder, about: Finding) -> Judgement:
    """The finding judged as the service does it."""
    decision = responder.route(about)
    assert isinstance(decision, Routed), decision
    assert decision.shadow
    return responder.judge(about, decision, SERVICE)
