"""STS: accounts that are apart, and credentials for a while."""

from __future__ import annotations

from benchmarks.fidelity.account import ACCOUNT_ID, Account, Credentials
from benchmarks.fidelity.checks.authorization_people import administrator, allow, assumed, user
from benchmarks.fidelity.verdicts import Verdicts, check

_OTHER = "222222222222"


def _in_the_other(account: Account) -> Credentials:
    """The other account's role ``ir``; nothing is enforced yet, and so it need not be there."""
    return assumed(account, f"arn:aws:iam::{_OTHER}:role/ir", DurationSeconds=900)


@check("sts", "accounts are apart")
def _apart(account: Account, seen: Verdicts) -> None:
    own = account("sts").get_caller_identity()["Account"]
    seen.holds("a caller is of their account", own == ACCOUNT_ID, own)
    there = _in_the_other(account)
    identity = account("sts", credentials=there).get_caller_identity()
    seen.holds(
        "a session is of its role, in the account of the role",
        (identity["Account"], identity["Arn"])
        == (_OTHER, f"arn:aws:sts::{_OTHER}:assumed-role/ir/case"),
        identity["Arn"],
    )
    ec2 = account("ec2", credentials=there)
    seen.holds("it sees nothing of the first account", not ec2.describe_instances()["Reservations"])
    image = ec2.register_image(Name="linux", RootDeviceName="/dev/sda1")["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)
    found = ec2.describe_instances()["Reservations"]
    seen.holds("it sees what is its own", len(found) == 1, len(found))
    elsewhere = account("ec2", "eu-west-1").describe_instances()["Reservations"]
    seen.holds("Regions are apart, too", not elsewhere, elsewhere)
    account("s3", credentials=there).create_bucket(Bucket="other-acct-b")
    own_s3 = account("s3", credentials=administrator(account))
    account.enforce()
    seen.refused(
        "the bucket of an account that lets nobody else in",
        "AccessDenied",
        lambda: own_s3.list_objects_v2(Bucket="other-acct-b"),
    )


@check("sts", "credentials for a while")
def _temporary(account: Account, seen: Verdicts) -> None:
    sts, there = account("sts"), _in_the_other(account)
    seen.done("a user's own", lambda: sts.get_session_token())
    seen.done("a federated user's", lambda: sts.get_federation_token(Name="abc"))
    seen.done(
        "an access key tells its account",
        lambda: sts.get_access_key_info(AccessKeyId=there.access_key),
    )
    seen.refused(
        "a message that STS never encoded",
        "InvalidAuthorizationMessageException",
        lambda: sts.decode_authorization_message(EncodedMessage="x"),
    )
    seen.refused(
        "a session longer than the role allows",
        "ValidationError",
        lambda: assumed(account, f"arn:aws:iam::{ACCOUNT_ID}:role/app-role", DurationSeconds=43200),
    )
    somebody = user(account, "somebody", allow("sts:AssumeRole"))
    account.enforce()
    seen.refused(
        "a role that doesn't exist",
        "AccessDenied",
        lambda: assumed(account, f"arn:aws:iam::{ACCOUNT_ID}:role/no-such-role", somebody),
    )
