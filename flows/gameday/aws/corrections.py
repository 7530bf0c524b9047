"""Putting the corrections of all services into moto, each when its service is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.metadata import version

from flows.gameday.aws import (
    addresses,
    alarms,
    autoscaling,
    classic_balancers,
    cloudformation,
    cloudformation_services,
    cloudformation_updates,
    cloudtrail,
    console,
    dispatch,
    dns_firewall,
    ebs_direct,
    ec2_filters,
    ec2_requests,
    ecs,
    eks,
    eks_pod_identities,
    events,
    groups,
    guardduty,
    iam,
    images,
    instance_attributes,
    instance_profiles,
    instance_states,
    instances,
    interfaces,
    kms,
    lambda_functions,
    load_balancers,
    network_acls,
    policy_simulation,
    queues,
    rds,
    rds_snapshots,
    s3,
    s3_public_access,
    secrets_manager,
    securityhub,
    simulated_time,
    snapshot_locks,
    snapshot_sharing,
    snapshots,
    ssm,
    ssm_commands,
    subnets,
    tags,
    topics,
    traffic_mirrors,
    volumes,
    vpcs,
)
from flows.gameday.aws.authorization import boundaries, resource_policies, sessions
from flows.gameday.aws.loading import is_loaded, tell_of_services
from flows.gameday.aws.serialization import write_sooner
from flows.gameday.aws.shortcuts import look_once

MOTO_VERSION = "5.2.5"
_ENVIRONMENT = {
    # The 600 public images that moto brings along own 1,300 snapshots.
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "false",
    # "InvalidAMIID.NotFound" (EC2 error codes).
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ALLOW_NONEXISTENT_REGION": "false",
}
# By service, as moto's packages are named. What corrects a service touches its classes and no
# others, but for those that only CloudFormation uses; it is applied in this order.
CORRECTIONS: dict[str, tuple[Callable[[], None], ...]] = {
    "autoscaling": (autoscaling.correct,),
    "awslambda": (lambda_functions.correct,),
    "cloudformation": (
        cloudformation.correct,
        cloudformation_updates.correct,
        cloudformation_services.correct,
        dns_firewall.correct,
    ),
    "cloudtrail": (cloudtrail.correct,),
    "cloudwatch": (alarms.correct,),
    "ebs": (ebs_direct.correct,),
    "ec2": (
        images.correct,
        tags.correct,
        ec2_filters.correct,
        instances.correct,
        instance_states.correct,
        instance_attributes.correct,
        instance_profiles.correct,
        interfaces.correct,
        groups.correct,
        network_acls.correct,
        vpcs.correct,
        subnets.correct,
        addresses.correct,
        volumes.correct,
        snapshots.correct,
        snapshot_locks.correct,
        snapshot_sharing.correct,
        traffic_mirrors.correct,
        console.correct,
        # After those whose answers it divides into pages.
        ec2_requests.correct,
        events.correct_instances,
        ssm.correct_profiles,
        sessions.correct_instances,
    ),
    "ecs": (ecs.correct,),
    "eks": (eks.correct, eks_pod_identities.correct),
    "elb": (classic_balancers.correct,),
    "elbv2": (load_balancers.correct,),
    "events": (events.correct,),
    "guardduty": (guardduty.correct,),
    "iam": (
        iam.correct,
        policy_simulation.correct,
        boundaries.correct,
        sessions.correct_keys,
    ),
    "kms": (kms.correct,),
    "moto_server": (dispatch.correct,),
    "rds": (rds.correct, rds_snapshots.correct),
    "route53resolver": (dns_firewall.correct_resolver,),
    "s3": (s3.correct, s3_public_access.correct, resource_policies.correct),
    "secretsmanager": (secrets_manager.correct,),
    "securityhub": (securityhub.correct,),
    "sns": (topics.correct,),
    "sqs": (queues.correct,),
    "ssm": (ssm.correct, ssm_commands.correct),
    "sts": (sessions.correct,),
}
_corrected: set[str] = set()


class WrongMoto(RuntimeError):
    """The installed moto is not the one whose behaviour is corrected here."""


@cache
def apply() -> None:
    """Correct moto in this process, where that has not been done: what is loaded of it at once, and
    every other service as soon as anything loads it.

    Raises WrongMoto where another version is installed: the corrections reach into moto's own
    classes, and would silently do nothing, or harm, in another.
    """
    installed = version("moto")
    if installed != MOTO_VERSION:
        raise WrongMoto(
            f"The simulated AWS needs moto {MOTO_VERSION}; {installed} is installed. "
            f"Install it: pip install 'moto=={MOTO_VERSION}'."
        )
    os.environ.update(_ENVIRONMENT)
    look_once()
    write_sooner()
    simulated_time.correct()
    tell_of_services(_correct_loaded)


def _correct_loaded() -> None:
    # What corrects a service may load others.
    while due := {name for name in CORRECTIONS if is_loaded(name)} - _corrected:
        for service in sorted(due):
            _corrected.add(service)
            for correct in CORRECTIONS[service]:
                correct()
