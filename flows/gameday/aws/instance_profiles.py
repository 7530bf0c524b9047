"""Instance profiles of EC2 instances: one at a time, replaced under a new association."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws.errors import ec2_error


def correct() -> None:
    """Have an instance show and be found by its profile, and an ended association be gone."""
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociation
    from moto.ec2.models.instances import Instance
    from moto.ec2.utils import filter_dict_attribute_mapping

    # "iam-instance-profile.arn - The instance profile associated with the instance"
    # (DescribeInstances).
    Instance.profile_arn = property(lambda self: (self.iam_instance_profile or {}).get("Arn"))
    filter_dict_attribute_mapping["iam-instance-profile.arn"] = "profile_arn"

    _all_that_are_launched()

    make = IamInstanceProfileAssociation.__init__

    def __init__(
        self: Any, ec2_backend: Any, association_id: str, instance: Any, iam_instance_profile: Any
    ) -> None:
        if instance is not None and instance.state == "terminated":
            raise ec2_error(
                "IncorrectState", f"The instance '{instance.id}' is in state '{instance.state}'."
            )
        make(self, ec2_backend, association_id, instance, iam_instance_profile)
        # Instance.IamInstanceProfile.Id is the profile's id, not the association's.
        instance.iam_instance_profile = {
            "Arn": iam_instance_profile.arn,
            "Id": iam_instance_profile.id,
        }

    IamInstanceProfileAssociation.__init__ = __init__

    # "Replaces an IAM instance profile for the specified running instance … without having to
    # disassociate the existing one first" (ReplaceIamInstanceProfileAssociation); the answer names
    # a new association (its example in the AWS CLI reference).
    def replace(
        self: Any,
        association_id: str,
        iam_instance_profile_name: str | None = None,
        iam_instance_profile_arn: str | None = None,
    ) -> Any:
        known = {
            association.association_id: association
            for association in self.iam_instance_profile_associations.values()
        }
        if association_id not in known:
            raise ec2_error(
                "InvalidAssociationID.NotFound",
                f"The association ID '{association_id}' does not exist",
            )
        instance = known[association_id].instance
        if instance.state != "running":
            raise ec2_error(
                "IncorrectInstanceState", f"The instance '{instance.id}' is not running."
            )
        before = self.iam_instance_profile_associations.pop(instance.id)
        try:
            return self.associate_iam_instance_profile(
                instance.id, iam_instance_profile_name, iam_instance_profile_arn
            )
        except Exception:
            self.iam_instance_profile_associations[instance.id] = before
            raise

    EC2Backend.replace_iam_instance_profile_association = replace

    describe = EC2Backend.describe_iam_instance_profile_associations

    def describe_all(
        self: Any,
        association_ids: list[str],
        filters: Any = None,
        max_results: int | None = None,
        next_token: str | None = None,
    ) -> Any:
        # Who asks for no pages gets all in one (DescribeIamInstanceProfileAssociations, MaxResults);
        # moto gives 100, and no token for the rest.
        most = max_results or max(1, len(self.iam_instance_profile_associations))
        return describe(self, association_ids, filters, most, next_token)

    EC2Backend.describe_iam_instance_profile_associations = describe_all


def _all_that_are_launched() -> None:
    from moto.ec2.responses.instances import InstanceResponse

    run = InstanceResponse.run_instances

    def run_instances(self: Any) -> Any:
        answer = run(self)
        profile = self._get_param("IamInstanceProfile") or {}
        # Every instance of the launch has the profile (RunInstances, IamInstanceProfile); moto gives
        # it to the first.
        for instance in answer.result.instances[1:] if profile else ():
            self.ec2_backend.associate_iam_instance_profile(
                instance.id, profile.get("Name"), profile.get("Arn")
            )
        return answer

    InstanceResponse.run_instances = run_instances
