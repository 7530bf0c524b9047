"""Clients of another account, and of what belongs to a whole account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3

from flows.gameday.worlds import WorldIds, client

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


def account_client(url: str, region: str = "eu-west-1") -> Any:
    """A client of S3 Control. Its requests go to the account's own host, and a simulated AWS has
    none but its own."""
    control = client(url, region, "s3control")

    def to_the_server_itself(request: Any, **_: Any) -> None:
        account, _, rest = request.url.partition("//")[2].partition(".")
        if account.isdigit() and len(account) == 12:
            request.url = f"http://{rest}"

    control.meta.events.register("before-sign.s3-control.*", to_the_server_itself)
    return control
