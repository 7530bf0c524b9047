"""Clients of another account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3

from flows.gameday.worlds import WorldIds

Client = Callable[[str], Any]
OTHER_ACCOUNT = "222222222222"


def clients_of(
    world: WorldIds, aws: Client, account: str = OTHER_ACCOUNT, region: str | None = None
) -> Client:
    """Clients, by the name of the service, with a role of that account, in the world's Region."""
    credentials = aws("sts").assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/security", RoleSessionName="central"
    )["Credentials"]
    session = boto3.Session(
        credentials["AccessKeyId"],
        credentials["SecretAccessKey"],
        credentials["SessionToken"],
        region_name=region or world.region,
    )
    return lambda service: session.client(service, endpoint_url=world.url)
