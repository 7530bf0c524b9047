"""Connections: a simulation never leaves this machine, and a live run is never led elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from runbooks.connections import (
    SESSION_LENGTH,
    AccountAccess,
    Connections,
    refuse_redirection,
    require_loopback,
)
from runbooks.errors import (
    AwsUnreachable,
    InvalidInput,
    NoCredentials,
    Redirected,
    WrongAccount,
)
from tests.runbooks.driver import ACCOUNT, REGION

OTHER = "111122223333"
ROLE = f"arn:aws:iam::{OTHER}:role/clampdown"
INCIDENT = "inc-20260101-abcdef"


def live(**accounts: AccountAccess) -> Connections:
    return Connections({ACCOUNT: AccountAccess(), **accounts}, session_name=INCIDENT)


@pytest.fixture
def simulated(simulated_aws: SimulatedAws) -> Iterator[Connections]:
    made = Connections(
        {ACCOUNT: AccountAccess(), OTHER: AccountAccess(ROLE, "an-external-id")},
        session_name=INCIDENT,
        simulate=simulated_aws.url,
    )
    yield made
    made.close()


# Where a simulation may go


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4566",
        "http://127.0.0.1",
        "http://127.12.0.9:80",
        "http://localhost:4566",
        "http://LOCALHOST:4566",
        "http://[::1]:4566",
        "http://127.0.0.1:4566/",
    ],
)
def test_a_loopback_address_is_a_simulated_aws(url: str) -> None:
    assert require_loopback(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:4566",
        "https://127.0.0.1:4566",
        "ftp://127.0.0.1",
        "http://127.0.0.1.evil.com",
        "http://127.0.0.1@evil.com",
        "http://evil.com@127.0.0.1",
        "http://:secret@127.0.0.1",
        "http://@127.0.0.1",
        "http://evil.com#127.0.0.1",
        "http://evil.com\\@127.0.0.1",
        "http://127.0.0.1\\@evil.com",
        "http://127.0.0.1\n.evil.com",
        "http://localhost.evil.com",
        "http://localhost.",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://0177.0.0.1",
        "http://127.1",
        "http://0.0.0.0:80",
        "http://[::]:80",
        "http://[::1",
        "http://169.254.169.254",
        "http://10.0.0.1",
        "http://ec2.eu-west-1.amazonaws.com",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://127.0.0.1/elsewhere",
        "http://127.0.0.1?elsewhere",
        "http://127。0。0。1。evil.com",
        "http://℀.example",
    ],
)
def test_anything_else_is_refused_before_a_packet_leaves(url: str) -> None:
    with pytest.raises(Redirected, match="not a simulated AWS") as caught:
        Connections({}, session_name=INCIDENT, simulate=url or "-")

    assert "127.0.0.1" in caught.value.advice
    assert caught.value.exit_code == 3


@given(st.text(max_size=40))
def test_no_text_is_taken_for_loopback_that_is_not(text: str) -> None:
    try:
        accepted = require_loopback(f"http://{text}")
    except Redirected:
        return
    host = accepted.removeprefix("http://").casefold()
    assert host.startswith(("127.", "localhost", "[::1", "[0", "[::0"))


# Where a live run may go


@pytest.mark.parametrize(
    "name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_S3"]
)
def test_a_redirected_environment_is_refused_and_the_variable_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://user:canary@evil.example")

    with pytest.raises(Redirected, match=f"{name} is set") as caught:
        live()

    assert "canary" not in str(caught.value)


def test_an_empty_variable_redirects_nothing() -> None:
    refuse_redirection({"AWS_ENDPOINT_URL": "", "AWS_REGION": "eu-west-1"})


def test_a_simulation_may_have_the_variable(
    simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://evil.example")
    made = Connections(
        {ACCOUNT: AccountAccess()}, session_name=INCIDENT, simulate=simulated_aws.url
    )

    assert made.client("ec2", ACCOUNT, REGION).meta.endpoint_url == simulated_aws.url
    made.close()


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's profile that leads every call elsewhere."""
    (tmp_path / "config").write_text(
        "[default]\nendpoint_url = http://evil.example\nservices = led\n"
        "[profile led]\nendpoint_url = http://evil.example\nregion = us-east-1\n"
        "[services led]\nec2 =\n  endpoint_url = http://evil.example\n"
        "sts =\n  endpoint_url = http://evil.example\n"
    )
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = canary\n"
        "[led]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = canary\n"
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "led")


@pytest.mark.usefixtures("profile")
@pytest.mark.parametrize(
    ("service", "endpoint"),
    [
        ("ec2", "https://ec2.eu-west-1.amazonaws.com"),
        ("sts", "https://sts.eu-west-1.amazonaws.com"),
        ("iam", "https://iam.amazonaws.com"),
    ],
)
def test_a_profile_cannot_lead_a_live_run_elsewhere(service: str, endpoint: str) -> None:
    assert live().client(service, ACCOUNT, REGION).meta.endpoint_url == endpoint


@pytest.mark.usefixtures("profile")
def test_nor_the_clients_that_the_sdk_makes_itself() -> None:
    session = live()._botocore()

    made = session.create_client("sts", region_name=REGION)

    assert made.meta.endpoint_url == "https://sts.eu-west-1.amazonaws.com"


@pytest.mark.usefixtures("profile")
def test_a_simulation_never_uses_the_users_profile(
    simulated: Connections, simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")

    made = simulated.client("ec2", ACCOUNT, REGION)
    made.describe_instances()

    assert made.meta.endpoint_url == simulated_aws.url
    assert made._request_signer._credentials.access_key == "AKIASIMULATED0000000"


@pytest.mark.usefixtures("profile")
def test_a_simulation_does_not_mind_a_profile_that_does_not_exist(
    simulated: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")

    assert simulated.identity(ACCOUNT, REGION) == ACCOUNT


# Credentials and roles


def test_without_credentials_a_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))

    with pytest.raises(NoCredentials, match="no AWS credentials") as caught:
        live().client("ec2", ACCOUNT, REGION)

    assert "aws sso login" in caught.value.advice


@pytest.mark.usefixtures("profile")
def test_a_profile_that_does_not_exist_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")

    with pytest.raises(NoCredentials, match="gone"):
        live().client("ec2", ACCOUNT, REGION)


@pytest.mark.parametrize("region", ["eu west 1", "-", "eu-west-1.evil.com/"])
def test_a_region_that_cannot_be_one_is_no_traceback(region: str) -> None:
    with pytest.raises(InvalidInput, match="--region"):
        live().client("ec2", ACCOUNT, region)


def test_an_account_that_is_not_listed_is_refused(simulated: Connections) -> None:
    with pytest.raises(WrongAccount, match="999999999999"):
        simulated.client("ec2", "999999999999", REGION)


def test_a_role_is_assumed_with_its_external_id_and_under_the_incidents_name(
    simulated: Connections, simulated_aws: SimulatedAws
) -> None:
    assert simulated.identity(OTHER, REGION) == OTHER

    (assumed,) = simulated_aws.calls.of("sts", "AssumeRole")
    assert assumed.parameters == {
        "RoleArn": ROLE,
        "RoleSessionName": INCIDENT,
        "SourceIdentity": INCIDENT,
        "ExternalId": "an-external-id",
        "DurationSeconds": 900,
    }
    assert timedelta(seconds=900) == SESSION_LENGTH


def test_a_role_is_assumed_once_for_all_services_and_regions(
    simulated: Connections, simulated_aws: SimulatedAws
) -> None:
    for service, region in (("ec2", REGION), ("iam", REGION), ("ec2", "us-east-1")):
        made = simulated.client(service, OTHER, region)
        assert made is simulated.client(service, OTHER, region)

    assert len(simulated_aws.calls.of("sts", "AssumeRole")) == 1


@pytest.mark.parametrize(("minutes", "entered"), [(13, 2), (12, 1)])
def test_a_session_is_entered_anew_before_it_runs_out(
    minutes: int,
    entered: int,
    simulated: Connections,
    simulated_aws: SimulatedAws,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulated.client("ec2", OTHER, REGION)
    later = datetime.now(UTC) + timedelta(minutes=minutes, seconds=15)
    monkeypatch.setattr("runbooks.clock.now", lambda: later)
    simulated.client("ec2", OTHER, REGION)

    assert len(simulated_aws.calls.of("sts", "AssumeRole")) == entered


def test_a_session_that_is_forgotten_has_to_say_again_whose_it_is(
    simulated: Connections, simulated_aws: SimulatedAws
) -> None:
    simulated.identity(OTHER, REGION)
    simulated.identity(OTHER, REGION)
    assert len(simulated_aws.calls.of("sts", "GetCallerIdentity")) == 1

    simulated.forget(OTHER)
    simulated.identity(OTHER, REGION)

    assert len(simulated_aws.calls.of("sts", "AssumeRole")) == 2
    assert len(simulated_aws.calls.of("sts", "GetCallerIdentity")) == 2


def test_a_role_that_cannot_be_assumed_is_named_with_what_to_check(
    simulated: Connections, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.fault(
        Fault(service="sts", operation="AssumeRole", code="AccessDenied", status=403)
    )

    with pytest.raises(NoCredentials, match=ROLE) as caught:
        simulated.client("ec2", OTHER, REGION)

    assert "sts:ExternalId" in caught.value.advice


@pytest.mark.parametrize("fault", [{"code": "Throttling"}, {"status": 500}, {"effect": "drop"}])
def test_trouble_at_aws_is_not_taken_for_bad_credentials(
    fault: Mapping[str, Any], simulated: Connections, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.fault(Fault(service="sts", operation="AssumeRole", **fault))

    with pytest.raises(AwsUnreachable):
        simulated.client("ec2", OTHER, REGION)


def test_the_callers_own_account_is_known(simulated: Connections) -> None:
    assert simulated.caller_account(REGION) == ACCOUNT


def test_credentials_do_not_show_when_they_are_printed(simulated: Connections) -> None:
    simulated.client("ec2", OTHER, REGION)
    held = simulated._credentials[OTHER]

    assert held.expires is not None
    assert held.expires > datetime.now(UTC)
    assert held.secret_key not in repr(held)
    assert held.token is not None
    assert held.token not in repr(held)
