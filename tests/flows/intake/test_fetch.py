from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flows.gameday.aws.server import SimulatedAws
from flows.intake.fetch import MOST_AT_ONCE, READS, fetch_finding, fetch_findings
from runbooks.connections import AccountAccess, Connections
from runbooks.errors import InvalidInput, WrongAccount

ACCOUNT, OTHER_ACCOUNT = "123456789012", "210987654321"
TYPE = "Backdoor:EC2/C&CActivity.B"


@pytest.fixture
def connections(simulated_aws: SimulatedAws) -> Iterator[Connections]:
    made = Connections({ACCOUNT: AccountAccess()}, session_name="test", simulate=simulated_aws.url)
    yield made
    made.close()


def found(aws: SimulatedAws, connections: Connections, region: str, **more: Any) -> str:
    """Have GuardDuty find something there; its ARN."""
    resource = {"InstanceDetails": {"InstanceId": "i-0123456789abcdef0"}}
    finding = {"Type": TYPE, "Resource": resource, "Severity": 8, "Region": region, **more}
    identity = aws.find({"AccountId": ACCOUNT, "Title": "t", "Description": "d", **finding})
    [detector] = connections.client("guardduty", ACCOUNT, region).list_detectors()["DetectorIds"]
    return f"arn:aws:guardduty:{region}:{ACCOUNT}:detector/{detector}/finding/{identity}"


def test_a_finding_is_fetched_by_its_arn(
    simulated_aws: SimulatedAws, connections: Connections
) -> None:
    arn = found(simulated_aws, connections, "eu-west-1")
    finding = fetch_finding(arn, connections)
    assert (finding.arn, finding.type, finding.shape) == (arn, TYPE, "guardduty-api")
    assert finding.confirmable
    with pytest.raises(InvalidInput, match="GuardDuty has no finding"):
        fetch_finding(arn[:-32] + "0" * 32, connections)
    with pytest.raises(InvalidInput, match="is not the ARN"):
        fetch_finding("arn:aws:ec2:eu-west-1:123456789012:instance/i-12345678", connections)


def test_many_are_fetched_with_few_calls_in_the_order_they_were_asked_for(
    simulated_aws: SimulatedAws, connections: Connections
) -> None:
    ireland = [
        found(simulated_aws, connections, "eu-west-1", Id=f"{number:032x}")
        for number in range(MOST_AT_ONCE + 1)
    ]
    virginia = found(simulated_aws, connections, "us-east-1", Id="f" * 32)
    absent = virginia[:-32] + "0" * 32
    arns = [virginia, *reversed(ireland), absent, virginia]
    before = len(simulated_aws.calls.of("guardduty", "GetFindings"))

    findings = fetch_findings(arns, connections)

    assert [finding.arn for finding in findings] == [virginia, *reversed(ireland)]
    asked = simulated_aws.calls.of("guardduty", "GetFindings")[before:]
    assert sorted(len(call.parameters["findingIds"]) for call in asked) == [1, 2, MOST_AT_ONCE]
    called = {f"guardduty:{call.operation}" for call in simulated_aws.calls.of("guardduty")}
    assert called <= set(READS)
    assert fetch_findings([], connections) == []


def test_a_detector_that_is_not_there_has_no_findings_and_hides_no_others(
    simulated_aws: SimulatedAws, connections: Connections
) -> None:
    arn = found(simulated_aws, connections, "eu-west-1")
    made_up = f"arn:aws:guardduty:eu-west-1:{ACCOUNT}:detector/{'d' * 32}/finding/{arn[-32:]}"
    assert [finding.arn for finding in fetch_findings([made_up, arn], connections)] == [arn]
    with pytest.raises(InvalidInput, match="GuardDuty has no finding"):
        fetch_finding(made_up, connections)


def test_what_is_in_no_account_of_ours_is_refused(
    simulated_aws: SimulatedAws, connections: Connections
) -> None:
    arn = found(simulated_aws, connections, "eu-west-1").replace(ACCOUNT, OTHER_ACCOUNT)
    with pytest.raises(WrongAccount):
        fetch_findings([arn], connections)
