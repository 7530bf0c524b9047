from __future__ import annotations

from typing import Any

import pytest

from tests.flows.gameday.aws.answers import refused


def test_a_service_that_moto_lacks_is_said_to_be_lacking(
    aws: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with refused("NotSimulated", "rbin:ListRules: moto has no such service"):
        aws("rbin").list_rules(ResourceType="EBS_SNAPSHOT")

    # It is no failure of the simulation's own.
    assert "backend" not in capfd.readouterr().out
    assert caplog.records == []


def test_every_service_is_found_by_its_name(aws: Any) -> None:
    assert aws("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert aws("secretsmanager").list_secrets()["SecretList"] == []
