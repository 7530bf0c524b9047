"""``clean_room.create``: copies of the disks in a room without a way out, for a limited time."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from runbooks.aws import Aws, Progress
from runbooks.calls import Call, Change, Found, Keep, Resource, Undo
from runbooks.clean_room.stack import (
    ABSENT,
    EXPIRES_TAG,
    Stack,
    describe_stack,
    first_failure,
    read_stack,
    room_name,
    stacks_in,
)
from runbooks.clean_room.template import (
    BY_CLOUDFORMATION,
    BY_PARAMETER,
    DEVICES,
    Copy,
    room_template,
)
from runbooks.errors import NotContained
from runbooks.step import Duration, Permissions, Step, StepParams, write_duration
from runbooks.targets.evidence import describe_evidence, evidence_snapshots
from runbooks.targets.instance import Ec2Instance, Evidence
from runbooks.targets.reference import partition_of

AMAZON_LINUX = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
LOOK_EVERY = timedelta(seconds=5)

_LONGEST = timedelta(days=90)


def _in_reason(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= _LONGEST:
        raise ValueError(f"is longer than nothing and at most {_LONGEST.days} days")
    return value


def _network(value: str) -> str:
    network = ipaddress.IPv4Network(value)
    # A VPC is a /16 to a /28 (Amazon VPC User Guide, "VPC CIDR blocks").
    if not network.is_private or not 16 <= network.prefixlen <= 28:
        raise ValueError("is a private IPv4 network of /16 to /28")
    return value


Limit = Annotated[Duration, AfterValidator(_in_reason)]


class Room(StepParams):
    """What the room is made of and how long it stays.

    ``expires`` is how long after its creation ``clampdown reap`` deletes it. ``image`` is what the
    workstation starts from, an AMI id or ``resolve:ssm:`` with a parameter's name; a prepared one
    has the tools that can't be downloaded in the room. ``disk`` is the size of its own disk in
    GiB, at least the image's. ``zone`` is the target's where none is given. ``cidr`` is the room's
    network, which touches no other. ``service_role`` is the role with which CloudFormation makes
    the room; without one it uses Clampdown's own. ``within``: for how long the room is waited for.
    """

    instance_type: Annotated[str, Field(pattern=r"^[a-z0-9-]{2,20}\.[a-z0-9-]{2,20}$")] = (
        "m7i.large"
    )
    expires: Limit = timedelta(hours=72)
    image: Annotated[
        str, Field(pattern=r"^(ami-[0-9a-f]{8,17}|resolve:ssm:[A-Za-z0-9/_.-]{1,1000})$")
    ] = AMAZON_LINUX
    disk: Annotated[int, Field(ge=8, le=16_384, strict=True)] = 64
    zone: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z0-9]+)+$")] | None = None
    cidr: Annotated[str, AfterValidator(_network)] = "192.168.255.0/28"
    service_role: (
        Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$")] | None
    ) = None
    within: Limit = timedelta(minutes=30)


class CreateCleanRoom(Step[Ec2Instance, Room]):
    """Make a clean room: a workstation with copies of the volumes, in a network without a way out.

    One CloudFormation stack for each instance of the incident, from ``templates/clean_room.yaml``:
    a VPC without a gateway, endpoints for Session Manager and for packages in S3, and a volume
    from each snapshot of the incident, attached to a workstation that never starts from one. All
    volumes are encrypted: a copy of an encrypted snapshot with its key, one of an unencrypted
    snapshot with the account's default key (EBS User Guide, "Encryption outcomes").

    The workstation has an instance profile, because the agent of Session Manager finds its
    credentials nowhere but in IMDS. It allows what the agent needs to be reached, from this VPC
    only, and nothing in the account; so where the account's Session Manager preferences ask for a
    KMS key or for logs, the session needs a document without them (``--document-name``). There is
    no key pair, no public address and no open port.

    The stack's name tells whether there is one already: CreateStack gets no ClientRequestToken,
    because CloudFormation refuses one that an earlier stack of that name had, and a stack that
    rolled back has to be deleted and made again under its name.

    Returns ``stack``, ``stack_id``, ``workstation`` (its instance id), ``connect`` (the command
    that opens a shell on it), ``volumes`` (the copies' ids by device) and ``expires``.
    """

    name = "clean_room.create"
    permissions = Permissions(
        read=(
            "cloudformation:DescribeStackEvents",
            "cloudformation:DescribeStackResources",
            "cloudformation:DescribeStacks",
            "ec2:DescribeImages",
            "ec2:DescribeManagedPrefixLists",
            "ec2:DescribeSnapshots",
            "ssm:GetParameter",
        ),
        change=("cloudformation:CreateStack", "cloudformation:DeleteStack", *BY_CLOUDFORMATION),
    )
    Params = Room
    waits = True
    # People can look at the evidence later; the containment doesn't wait for it.
    on_failure = "continue"

    def contain(self, aws: Aws, target: Ec2Instance, params: Room) -> Mapping[str, Any]:
        name = room_name(aws.incident.id, target.id)
        found = _look(aws, target, name)
        if not found.copies:
            aws.warn(f"{target.id} has no EBS volume: there is nothing to put into a clean room.")
            return {}
        template = room_template(found.copies, params.image)
        if self._without_failed(aws, name, found.stack, params) is None:
            _say_what_it_means(aws, found.copies, params)
            _make(aws, target, name, found, template, params)
        watch = _Watch(aws, name, len(template["Resources"]))
        aws.wait(f"clean room {name}", watch.look, every=LOOK_EVERY, within=params.within)
        return _outputs(aws, name, watch.stack, found.copies)

    def verify(self, aws: Aws, target: Ec2Instance, params: Room) -> None:
        name = room_name(aws.incident.id, target.id)
        found = _look(aws, target, name)
        if not found.copies:
            return
        if found.stack is None or not found.stack.complete:
            raise NotContained(
                f"{target.id}: there is no clean room: the stack {name} "
                + (f"is {found.stack.status}." if found.stack else "does not exist."),
                advice="`clampdown resume` makes it.",
            )
        workstation = found.stack.workstation
        attached = aws.read(
            Call(
                "ec2",
                "describe_volumes",
                Filters=[{"Name": "attachment.instance-id", "Values": [workstation]}],
            )
        )
        there = {volume["VolumeId"] for volume in attached["Volumes"]}
        missing = [volume for volume in found.stack.volumes if volume not in there]
        if missing:
            raise NotContained(
                f"{target.id}: not attached to the workstation {workstation}: {', '.join(missing)}."
            )

    def _without_failed(
        self, aws: Aws, name: str, stack: Stack | None, params: Room
    ) -> Stack | None:
        """The stack that there is; one that has failed, or is going, is none once it is gone."""
        if stack is None or stack.creating:
            # Should it roll back, it has to be deleted before it can be made again.
            aws.foresee(_deletion(aws, name))
            return stack
        if stack.complete:
            return stack
        if stack.status != "DELETE_IN_PROGRESS":
            aws.wait(
                f"rollback of {name}",
                lambda: _settled(aws, name),
                every=LOOK_EVERY,
                within=params.within,
            )
            delete = _deletion(aws, name)
            aws.change(delete.call, on=delete.on, undo=delete.undo, why=delete.why)
        aws.wait(
            f"deletion of {name}",
            lambda: _going(aws, name),
            every=LOOK_EVERY,
            within=params.within,
        )
        return None


@dataclass(frozen=True)
class _Found:
    stack: Stack | None
    copies: Sequence[Copy]
    s3_prefix_list: str


def _look(aws: Aws, target: Ec2Instance, name: str) -> _Found:
    """The stack, the snapshots as they are now, and the prefix list of S3, in one round."""
    stacks, snapshots, prefix_lists = aws.read_all(
        [
            describe_stack(name),
            describe_evidence(aws.incident.id),
            Call(
                "ec2",
                "describe_managed_prefix_lists",
                Filters=[
                    {"Name": "prefix-list-name", "Values": [f"com.amazonaws.{aws.region}.s3"]}
                ],
            ),
        ],
        absent=ABSENT,
    )
    found = prefix_lists.get("PrefixLists", [])
    if not found:
        raise NotContained(f"There is no prefix list of S3 in {aws.region}; the room needs one.")
    evidence = evidence_snapshots(snapshots.get("Snapshots", []), target.id, aws.region)
    return _Found(
        next(iter(stacks_in(stacks)), None),
        _copies(target, Evidence(evidence)),
        found[0]["PrefixListId"],
    )


def _copies(target: Ec2Instance, evidence: Evidence) -> list[Copy]:
    """One for each volume, and for each that was detached since its snapshot was taken."""
    snapshots = {
        volume: snapshot for volume, snapshot in evidence.of_volumes.items() if not snapshot.failed
    }
    volumes = {volume.id: (volume.device, volume.size) for volume in target.volumes}
    gone = {
        snapshot.volume_id: (snapshot.device, snapshot.size)
        for snapshot in snapshots.values()
        if snapshot.volume_id not in volumes
    }
    originals = {**volumes, **gone}
    if len(originals) > len(DEVICES):
        raise NotContained(
            f"{target.id}: {len(originals)} volumes don't fit on one workstation; at most "
            f"{len(DEVICES)} do.",
            advice="Make volumes of the incident's snapshots by hand.",
        )
    return [
        Copy(volume_id, original, device, size, snapshots.get(volume_id))
        for (volume_id, (original, size)), device in zip(originals.items(), DEVICES, strict=False)
    ]


def _say_what_it_means(aws: Aws, copies: Sequence[Copy], params: Room) -> None:
    size = sum(copy.size for copy in copies) + params.disk
    aws.warn(
        f"The clean room costs money by the hour for as long as it stands: one "
        f"{params.instance_type}, three interface endpoints, {size} GiB of gp3. `clampdown reap` "
        f"deletes it {write_duration(params.expires)} after it was made, an undo at once."
    )
    aws.warn(
        f"It stands in the target's own account {aws.account}: whoever holds that account can "
        "reach into it, or may have used up its quotas."
    )
    aws.warn(
        "Don't restart its workstation with copies attached: one made from the same image has "
        "the same file system ids, and could be started from."
    )


def _make(
    aws: Aws,
    target: Ec2Instance,
    name: str,
    found: _Found,
    template: Mapping[str, Any],
    params: Room,
) -> None:
    parameters = {
        "Zone": params.zone or target.zone,
        "Cidr": params.cidr,
        "InstanceType": params.instance_type,
        "Image": params.image.removeprefix(BY_PARAMETER),
        "RootDevice": _root_device(aws, params.image),
        "Disk": str(params.disk),
        "S3PrefixList": found.s3_prefix_list,
        **{f"Snapshot{n}": copy.snapshot_id for n, copy in enumerate(found.copies, start=1)},
    }
    tags = {**aws.incident.marks, EXPIRES_TAG: aws.moment(after=params.expires)}
    aws.wait(
        f"snapshots of {target.id}",
        lambda: _require_evidence(target, found.copies),
        every=LOOK_EVERY,
        within=params.within,
    )
    aws.change(
        Call(
            "cloudformation",
            "create_stack",
            StackName=name,
            # CloudFormation puts the stack's tags on everything in it.
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            TemplateBody=json.dumps(template, separators=(",", ":")),
            Capabilities=["CAPABILITY_IAM"],
            **({"RoleARN": params.service_role} if params.service_role else {}),
        ),
        on=_resource(aws, name),
        undo=Undo(
            Call(
                "cloudformation",
                "delete_stack",
                StackName=Found(describe_stack(name), "Stacks[].StackId"),
            )
        ),
        why=f"make a clean room with copies of {', '.join(c.volume_id for c in found.copies)}",
        accept=("AlreadyExistsException",),
    )


def _require_evidence(target: Ec2Instance, copies: Sequence[Copy]) -> Progress:
    """Volumes come from completed snapshots only. Raises NotContained where one isn't."""
    without = [f"{copy.volume_id} ({copy.original})" for copy in copies if copy.snapshot is None]
    if without:
        raise NotContained(
            f"{target.id}: this incident has no snapshot of {', '.join(without)}. "
            "The clean room was not made.",
            advice="`clampdown resume` takes missing snapshots, where ec2.snapshot is in the "
            "playbook, and then makes the room.",
        )
    incomplete = [
        f"{copy.snapshot.id} of {copy.volume_id} ({copy.snapshot.state})"
        for copy in copies
        if copy.snapshot and copy.snapshot.state != "completed"
    ]
    if incomplete:
        raise NotContained(
            f"{target.id}: not completed: {', '.join(incomplete)}. The clean room was not made.",
            advice="evidence.wait waits for them; `clampdown resume` then makes the room.",
        )
    return Progress(True, f"{len(copies)} of {len(copies)} snapshots completed", 1.0)


def _root_device(aws: Aws, image: str) -> str:
    """The device that the image starts from: only under its own name can it be encrypted."""
    if image == AMAZON_LINUX:
        return "/dev/xvda"
    if image.startswith(BY_PARAMETER):
        parameter = aws.read(Call("ssm", "get_parameter", Name=image.removeprefix(BY_PARAMETER)))
        image = parameter["Parameter"]["Value"]
    images = aws.read(Call("ec2", "describe_images", ImageIds=[image]))["Images"]
    if not images:
        raise NotContained(
            f"The image {image} of the clean room's workstation is not there, or not shared with "
            f"account {aws.account}.",
            advice="Give another one: `with: {image: …}` of clean_room.create.",
        )
    return str(images[0]["RootDeviceName"])


def _deletion(aws: Aws, name: str) -> Change:
    return Change(
        Call("cloudformation", "delete_stack", StackName=name),
        _resource(aws, name),
        Keep("a room that could not be made holds nothing"),
        f"delete the failed stack {name}, so that it can be made again",
    )


def _resource(aws: Aws, name: str) -> Resource:
    return Resource(
        f"arn:{partition_of(aws.region)}:cloudformation:{aws.region}:{aws.account}:stack/{name}/*",
        aws.incident.marks,
    )


class _Watch:
    """Looks at the stack while it is made. ``stack`` is it as it was last seen."""

    def __init__(self, aws: Aws, name: str, total: int) -> None:
        self._aws = aws
        self._name = name
        self._total = total
        self.stack: Stack | None = None

    def look(self) -> Progress:
        """How many of its resources are made. Raises NotContained where it won't be."""
        self.stack = stack = read_stack(self._aws, self._name)
        if stack is None:
            raise NotContained(
                f"The clean room {self._name} was deleted while it was made.",
                advice="See DeleteStack in CloudTrail; `clampdown resume` makes it again.",
            )
        if stack.complete:
            return Progress(True, f"made, `{_connect(self._aws, stack)}` opens a shell in it", 1.0)
        if not stack.creating:
            raise NotContained(
                f"The clean room {self._name} could not be made ({stack.status}): "
                f"{first_failure(self._aws, stack, 'CREATE_FAILED')}",
                advice="Mend that, or give another instance_type or zone where capacity or quotas "
                "are lacking; `clampdown resume` deletes what is left and makes it again.",
            )
        answer = self._aws.read(
            Call("cloudformation", "describe_stack_resources", StackName=self._name)
        )
        done = sum(item["ResourceStatus"] == "CREATE_COMPLETE" for item in answer["StackResources"])
        return Progress(False, f"{done} of {self._total} resources", done / self._total)


def _settled(aws: Aws, name: str) -> Progress:
    stack = read_stack(aws, name)
    done = stack is None or not stack.status.endswith("_IN_PROGRESS")
    return Progress(done, stack.status if stack else "gone")


def _going(aws: Aws, name: str) -> Progress:
    stack = read_stack(aws, name)
    if stack is None or stack.status == "DELETE_COMPLETE":
        return Progress(True, "gone", 1.0)
    if stack.status == "DELETE_FAILED":
        raise NotContained(
            f"The failed stack {name} can't be deleted: {first_failure(aws, stack, 'DELETE_FAILED')}",
            advice="Something else may be in its VPC, such as an endpoint that GuardDuty has put "
            "there. Take it out or delete the stack by hand, then `clampdown resume`.",
        )
    return Progress(False, stack.status)


def _connect(aws: Aws, stack: Stack) -> str:
    return f"aws ssm start-session --region {aws.region} --target {stack.workstation}"


def _outputs(aws: Aws, name: str, stack: Stack | None, copies: Sequence[Copy]) -> dict[str, Any]:
    if stack is None:
        return {"stack": name}
    return {
        "stack": name,
        "stack_id": stack.id,
        "workstation": stack.workstation,
        "connect": _connect(aws, stack),
        "volumes": dict(zip((copy.device for copy in copies), stack.volumes, strict=False)),
        "expires": stack.expires,
    }
