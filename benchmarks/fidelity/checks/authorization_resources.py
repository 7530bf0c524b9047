"""IAM's enforcement: the resources on which something is allowed."""

from __future__ import annotations

from benchmarks.fidelity.account import ACCOUNT_ID, REGION, Account
from benchmarks.fidelity.checks.authorization_actions import tag
from benchmarks.fidelity.checks.authorization_people import allow, deny, document, user
from benchmarks.fidelity.verdicts import Verdicts, check


@check("enforce", "resources of EC2")
def _ec2(account: Account, seen: Verdicts) -> None:
    tagging = "ec2:CreateTags"
    victim = f"arn:aws:ec2:{REGION}:{ACCOUNT_ID}:instance/{account.ids.victim}"
    this = user(account, "r1", allow(tagging, victim))
    all_but_this = user(account, "r2", allow(tagging), deny(tagging, victim))
    of_the_account = user(account, "r3", allow("ec2:*", f"arn:aws:ec2:{REGION}:{ACCOUNT_ID}:*"))
    not_this = user(account, "r4", {"Effect": "Allow", "Action": tagging, "NotResource": victim})
    account.enforce()
    seen.done("what is allowed on the instance's ARN", lambda: tag(account, this))
    seen.refused(
        "what is denied on the instance's ARN",
        "UnauthorizedOperation",
        lambda: tag(account, all_but_this),
    )
    seen.done(
        "what is allowed on all of the account and Region", lambda: tag(account, of_the_account)
    )
    seen.refused(
        "what NotResource excludes", "UnauthorizedOperation", lambda: tag(account, not_this)
    )


@check("enforce", "resources of other services")
def _others(account: Account, seen: Verdicts) -> None:
    for name in ("ev-bucket", "other-bucket"):
        account("s3").create_bucket(Bucket=name)
    sqs = account("sqs")
    queue, other_queue = (
        sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("enfq", "enfq2")
    )
    buckets = ["arn:aws:s3:::ev-bucket", "arn:aws:s3:::ev-bucket/*"]
    of_s3 = account("s3", credentials=user(account, "r5", allow("s3:*", buckets)))
    sending = allow("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:enfq")
    of_sqs = account("sqs", credentials=user(account, "r6", sending))
    responder = user(
        account,
        "r8",
        allow("iam:UpdateAccessKey", f"arn:aws:iam::{ACCOUNT_ID}:user/victim"),
        allow("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT_ID}:role/app-role"),
    )
    of_iam = account("iam", credentials=responder)
    account.enforce()
    seen.done(
        "an object of the bucket that is named",
        lambda: of_s3.put_object(Bucket="ev-bucket", Key="a", Body=b"x"),
    )
    seen.refused(
        "an object of another bucket",
        "AccessDenied",
        lambda: of_s3.put_object(Bucket="other-bucket", Key="a", Body=b"x"),
    )
    seen.done(
        "the queue that is named", lambda: of_sqs.send_message(QueueUrl=queue, MessageBody="x")
    )
    seen.refused(
        "another queue",
        ("AccessDenied", "AccessDeniedException"),
        lambda: of_sqs.send_message(QueueUrl=other_queue, MessageBody="x"),
    )
    seen.done(
        "the user who is named",
        lambda: of_iam.update_access_key(
            UserName="victim",
            AccessKeyId=account.ids.user_keys[0].access_key,
            Status="Active",
        ),
    )
    seen.done(
        "the role that is named",
        lambda: of_iam.put_role_policy(
            RoleName="app-role", PolicyName="z", PolicyDocument=document(deny("*"))
        ),
    )
