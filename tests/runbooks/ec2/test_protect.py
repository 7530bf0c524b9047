"""``ec2.protect``: what can be protected is, what can't be is said, and undo restores each."""

from __future__ import annotations

import pytest

from runbooks.calls import Call
from runbooks.ec2.protect import ProtectInstance
from runbooks.errors import NotContained
from runbooks.step import NoParams
from runbooks.targets.instance import Protection, Scaling
from tests.runbooks.instances import INSTANCE, Plan, instance, interface, membership, volume

PROTECTED = Protection(termination=True, stop=True, shutdown_behavior="stop")


def modify(**attribute: object) -> Call:
    return Call("ec2", "modify_instance_attribute", InstanceId=INSTANCE, **attribute)


def test_each_attribute_is_a_call_of_its_own() -> None:
    target = instance(facts=[Protection(False, False, "terminate")])

    assert Plan(ProtectInstance, target).calls == [
        modify(DisableApiTermination={"Value": True}),
        modify(DisableApiStop={"Value": True}),
        modify(InstanceInitiatedShutdownBehavior={"Value": "stop"}),
    ]


def test_undo_turns_off_only_what_was_off_before() -> None:
    target = instance(facts=[Protection(True, False, "terminate")])

    undos = [undo.call for c in Plan(ProtectInstance, target).changes for undo in c.undos]

    assert undos == [
        modify(DisableApiStop={"Value": False}),
        modify(InstanceInitiatedShutdownBehavior={"Value": "terminate"}),
    ]


def test_an_instance_that_is_protected_already_is_left_alone() -> None:
    target = instance(
        volumes=[volume(delete_on_termination=False)],
        interfaces=[interface(delete_on_termination=False)],
        facts=[PROTECTED, Scaling(membership(protected=True))],
    )

    assert Plan(ProtectInstance, target).calls == []


def test_all_volumes_are_kept_by_one_call_that_names_delete_on_termination() -> None:
    target = instance(
        volumes=[
            volume(0, "/dev/xvda"),
            volume(1, "/dev/sdf", delete_on_termination=False),
            volume(2, "/dev/sdg"),
        ],
        facts=[PROTECTED],
    )

    (change,) = Plan(ProtectInstance, target).changes

    def mappings(delete: bool) -> list[dict[str, object]]:
        return [
            {"DeviceName": device, "Ebs": {"DeleteOnTermination": delete}}
            for device in ("/dev/xvda", "/dev/sdg")
        ]

    assert change.call == modify(BlockDeviceMappings=mappings(False))
    assert [undo.call for undo in change.undos] == [modify(BlockDeviceMappings=mappings(True))]


def test_every_interface_is_kept_through_its_attachment() -> None:
    target = instance(interfaces=[interface(0), interface(1)], facts=[PROTECTED])

    calls = Plan(ProtectInstance, target).calls

    assert [call.params["Attachment"] for call in calls] == [
        {"AttachmentId": eni.attachment_id, "DeleteOnTermination": False}
        for eni in target.network_interfaces
    ]


def test_interfaces_and_volumes_that_a_service_manages_are_named_and_left() -> None:
    target = instance(
        volumes=[volume(managed=True)], interfaces=[interface(managed=True)], facts=[PROTECTED]
    )

    plan = Plan(ProtectInstance, target)

    assert plan.calls == []
    assert target.volumes[0].id in plan.warnings
    assert target.network_interfaces[0].id in plan.warnings


def test_a_spot_instance_is_reported_as_evidence_at_risk_and_its_volumes_are_kept() -> None:
    target = instance(spot=True, volumes=[volume()], facts=[Protection(False, False, "terminate")])

    plan = Plan(ProtectInstance, target)

    assert list(plan.attributes()) == ["BlockDeviceMappings"]
    assert "Evidence at risk" in plan.warnings
    assert "Spot" in plan.warnings
    kept = instance(
        spot=True,
        volumes=[volume(delete_on_termination=False)],
        facts=[Protection(False, False, "terminate")],
    )
    verify(kept)


def test_an_instance_store_root_gets_no_stop_protection_and_a_warning() -> None:
    target = instance(instance_store=True, facts=[Protection(False, False, "terminate")])

    plan = Plan(ProtectInstance, target)

    assert list(plan.attributes()) == ["DisableApiTermination"]
    assert "instance store" in plan.warnings


def test_a_member_in_service_is_protected_from_scale_in() -> None:
    target = instance(facts=[PROTECTED, Scaling(membership())])

    (change,) = Plan(ProtectInstance, target).changes

    assert change.call == Call(
        "autoscaling",
        "set_instance_protection",
        AutoScalingGroupName="web",
        InstanceIds=[INSTANCE],
        ProtectedFromScaleIn=True,
    )
    assert change.undos[0].call.params["ProtectedFromScaleIn"] is False


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("Terminating:Wait", "already terminating"),
        ("Warmed:Stopped", "not in service"),
        ("Pending:Wait", "not in service"),
        ("Standby", ""),
    ],
)
def test_a_member_out_of_service_is_not_asked_to_be_protected(state: str, said: str) -> None:
    plan = Plan(ProtectInstance, instance(facts=[PROTECTED, Scaling(membership(state))]))

    assert plan.calls == []
    assert said in plan.warnings
    assert bool(plan.warnings) == bool(said)


@pytest.mark.parametrize(
    ("lacking", "target"),
    [
        ("termination protection", instance(facts=[Protection(False, True, "stop")])),
        ("stop protection", instance(facts=[Protection(True, False, "stop")])),
        ("shutdown behaviour", instance(facts=[Protection(True, True, "terminate")])),
        ("vol-", instance(facts=[PROTECTED], volumes=[volume()])),
        ("eni-", instance(facts=[PROTECTED], interfaces=[interface()])),
        ("scale-in", instance(facts=[PROTECTED, Scaling(membership())])),
    ],
)
def test_verify_names_what_is_lacking(lacking: str, target: object) -> None:
    with pytest.raises(NotContained, match=lacking):
        verify(target)


def verify(target: object) -> None:
    # It looks at facts only, so there is no AWS to give.
    ProtectInstance().verify(None, target, NoParams())  # type: ignore[arg-type]


def test_it_never_blocks_what_comes_after_it() -> None:
    assert ProtectInstance.on_failure == "continue"
    assert not ProtectInstance.disruptive
