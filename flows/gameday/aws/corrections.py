"""Putting the corrections of all services into moto, once in a process."""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import version

MOTO_VERSION = "5.2.5"
_ENVIRONMENT = {
    # The 600 public images that moto brings along own 1,300 snapshots.
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "false",
    # "InvalidAMIID.NotFound" (EC2 error codes).
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ALLOW_NONEXISTENT_REGION": "false",
}
_applied = False


class WrongMoto(RuntimeError):
    """The installed moto is not the one whose behaviour is corrected here."""


def apply() -> None:
    """Correct moto in this process, where that has not been done.

    Raises WrongMoto where another version is installed: the corrections reach into moto's own
    classes, and would silently do nothing, or harm, in another.
    """
    global _applied
    if _applied:
        return
    installed = version("moto")
    if installed != MOTO_VERSION:
        raise WrongMoto(
            f"The simulated AWS needs moto {MOTO_VERSION}; {installed} is installed. "
            f"Install it: pip install 'moto=={MOTO_VERSION}'."
        )
    os.environ.update(_ENVIRONMENT)
    from flows.gameday.aws import (
        autoscaling,
        cloudformation,
        cloudtrail,
        dns_firewall,
        ec2_requests,
        eks,
        events,
        groups,
        guardduty,
        iam,
        images,
        instance_profiles,
        instances,
        interfaces,
        kms,
        lambda_functions,
        load_balancers,
        network_acls,
        policy_simulation,
        s3,
        securityhub,
        snapshot_sharing,
        snapshots,
        ssm,
        ssm_commands,
        volumes,
        vpcs,
    )
    from flows.gameday.aws.authorization import boundaries, resource_policies, sessions

    for service in (
        images,
        instances,
        instance_profiles,
        interfaces,
        groups,
        network_acls,
        vpcs,
        volumes,
        snapshots,
        snapshot_sharing,
        # After those whose answers it divides into pages.
        ec2_requests,
        load_balancers,
        autoscaling,
        iam,
        cloudformation,
        dns_firewall,
        events,
        guardduty,
        ssm,
        eks,
        policy_simulation,
        ssm_commands,
        securityhub,
        cloudtrail,
        lambda_functions,
        s3,
        kms,
        boundaries,
        resource_policies,
        sessions,
    ):
        service.correct()
    _look_once()
    _applied = True


def _look_once() -> None:
    """Have moto look through its own folders and classes once, not in each call: that is half of
    the time that a call takes."""
    import moto.backends
    import moto.core.responses
    from moto.core.utils import method_names_from_class

    modules = tuple(moto.backends.list_of_moto_modules())
    moto.backends.list_of_moto_modules = lambda: iter(modules)
    moto.core.responses.method_names_from_class = cache(method_names_from_class)
