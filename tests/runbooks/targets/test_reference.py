"""References: an instance as somebody typed it, read to exactly one identity or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.errors import InvalidInput
from runbooks.targets.reference import TargetRef, account_in, instance_reference, partition_of

ACCOUNT, REGION = "123456789012", "eu-west-1"
ID = "i-0123456789abcdef0"
ARN = f"arn:aws:ec2:us-east-1:111122223333:instance/{ID}"


def read(text: str, *, account: str = ACCOUNT, region: str = REGION) -> TargetRef:
    return instance_reference(text, account=account, region=region)


@pytest.mark.parametrize("identity", [ID, "i-01234567"])
def test_an_id_is_taken_to_be_where_the_credentials_are(identity: str) -> None:
    assert read(identity) == TargetRef("ec2.instance", ACCOUNT, REGION, identity)


def test_an_arn_names_its_own_account_and_region() -> None:
    assert read(ARN) == TargetRef("ec2.instance", "111122223333", "us-east-1", ID)
    assert read(ARN, region="") == read(ARN)


def test_blanks_around_it_do_not_matter() -> None:
    assert read(f" {ID}\n") == read(ID)


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
        ("ap-southeast-4", "aws"),
    ],
)
def test_arns_are_written_and_read_in_the_regions_partition(region: str, partition: str) -> None:
    reference = read(ID, region=region)

    assert partition_of(region) == reference.partition == partition
    assert reference.arn == f"arn:{partition}:ec2:{region}:{ACCOUNT}:instance/{ID}"
    assert read(reference.arn, account="", region="") == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "i-",
        "i-0123",
        "i-0123456789ABCDEF0",
        "i-0123456789abcdef01",
        "vol-0123456789abcdef0",
        f"{ID}; rm -rf /",
        f"{ID}\n{ID}",
        f"$({ID})",
        "١٢٣",
        "i-٠١٢٣٤٥٦٧",
        f"arn:aws:ec2:eu-west-1:12345678901:instance/{ID}",
        f"arn:aws:ec2:eu-west-1:١٢٣٤٥٦٧٨٩٠١٢:instance/{ID}",
        f"arn:aws:ec2::{ACCOUNT}:instance/{ID}",
        f"arn:aws:ec2:eu-west-1:{ACCOUNT}:volume/{ID}",
        f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-0",
        f"arn:aws-cn:ec2:eu-west-1:{ACCOUNT}:instance/{ID}",
        f"arn:aws:ec2:us-gov-west-1:{ACCOUNT}:instance/{ID}",
        f"arn:evil:ec2:eu-west-1:{ACCOUNT}:instance/{ID}",
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not an instance") as caught:
        read(text)

    assert ID in caught.value.advice
    assert caught.value.exit_code == 2


def test_a_long_text_is_cut() -> None:
    with pytest.raises(InvalidInput) as caught:
        read("x" * 1_000_000)

    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("region", ["", "eu-west", "EU-WEST-1", "eu-west-1 "])
def test_an_id_without_a_region_asks_for_one(region: str) -> None:
    with pytest.raises(InvalidInput, match="--region"):
        read(ID, region=region)


@given(st.text(max_size=60))
def test_no_text_is_read_as_something_that_it_does_not_say(text: str) -> None:
    try:
        reference = read(text)
    except InvalidInput:
        return
    assert text.strip() in (reference.id, reference.arn)


def test_the_account_of_an_arn_is_known_before_it_is_entered() -> None:
    assert account_in(ARN) == "111122223333"
    assert account_in(ID) is None
    assert account_in("arn:aws:s3:::bucket") is None
