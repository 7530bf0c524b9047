"""Faults and limits: whom they hit, when, with which of AWS's codes, and the same every time."""

from __future__ import annotations

import json
import statistics
from typing import Any
from urllib.request import Request, urlopen

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError
from botocore.retries.standard import ThrottledRetryableChecker
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.gameday.aws.faults import Fault, Faults, Limit, Limits
from flows.gameday.aws.server import ACCOUNT, SimulatedAws
from flows.gameday.worlds import WorldIds, client
from tests.flows.gameday.aws.accounts import account_client
from tests.runbooks.driver import REGION

_SERVICES = (
    "autoscaling",
    "cloudformation",
    "detective",
    "ebs",
    "ec2",
    "elb",
    "elbv2",
    "events",
    "guardduty",
    "iam",
    "kms",
    "lambda",
    "organizations",
    "rds",
    "route53resolver",
    "s3",
    "securityhub",
    "sns",
    "sqs",
    "ssm",
    "sts",
)


def refused(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as error:
        call(**parameters)
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


# Who is hit


@pytest.mark.parametrize(
    ("fault", "hit"),
    [
        (Fault(), [1, 2, 3, 4, 5]),
        (Fault(nth=3), [3, 4, 5]),
        (Fault(nth=2, times=2), [2, 3]),
        (Fault(times=1), [1]),
        (Fault(probability=0.0), []),
    ],
)
def test_a_fault_hits_the_calls_from_its_first_on(fault: Fault, hit: list[int]) -> None:
    assert [number for number in range(1, 6) if fault.hits(number)] == hit


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({"service": "ec2"}, True),
        ({"service": "elb*"}, False),
        ({"operation": "Create*"}, True),
        ({"operation": "create*"}, False),
        ({"containing": "vol-1"}, True),
        ({"containing": "vol-2"}, False),
    ],
)
def test_a_fault_is_for_calls_of_its_service_operation_and_parameters(
    rule: dict[str, str], matches: bool
) -> None:
    assert Fault(**rule).matches("ec2", "CreateSnapshot", {"VolumeId": "vol-1"}) is matches  # type: ignore[arg-type]


def test_the_first_fault_that_hits_is_met_and_the_others_have_seen_the_call() -> None:
    faults = Faults()
    faults.add(Fault(code="First", times=1))
    faults.add(Fault(code="Second", nth=2))

    met = [faults.meet("ec2", "DescribeVpcs", {}) for _ in range(2)]

    assert [item.fault.code for item in met if item] == ["First", "Second"]


@given(st.integers(0, 2**31), st.floats(0.05, 0.95))
def test_chance_is_the_same_for_a_seed(seed: int, probability: float) -> None:
    one, other = (Fault(probability=probability, seed=seed) for _ in range(2))
    numbers = range(1, 50)

    assert [one.hits(n) for n in numbers] == [other.hits(n) for n in numbers]


def test_chance_hits_about_as_often_as_its_probability_and_differs_between_seeds() -> None:
    hits = [[Fault(probability=0.3, seed=s).hits(n) for n in range(1, 2001)] for s in (1, 2)]

    assert all(0.25 < sum(each) / len(each) < 0.35 for each in hits)
    assert hits[0] != hits[1]


# How long it waits


def test_a_latency_has_the_distribution_that_it_is_given() -> None:
    def waits(**rule: Any) -> list[float]:
        fault = Fault(effect="latency", seconds=0.2, **rule)
        return [fault.wait(number) for number in range(1, 1001)]

    assert set(waits()) == {0.2}
    uniform = waits(distribution="uniform", most_seconds=0.4)
    assert min(uniform) >= 0.2
    assert max(uniform) <= 0.4
    assert statistics.mean(uniform) == pytest.approx(0.3, abs=0.01)
    lognormal = waits(distribution="lognormal", sigma=0.8)
    assert statistics.median(lognormal) == pytest.approx(0.2, rel=0.1)
    assert max(lognormal) > 1, "its tail is long"
    assert lognormal == waits(distribution="lognormal", sigma=0.8)


def test_a_uniform_latency_needs_its_end() -> None:
    with pytest.raises(ValidationError, match="most_seconds"):
        Fault(effect="latency", seconds=1, distribution="uniform")


# With which codes


@pytest.mark.parametrize("service", _SERVICES)
def test_the_sdk_backs_off_at_every_throttling_code(service: str) -> None:
    # SDKs and Tools Reference Guide, "Retry behavior": the codes that are throttling.
    answer = Fault(effect="throttle").answer(service)

    assert answer.code in ThrottledRetryableChecker._THROTTLED_ERROR_CODES


@pytest.mark.parametrize(
    ("service", "operation", "effect", "expected"),
    [
        ("ec2", "describe_vpcs", "throttle", ("RequestLimitExceeded", 503)),
        ("ec2", "describe_vpcs", "deny", ("UnauthorizedOperation", 403)),
        ("ec2", "describe_vpcs", "server_error", ("InternalError", 500)),
        ("ec2", "describe_vpcs", "expired_token", ("RequestExpired", 400)),
        ("iam", "list_roles", "throttle", ("Throttling", 400)),
        ("iam", "list_roles", "deny", ("AccessDenied", 403)),
        ("iam", "list_roles", "expired_token", ("ExpiredToken", 403)),
        ("ssm", "list_commands", "throttle", ("ThrottlingException", 400)),
        ("ssm", "list_commands", "deny", ("AccessDeniedException", 400)),
        ("ssm", "list_commands", "expired_token", ("ExpiredTokenException", 400)),
        ("lambda", "list_functions", "throttle", ("TooManyRequestsException", 429)),
        ("guardduty", "list_detectors", "deny", ("AccessDeniedException", 403)),
        ("s3", "list_buckets", "throttle", ("SlowDown", 503)),
        ("s3", "list_buckets", "deny", ("AccessDenied", 403)),
        ("cloudwatch", "describe_alarms", "throttle", ("ThrottlingException", 400)),
        ("cloudwatch", "describe_alarms", "deny", ("AccessDeniedException", 400)),
        ("route53", "list_hosted_zones", "throttle", ("Throttling", 400)),
        ("route53", "list_hosted_zones", "deny", ("AccessDenied", 403)),
        ("sqs", "list_queues", "deny", ("AccessDeniedException", 400)),
        ("eks", "list_clusters", "throttle", ("ThrottlingException", 429)),
    ],
)
def test_every_service_answers_with_its_own_codes(
    simulated_aws: SimulatedAws,
    service: str,
    operation: str,
    effect: Any,
    expected: tuple[str, int],
) -> None:
    simulated_aws.fault(Fault(service=service, effect=effect))

    assert refused(getattr(client(simulated_aws.url, REGION, service), operation)) == expected


def test_s3_control_answers_as_s3_does(simulated_aws: SimulatedAws) -> None:
    control = account_client(simulated_aws.url)
    simulated_aws.fault(Fault(service="s3", operation="GetAccount*", effect="deny"))

    assert refused(control.get_public_access_block, AccountId=ACCOUNT) == ("AccessDenied", 403)


def test_what_is_not_simulated_is_said_in_the_protocol_of_the_service(
    simulated_aws: SimulatedAws,
) -> None:
    for service, operation in (
        ("route53", "list_traffic_policies"),
        ("cloudwatch", "list_metric_streams"),
        ("cloudfront", "list_field_level_encryption_configs"),
        ("ssm", "describe_automation_executions"),
        ("macie2", "list_classification_jobs"),
        ("rds", "describe_certificates"),
        ("detective", "list_graphs"),
    ):
        called = getattr(client(simulated_aws.url, REGION, service), operation)
        assert refused(called) == ("NotSimulated", 501), service


def test_a_code_and_a_status_that_are_given_count() -> None:
    answer = Fault(effect="throttle", code="SlowDown", status=503).answer("ec2")

    assert (answer.code, answer.status) == ("SlowDown", 503)


# What is done, and what is answered


def test_an_answer_is_lost_after_the_effect_and_a_dropped_call_has_none(
    ec2: Any, world: WorldIds, simulated_aws: SimulatedAws
) -> None:
    for effect, done in (("lost_answer", True), ("drop", False)):
        simulated_aws.clear_faults()
        simulated_aws.fault(Fault.model_validate({"operation": "CreateTags", "effect": effect}))
        with pytest.raises((ConnectionClosedError, HTTPClientError)):
            ec2.create_tags(Resources=[world.victim], Tags=[{"Key": effect, "Value": "x"}])
        found = ec2.describe_tags(Filters=[{"Name": "key", "Values": [effect]}])["Tags"]
        assert bool(found) is done


def partial(aws: SimulatedAws, service: str, operation: str, keep: int, **more: Any) -> None:
    aws.fault(Fault(service=service, operation=operation, effect="partial_page", keep=keep, **more))


@pytest.mark.parametrize("keep", [1, 2])
def test_a_partial_page_has_a_token_that_leads_to_the_rest(
    ec2: Any, simulated_aws: SimulatedAws, keep: int
) -> None:
    everything = ec2.describe_instances()["Reservations"]
    partial(simulated_aws, "ec2", "DescribeInstances", keep)

    first = ec2.describe_instances()
    pages = list(ec2.get_paginator("describe_instances").paginate())

    assert len(first["Reservations"]) == keep
    assert first["NextToken"]
    assert len(pages) == -(-len(everything) // keep)
    assert [item for page in pages for item in page["Reservations"]] == everything


def test_one_partial_page_is_followed_by_the_whole_rest(
    ec2: Any, simulated_aws: SimulatedAws
) -> None:
    everything = ec2.describe_network_interfaces()["NetworkInterfaces"]
    partial(simulated_aws, "ec2", "DescribeNetworkInterfaces", 0, times=1)

    pages = list(ec2.get_paginator("describe_network_interfaces").paginate())

    assert [len(page["NetworkInterfaces"]) for page in pages] == [0, len(everything)]


def test_a_partial_page_of_a_page_leads_to_the_callers_next_one(
    ec2: Any, simulated_aws: SimulatedAws
) -> None:
    everything = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert len(everything) > 5
    partial(simulated_aws, "ec2", "DescribeNetworkInterfaces", 2)

    pages = ec2.get_paginator("describe_network_interfaces").paginate(
        PaginationConfig={"PageSize": 5}
    )

    assert [item for page in pages for item in page["NetworkInterfaces"]] == everything


@pytest.mark.parametrize(
    ("service", "operation", "member", "arrange"),
    [
        ("iam", "list_roles", "Roles", "role"),
        ("elbv2", "describe_target_groups", "TargetGroups", ""),
        ("autoscaling", "describe_auto_scaling_instances", "AutoScalingInstances", ""),
        ("ssm", "describe_parameters", "Parameters", "parameter"),
        ("s3", "list_objects_v2", "Contents", "object"),
        ("lambda", "list_layers", "Layers", "layer"),
    ],
)
def test_pages_of_every_protocol_can_be_partial(
    aws: Any,
    simulated_aws: SimulatedAws,
    service: str,
    operation: str,
    member: str,
    arrange: str,
) -> None:
    caller, parameters = aws(service), {}
    for number in range(3):
        match arrange:
            case "role":
                caller.create_role(RoleName=f"role-{number}", AssumeRolePolicyDocument="{}")
            case "parameter":
                caller.put_parameter(Name=f"parameter-{number}", Value="x", Type="String")
            case "layer":
                caller.publish_layer_version(
                    LayerName=f"layer-{number}", Content={"ZipFile": b"PK\x05\x06" + bytes(18)}
                )
            case "object":
                parameters = {"Bucket": "evidence"}
                if number == 0:
                    place = {"LocationConstraint": REGION}
                    caller.create_bucket(Bucket="evidence", CreateBucketConfiguration=place)
                caller.put_object(Bucket="evidence", Key=f"object-{number}", Body=b"x")
    everything = getattr(caller, operation)(**parameters)[member]
    assert len(everything) >= 3
    partial(simulated_aws, service, "*", 1)

    pages = list(caller.get_paginator(operation).paginate(**parameters))

    assert [item for page in pages for item in page[member]] == everything
    assert len(pages) == len(everything)


def test_a_call_without_pages_does_not_notice_a_partial_page(
    aws: Any, simulated_aws: SimulatedAws
) -> None:
    partial(simulated_aws, "*", "*", 1)

    assert aws("sts").get_caller_identity()["Account"] == "123456789012"


# Limits


def test_a_bucket_holds_a_burst_and_fills_again_with_time() -> None:
    now = [0.0]
    limits = Limits(lambda: now[0])
    limits.add(Limit(service="ec2", operation="Create*", burst=2, per_second=0.5))

    def throttled(operation: str = "CreateTags", account: str = "1") -> bool:
        return limits.exceeded("ec2", operation, account, REGION) is not None

    assert [throttled() for _ in range(3)] == [False, False, True]
    assert not throttled("CreateVolume"), "each operation has its own"
    assert not throttled(account="2"), "and so has each account"
    assert not throttled("DescribeTags")
    now[0] = 1.9
    assert throttled()
    now[0] = 2.0
    assert [throttled(), throttled()] == [False, True]
    now[0] = 1000.0
    assert [throttled() for _ in range(3)] == [False, False, True], "it holds no more than a burst"


def test_operations_can_share_a_bucket() -> None:
    limits = Limits(lambda: 0.0)
    limits.add(Limit(service="ec2", operation="Describe*", burst=2, per_second=0, shared=True))

    throttled = [
        limits.exceeded("ec2", operation, "1", REGION) is not None
        for operation in ("DescribeVpcs", "DescribeTags", "DescribeSubnets")
    ]

    assert throttled == [False, False, True]


def test_a_call_over_the_limit_is_throttled_as_the_service_does_it_and_recorded(
    aws: Any, simulated_aws: SimulatedAws
) -> None:
    simulated_aws.limit(Limit(operation="Describe*", burst=1, per_second=0))
    ec2, autoscaling = aws("ec2"), aws("autoscaling")
    ec2.describe_vpcs()
    autoscaling.describe_auto_scaling_groups()

    assert refused(ec2.describe_vpcs) == ("RequestLimitExceeded", 503)
    assert refused(autoscaling.describe_auto_scaling_groups) == ("Throttling", 400)
    assert simulated_aws.calls[-1].error == "Throttling"

    simulated_aws.reset()
    assert ec2.describe_vpcs()["Vpcs"]


def test_another_process_sets_limits_over_http(aws: Any, simulated_aws: SimulatedAws) -> None:
    def post(body: Any) -> Any:
        request = Request(
            f"{simulated_aws.url}/_clampdown/limits", data=json.dumps(body).encode(), method="POST"
        )
        with urlopen(request) as answer:
            return json.load(answer)

    assert post([{"service": "ec2", "burst": 1, "per_second": 0}]) == {"added": 1}
    aws("ec2").describe_vpcs()
    refused(aws("ec2").describe_vpcs)
    assert post([]) == {"added": 0}
    aws("ec2").describe_vpcs()
