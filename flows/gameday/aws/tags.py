"""Tags of EC2's resources: what can be tagged, and with which keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.gameday.aws.errors import ec2_error

# "Maximum key length: 128 Unicode characters", "Maximum value length: 256 Unicode characters" (EC2
# User Guide, "Tag restrictions").
_KEY_CHARACTERS = 128
_VALUE_CHARACTERS = 256
# Where moto keeps what it doesn't look for before it is tagged, by the beginning of the ids; with
# the error where there is none (EC2 error codes).
_RESOURCES = {
    "acl": ("network_acls", "InvalidNetworkAclID.NotFound"),
    "eni": ("enis", "InvalidNetworkInterfaceID.NotFound"),
    "vpce": ("vpc_end_points", "InvalidVpcEndpointId.NotFound"),
}


def correct() -> None:
    """Refuse tags of resources that aren't there, and tags that no resource can have; and have a
    resource's own tags be looked up."""
    _resources()
    _keys_and_values()
    _own()


def _resources() -> None:
    from moto.ec2.models import EC2Backend

    exist = EC2Backend.do_resources_exist

    def do_resources_exist(self: Any, resource_ids: list[str]) -> bool:
        others = []
        for resource_id in resource_ids:
            kind = resource_id.partition("-")[0]
            if kind == "i":
                self.get_instance(resource_id)
            elif kind in _RESOURCES:
                kept, code = _RESOURCES[kind]
                if resource_id not in getattr(self, kept):
                    raise ec2_error(code, f"The ID '{resource_id}' does not exist")
            else:
                others.append(resource_id)
        return bool(exist(self, others))

    EC2Backend.do_resources_exist = do_resources_exist


def _keys_and_values() -> None:
    from moto.ec2.responses._base_response import EC2BaseResponse
    from moto.ec2.responses.tags import TagResponse

    create = TagResponse.create_tags

    def create_tags(self: Any) -> Any:
        _check({tag["Key"]: tag.get("Value") for tag in self._get_param("Tags", [])})
        return create(self)

    TagResponse.create_tags = create_tags

    # What AWS itself tags, moto's services tag without asking.
    parse = EC2BaseResponse._parse_tag_specification

    def parse_tag_specification(self: Any, expected_type: str | None = None) -> Any:
        parsed = parse(self, expected_type)
        for tags in parsed.values():
            _check(tags)
        return parsed

    EC2BaseResponse._parse_tag_specification = parse_tag_specification


def _own() -> None:
    from moto.ec2.models.core import TaggedEC2Resource
    from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

    def get_tags(self: Any) -> list[dict[str, str]]:
        # moto looks through the tags of all resources for those of one: whoever filters a thousand
        # snapshots by their tags has it look at a million.
        if not self.id:
            return []
        tags = self.ec2_backend.tags.get(self.id)
        if not tags:
            return []
        kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "")
        return [
            {"resource_id": self.id, "key": key, "value": value, "resource_type": kind}
            for key, value in tags.items()
        ]

    TaggedEC2Resource.get_tags = get_tags


def _check(tags: Mapping[str, str | None]) -> None:
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise _invalid("Tag keys starting with 'aws:' are reserved for internal use")
        if len(key) > _KEY_CHARACTERS:
            raise _invalid(f"Tag key exceeds the maximum length of {_KEY_CHARACTERS} characters")
        if len(value or "") > _VALUE_CHARACTERS:
            raise _invalid(
                f"Tag value exceeds the maximum length of {_VALUE_CHARACTERS} characters"
            )


def _invalid(message: str) -> Exception:
    return ec2_error("InvalidParameterValue", message)
