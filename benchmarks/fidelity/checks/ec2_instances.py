"""Instances: how they are launched, and their attributes."""

from __future__ import annotations

from typing import Any

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Verdicts, check

_ATTRIBUTES = (
    "instanceType",
    "kernel",
    "ramdisk",
    "userData",
    "disableApiTermination",
    "instanceInitiatedShutdownBehavior",
    "rootDeviceName",
    "blockDeviceMapping",
    "productCodes",
    "sourceDestCheck",
    "groupSet",
    "ebsOptimized",
    "sriovNetSupport",
    "enaSupport",
    "enclaveOptions",
    "disableApiStop",
)


@check("ec2", "an instance as it was launched")
def _launched(account: Account, seen: Verdicts) -> None:
    ec2, ids = account("ec2"), account.ids
    instance = account.instance(ids.victim)
    interfaces = instance["NetworkInterfaces"]
    seen.holds("it lists its interfaces", len(interfaces) == 2, len(interfaces))
    indices = sorted(item["Attachment"].get("DeviceIndex") for item in interfaces)
    seen.holds("each is attached at an index", indices == [0, 1], indices)
    attached = [item["Ebs"]["VolumeId"] for item in instance["BlockDeviceMappings"]]
    seen.holds("it lists its volumes", len(attached) == 2, attached)
    encrypted = [
        volume.get("KmsKeyId")
        for volume in ec2.describe_volumes(VolumeIds=attached)["Volumes"]
        if volume["Encrypted"]
    ]
    seen.holds("a volume is encrypted with the key it was given", encrypted == [ids.key], encrypted)
    profile = instance.get("IamInstanceProfile", {}).get("Arn", "")
    seen.holds("it names its instance profile", profile.endswith("/app-prof"), profile)


@check("ec2", "protection of an instance")
def _protected(account: Account, seen: Verdicts) -> None:
    ec2, victim = account("ec2"), account.ids.victim
    ec2.modify_instance_attribute(InstanceId=victim, DisableApiTermination={"Value": True})
    value = ec2.describe_instance_attribute(InstanceId=victim, Attribute="disableApiTermination")[
        "DisableApiTermination"
    ]["Value"]
    seen.holds("its protection from termination is read back", value is True, value)
    seen.refused(
        "to terminate a protected instance",
        "OperationNotPermitted",
        lambda: ec2.terminate_instances(InstanceIds=[victim]),
    )
    seen.done(
        "it is protected from being stopped",
        lambda: ec2.modify_instance_attribute(InstanceId=victim, DisableApiStop={"Value": True}),
    )
    seen.refused(
        "to stop an instance that is protected from it",
        "OperationNotPermitted",
        lambda: ec2.stop_instances(InstanceIds=[victim]),
    )


@check("ec2", "what happens at shutdown")
def _shutdown(account: Account, seen: Verdicts) -> None:
    ec2, victim = account("ec2"), account.ids.victim

    def behave(value: str) -> None:
        ec2.modify_instance_attribute(
            InstanceId=victim, InstanceInitiatedShutdownBehavior={"Value": value}
        )

    for value in ("stop", "terminate"):
        seen.done(
            f"an instance that shuts itself down can {value}", lambda value=value: behave(value)
        )
    groups = [group["GroupId"] for group in account.instance(victim)["SecurityGroups"]]
    seen.holds("its security groups stay as they were", groups == [account.ids.app_group], groups)
    answer = seen.done(
        "DescribeInstanceAttribute knows what it does",
        lambda: ec2.describe_instance_attribute(
            InstanceId=victim, Attribute="instanceInitiatedShutdownBehavior"
        ),
    )
    value = (answer or {}).get("InstanceInitiatedShutdownBehavior")
    seen.holds("it is read back", value == {"Value": "terminate"}, value)


@check("ec2", "volumes of a terminated instance")
def _volumes(account: Account, seen: Verdicts) -> None:
    ec2 = account("ec2")

    def keep(instance: str, *devices: str) -> None:
        mappings = [
            {"DeviceName": device, "Ebs": {"DeleteOnTermination": False}} for device in devices
        ]
        ec2.modify_instance_attribute(InstanceId=instance, BlockDeviceMappings=mappings)

    def volumes(instance: str) -> list[str]:
        return [item["VolumeId"] for item in _devices(account, instance).values()]

    kept = account.launch()
    keep(kept, "/dev/sda1", "/dev/sdf")
    found = {
        device: item["DeleteOnTermination"] for device, item in _devices(account, kept).items()
    }
    seen.holds(
        "DeleteOnTermination is changed of each device",
        found == {"/dev/sda1": False, "/dev/sdf": False},
        found,
    )
    outliving = volumes(kept)
    ec2.terminate_instances(InstanceIds=[kept])
    answer = seen.done(
        "volumes that are kept outlive the instance",
        lambda: ec2.describe_volumes(VolumeIds=outliving),
    )
    states = [volume["State"] for volume in (answer or {}).get("Volumes", [])]
    seen.holds("they are available then", states == ["available"] * 2, states)
    gone = account.launch()
    deleted = volumes(gone)
    ec2.terminate_instances(InstanceIds=[gone])
    seen.refused(
        "volumes that go with the instance",
        "InvalidVolume.NotFound",
        lambda: ec2.describe_volumes(VolumeIds=deleted),
    )
    # The kind of error isn't documented.
    seen.refused(
        "a device that the instance hasn't got",
        ("InvalidInstanceAttributeValue", "InvalidParameterValue"),
        lambda: keep(account.ids.victim, "/dev/zzz"),
    )


@check("ec2", "attributes of an instance")
def _attributes(account: Account, seen: Verdicts) -> None:
    ec2 = account("ec2")
    one = account.launch(second_interface=False)

    def described(attribute: str) -> Any:
        return ec2.describe_instance_attribute(InstanceId=one, Attribute=attribute)

    answers = {
        attribute: seen.done(
            f"there is an attribute {attribute}", lambda attribute=attribute: described(attribute)
        )
        for attribute in _ATTRIBUTES
    }
    devices = (answers["blockDeviceMapping"] or {}).get("BlockDeviceMappings", [])
    volumes = {item.get("DeviceName"): item["Ebs"].get("VolumeId") for item in devices}
    attached = {name: item["VolumeId"] for name, item in _devices(account, one).items()}
    seen.holds("blockDeviceMapping lists the volumes", volumes == attached, volumes)
    seen.done(
        "SourceDestCheck is modified",
        lambda: ec2.modify_instance_attribute(InstanceId=one, SourceDestCheck={"Value": False}),
    )
    value = described("sourceDestCheck").get("SourceDestCheck")
    seen.holds("SourceDestCheck is read back", value == {"Value": False}, value)


@check("ec2", "metadata options of an instance")
def _metadata(account: Account, seen: Verdicts) -> None:
    ec2, victim = account("ec2"), account.ids.victim
    answer = ec2.modify_instance_metadata_options(
        InstanceId=victim,
        HttpTokens="required",
        HttpEndpoint="disabled",
        HttpPutResponseHopLimit=1,
    )["InstanceMetadataOptions"]
    seen.holds("they are pending first", answer.get("State") == "pending", answer.get("State"))
    options = account.instance(victim).get("MetadataOptions", {})
    seen.holds(
        "they are read back",
        (options.get("HttpEndpoint"), options.get("HttpTokens")) == ("disabled", "required"),
        options,
    )
    seen.done(
        "the endpoint is enabled again",
        lambda: ec2.modify_instance_metadata_options(InstanceId=victim, HttpEndpoint="enabled"),
    )
    seen.refused(
        "metadata options of an unknown instance",
        "InvalidInstanceID.NotFound",
        lambda: ec2.modify_instance_metadata_options(
            InstanceId="i-00000000000000000", HttpEndpoint="enabled"
        ),
    )


def _devices(account: Account, instance: str) -> dict[str, Any]:
    mappings = account.instance(instance)["BlockDeviceMappings"]
    return {item["DeviceName"]: item["Ebs"] for item in mappings}
