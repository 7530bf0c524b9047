"""EventBridge Scheduler."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.fidelity.account import Account, trusted
from benchmarks.fidelity.checks.queues import Queue
from benchmarks.fidelity.verdicts import Known, Verdicts, check


@check(
    "scheduler",
    "schedules",
    known={
        "a schedule fires at its time": Known(
            "scheduler:CreateSchedule", "the simulated AWS acts when it is called, not by itself"
        )
    },
)
def _schedules(account: Account, seen: Verdicts) -> None:
    scheduler, queue = account("scheduler"), Queue(account, "due")
    # A role lets a schedule send.
    iam, send = account("iam"), {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    role = iam.create_role(
        RoleName="scheduler", AssumeRolePolicyDocument=trusted("scheduler.amazonaws.com")
    )["Role"]["Arn"]
    iam.put_role_policy(
        RoleName="scheduler",
        PolicyName="send",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [send]}),
    )

    def schedule(name: str, expression: str) -> Any:
        return scheduler.create_schedule(
            Name=name,
            ScheduleExpression=expression,
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": queue.arn, "RoleArn": role},
        )

    now = datetime.now(UTC)
    soon = (now + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    seen.done("a schedule with a rate is created", lambda: schedule("often", "rate(1 minutes)"))
    seen.done("a schedule for one time is created", lambda: schedule("once", f"at({soon})"))
    seen.refused(
        "a schedule of the same name",
        "ConflictException",
        lambda: schedule("often", "rate(1 minutes)"),
    )
    time.sleep(1.05)
    seen.holds("a schedule fires at its time", len(queue.take()) > 0, "never")
    seen.done("a schedule is deleted", lambda: scheduler.delete_schedule(Name="often"))
