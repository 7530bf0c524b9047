"""EC2 network interfaces: whose groups are whose, and what goes with the instance."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws.errors import ec2_error

# "Security groups per network interface: 5" (Amazon VPC quotas).
GROUPS_PER_INTERFACE = 5
_ATTRIBUTES = (
    "Attachment",
    "ConnectionTrackingSpecification",
    "Description",
    "Groups",
    "SourceDestCheck",
)


def correct() -> None:
    """Have interfaces carry their own groups, and refuse groups that can't be put on them."""
    _groups_of_their_own()
    _attributes()
    _instances_groups()
    _detaching_and_deleting()
    _elastic_addresses()


def _groups_of_their_own() -> None:
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface
    from moto.ec2.models.instances import Instance

    # An interface has the groups that were put on it (NetworkInterface.Groups); moto adds those of
    # the instance.
    NetworkInterface.group_set = property(lambda eni: eni._group_set)

    prepare = Instance.prep_nics

    def prep_nics(self: Any, nic_spec: list[dict[str, Any]], *rest: Any, **named: Any) -> Any:
        brought = {nic.get("NetworkInterfaceId") for nic in nic_spec}
        kept = {
            int(nic.get("DeviceIndex", 0))
            for nic in nic_spec
            if nic.get("DeleteOnTermination") is False
        }
        prepare(self, nic_spec, *rest, **named)
        for index, eni in self.nics.items():
            # Interfaces made at launch are deleted with the instance unless told otherwise (EC2
            # User Guide, "Delete a network interface … on termination").
            if eni.id not in brought and index not in kept:
                eni.delete_on_termination = True
        primary = self.nics.get(0)
        if primary is not None:
            # "The security groups for the instance" are those of its primary interface (Instance).
            self.security_groups = list(primary._group_set)

    Instance.prep_nics = prep_nics

    create = EC2Backend.create_network_interface

    def create_network_interface(
        self: Any, subnet: Any, *rest: Any, group_ids: Any = None, **named: Any
    ) -> Any:
        # moto makes a group of that id where there is none.
        if len(rest) > 2:  # as the API's handler passes them, by position
            group_ids = rest[2]
        vpc_id = subnet.vpc_id if hasattr(subnet, "vpc_id") else self.get_subnet(subnet).vpc_id
        found = _groups(self, list(dict.fromkeys(group_ids or [])))
        for group in found:
            # "You can't specify a security group and subnet that are in different VPCs" (EC2 error
            # codes, InvalidParameter).
            if group.vpc_id != vpc_id:
                raise ec2_error(
                    "InvalidParameter",
                    f"Security group {group.id} and subnet {getattr(subnet, 'id', subnet)} belong "
                    "to different networks.",
                )
        if len(rest) > 2:
            rest = (*rest[:2], [group.id for group in found], *rest[3:])
            return create(self, subnet, *rest, **named)
        return create(self, subnet, *rest, group_ids=[group.id for group in found], **named)

    EC2Backend.create_network_interface = create_network_interface

    values = NetworkInterface.get_filter_value

    def get_filter_value(self: Any, filter_name: str, method_name: str | None = None) -> Any:
        # Filters of DescribeNetworkInterfaces: all addresses count, not only the primary one.
        match filter_name:
            case "addresses.private-ip-address":
                return [item["PrivateIpAddress"] for item in self.private_ip_addresses]
            case "status":
                return self.status
            case "interface-type":
                return self.interface_type
            case "requester-managed":
                return str(bool(self.requester_managed)).lower()
            case "attachment.device-index":
                return None if self.device_index is None else str(self.device_index)
            case "attachment.status":
                return None if self.attachment is None else self.attachment.status
        return values(self, filter_name, method_name)

    NetworkInterface.get_filter_value = get_filter_value


def _attributes() -> None:
    from moto.core.responses import EmptyResult
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface
    from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces

    NetworkInterface.connection_tracking_configuration = None

    def modify_network_interface_attribute(self: Any) -> Any:
        eni = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        given = {name: self._get_param(name) for name in _ATTRIBUTES}
        given = {name: value for name, value in given.items() if value not in (None, [], {})}
        # "You can specify only one attribute at a time" (ModifyNetworkInterfaceAttribute).
        if len(given) > 1:
            raise ec2_error(
                "InvalidParameterCombination",
                "Multiple attributes specified: " + ", ".join(sorted(given)),
            )
        if eni.requester_managed:
            # "Requester-managed network interfaces … you can't modify" (EC2 User Guide).
            raise ec2_error(
                "OperationNotPermitted",
                f"You do not have permission to modify the network interface '{eni.id}'.",
            )
        for name, value in given.items():
            _set(eni, name, value)
        return EmptyResult()

    ElasticNetworkInterfaces.modify_network_interface_attribute = modify_network_interface_attribute


def _set(eni: Any, name: str, value: Any) -> None:
    match name:
        case "Groups":
            found = _groups(eni.ec2_backend, value)
            # "InvalidGroup.NotFound … in a different VPC" (EC2 error codes).
            if any(group.vpc_id != eni.vpc_id for group in found):
                raise ec2_error(
                    "InvalidGroup.NotFound",
                    "You have specified two resources that belong to different networks.",
                )
            eni._group_set = found
            if eni.instance is not None and eni.device_index == 0:
                eni.instance.security_groups = list(eni._group_set)
        case "Attachment":
            if value.get("AttachmentId") != eni.attachment_id:
                raise ec2_error(
                    "InvalidAttachmentID.NotFound",
                    f"The attachment ID '{value.get('AttachmentId')}' does not exist",
                )
            if value.get("DeleteOnTermination") is not None:
                eni.delete_on_termination = value["DeleteOnTermination"]
        case "ConnectionTrackingSpecification":
            eni.connection_tracking_configuration = {
                **(eni.connection_tracking_configuration or {}),
                **value,
            }
        case "Description":
            eni.description = value.get("Value", "")
        case "SourceDestCheck":
            eni.source_dest_check = value.get("Value")


def _instances_groups() -> None:
    from moto.ec2.models import EC2Backend

    def modify_instance_security_groups(self: Any, instance_id: str, group_ids: list[str]) -> Any:
        instance = self.get_instance(instance_id)
        if not group_ids:
            raise ec2_error("MissingParameter", "The request must contain an attribute to modify.")
        # "… can result in an error if the instance has more than one ENI" (ModifyInstanceAttribute).
        if len(instance.nics) > 1:
            raise ec2_error(
                "InvalidInstanceID",
                f"There are multiple interfaces attached to instance '{instance_id}'. Please "
                "specify an interface ID for the operation instead.",
            )
        for eni in instance.nics.values():
            _set(eni, "Groups", group_ids)
        return instance

    EC2Backend.modify_instance_security_groups = modify_instance_security_groups


def _detaching_and_deleting() -> None:
    from moto.ec2.models import EC2Backend
    from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces

    detach = EC2Backend.detach_network_interface

    def detach_network_interface(self: Any, attachment_id: str) -> None:
        # "You can't detach a primary network interface" (EC2 User Guide, network interfaces).
        for eni in self.enis.values():
            if eni.attachment_id == attachment_id and eni.device_index == 0:
                raise ec2_error(
                    "OperationNotPermitted",
                    "The network interface at device index 0 cannot be detached.",
                )
        detach(self, attachment_id)

    EC2Backend.detach_network_interface = detach_network_interface

    delete = ElasticNetworkInterfaces.delete_network_interface

    def delete_network_interface(self: Any) -> Any:
        # "You must detach the network interface before you can delete it" (DeleteNetworkInterface).
        eni = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        if eni.instance is not None:
            raise ec2_error(
                "InvalidParameterValue",
                f"Network interface '{eni.id}' is currently in use.",
            )
        return delete(self)

    ElasticNetworkInterfaces.delete_network_interface = delete_network_interface


def _elastic_addresses() -> None:
    from moto.ec2.models import EC2Backend

    associate = EC2Backend.associate_address

    def associate_address(self: Any, *arguments: Any, **named: Any) -> Any:
        address = associate(self, *arguments, **named)
        # NetworkInterfacePrivateIpAddress.Association; moto has it on the interface only.
        if address.eni is not None:
            _primary(address.eni)["Association"] = {
                "AllocationId": address.allocation_id,
                "AssociationId": address.association_id,
                "IpOwnerId": self.account_id,
                "PublicIp": address.public_ip,
            }
        return address

    EC2Backend.associate_address = associate_address

    disassociate = EC2Backend.disassociate_address

    def disassociate_address(
        self: Any, address: str | None = None, association_id: str | None = None
    ) -> None:
        found = (
            self.address_by_association([association_id])
            if association_id
            else self.address_by_ip([address])
        )
        for eip in found:
            if eip.eni is not None:
                _primary(eip.eni).pop("Association", None)
        disassociate(self, address=address, association_id=association_id)

    EC2Backend.disassociate_address = disassociate_address


def _primary(eni: Any) -> dict[str, Any]:
    found: dict[str, Any] = next(
        item for item in eni.private_ip_addresses if item.get("Primary", True)
    )
    return found


def _groups(backend: Any, ids: list[str]) -> list[Any]:
    found = []
    for group_id in ids:
        group = backend.get_security_group_from_id(group_id)
        if group is None:
            raise ec2_error(
                "InvalidGroup.NotFound", f"The security group '{group_id}' does not exist"
            )
        found.append(group)
    if len(found) > GROUPS_PER_INTERFACE:
        raise ec2_error(
            "SecurityGroupsPerInterfaceLimitExceeded",
            f"An interface can have at most {GROUPS_PER_INTERFACE} security groups.",
        )
    return found
