"""States of instances: each change takes its time, and not everything can be done in each."""

from __future__ import annotations

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Verdicts, check

_SECONDS = 0.3
_UNKNOWN = "i-00000000000000000"


@check("ec2", "an instance is launched, stopped and terminated")
def _changes(account: Account, seen: Verdicts) -> None:
    ec2 = account("ec2")
    account.configure(instance_seconds=_SECONDS)

    def state(instance: str) -> str:
        name: str = account.instance(instance)["State"]["Name"]
        return name

    def wait(for_what: str, instance: str) -> None:
        ec2.get_waiter(for_what).wait(
            InstanceIds=[instance], WaiterConfig={"Delay": _SECONDS / 2, "MaxAttempts": 5}
        )

    launched = ec2.run_instances(ImageId=account.ids.image, MinCount=1, MaxCount=1)["Instances"][0]
    one, first = launched["InstanceId"], launched["State"]["Name"]
    seen.holds("RunInstances answers pending", first == "pending", first)
    now = state(one)
    seen.holds("it is pending for a while", now == "pending", now)
    seen.done("then it is running", lambda: wait("instance_running", one))
    change = ec2.stop_instances(InstanceIds=[one])["StoppingInstances"][0]
    names = (change["PreviousState"]["Name"], change["CurrentState"]["Name"])
    seen.holds("StopInstances answers running, stopping", names == ("running", "stopping"), names)
    now = state(one)
    seen.holds("it is stopping for a while", now == "stopping", now)
    seen.refused(
        "to start an instance that is stopping",
        "IncorrectInstanceState",
        lambda: ec2.start_instances(InstanceIds=[one]),
    )
    seen.done("then it is stopped", lambda: wait("instance_stopped", one))
    seen.done(
        "a stopped instance can be forced to stop",
        lambda: ec2.stop_instances(InstanceIds=[one], Force=True),
    )
    statuses = ec2.describe_instance_status(InstanceIds=[one], IncludeAllInstances=True)[
        "InstanceStatuses"
    ]
    seen.holds("it has a status if all instances are asked for", len(statuses) == 1, statuses)
    change = ec2.start_instances(InstanceIds=[one])["StartingInstances"][0]
    names = (change["PreviousState"]["Name"], change["CurrentState"]["Name"])
    seen.holds("StartInstances answers stopped, pending", names == ("stopped", "pending"), names)
    wait("instance_running", one)
    change = ec2.terminate_instances(InstanceIds=[one])["TerminatingInstances"][0]
    first = change["CurrentState"]["Name"]
    seen.holds("TerminateInstances answers shutting-down", first == "shutting-down", first)
    now = state(one)
    seen.holds("it is shutting down for a while", now == "shutting-down", now)
    seen.done(
        "then it is terminated, and still described", lambda: wait("instance_terminated", one)
    )


@check("ec2", "what can't be done to an instance in its state")
def _refused(account: Account, seen: Verdicts) -> None:
    ec2, ids = account("ec2"), account.ids
    seen.refused(
        "to hibernate an instance that wasn't launched for it",
        "UnsupportedHibernationConfiguration",
        lambda: ec2.stop_instances(InstanceIds=[ids.victim], Hibernate=True),
    )
    # "Some instance attributes, such as user data, can only be modified if the instance is in a
    # 'stopped' state" (EC2 error codes).
    seen.refused(
        "to give a running instance other user data",
        "IncorrectInstanceState",
        lambda: ec2.modify_instance_attribute(InstanceId=ids.victim, UserData={"Value": b"x"}),
    )
    ec2.terminate_instances(InstanceIds=[ids.victim])
    seen.done(
        "an instance can be terminated again",
        lambda: ec2.terminate_instances(InstanceIds=[ids.victim]),
    )
    seen.refused(
        "to start a terminated instance",
        "IncorrectInstanceState",
        lambda: ec2.start_instances(InstanceIds=[ids.victim]),
    )
    seen.refused(
        "to modify a terminated instance",
        ("IncorrectInstanceState", "InvalidInstanceID.NotFound", "IncorrectState"),
        lambda: ec2.modify_instance_attribute(InstanceId=ids.victim, Groups=[ids.web_group]),
    )
    seen.refused(
        "to stop an unknown instance",
        "InvalidInstanceID.NotFound",
        lambda: ec2.stop_instances(InstanceIds=[_UNKNOWN]),
    )
    seen.refused(
        "an id that can't be an instance's",
        "InvalidInstanceID.Malformed",
        lambda: ec2.stop_instances(InstanceIds=["foo"]),
    )
