"""VPCs, subnets and VPC endpoints: what stands in the way of what, and whose interfaces are whose."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws.errors import ec2_error


def correct() -> None:
    """Have endpoints own their interfaces, and nothing be deleted that something is still in."""
    _endpoints()
    _dependencies()


def _endpoints() -> None:
    from moto.ec2.models import EC2Backend

    create = EC2Backend.create_vpc_endpoint

    def create_vpc_endpoint(
        self: Any,
        vpc_id: str,
        service_name: str,
        endpoint_type: str | None,
        policy_document: str | None,
        route_table_ids: list[str],
        subnet_ids: list[str] | None = None,
        security_group_ids: list[str] | None = None,
        private_dns_enabled: bool | None = None,
        **more: Any,
    ) -> Any:
        # "VpcEndpointType: Default: Gateway" (CreateVpcEndpoint).
        kind = endpoint_type or "Gateway"
        vpc = self.get_vpc(vpc_id)
        dns = vpc.enable_dns_support and vpc.enable_dns_hostnames
        if kind == "Interface" and private_dns_enabled and not dns:
            # "To use a private hosted zone, you must set … enableDnsHostnames and enableDnsSupport"
            # (CreateVpcEndpoint, PrivateDnsEnabled).
            raise ec2_error(
                "InvalidParameter",
                "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC "
                f"attributes set to true for {vpc_id}",
            )
        groups = [self.get_security_group_from_id(item) for item in security_group_ids or []]
        if None in groups:
            raise ec2_error(
                "InvalidSecurityGroupId.NotFound",
                f"Not all of the security groups exist: {', '.join(security_group_ids or [])}",
            )
        endpoint = create(
            self,
            vpc_id,
            service_name,
            kind,
            policy_document,
            route_table_ids or [],
            subnet_ids=subnet_ids or [],
            security_group_ids=security_group_ids or [],
            private_dns_enabled=private_dns_enabled,
            **more,
        )
        for eni_id in endpoint.network_interface_ids:
            _give(self.enis[eni_id], endpoint, groups)
        return endpoint

    EC2Backend.create_vpc_endpoint = create_vpc_endpoint

    delete = EC2Backend.delete_vpc_endpoints

    def delete_vpc_endpoints(self: Any, vpce_ids: list[str] | None = None) -> None:
        delete(self, vpce_ids)
        for endpoint_id in vpce_ids or []:
            self.vpc_end_points.pop(endpoint_id, None)

    EC2Backend.delete_vpc_endpoints = delete_vpc_endpoints


def _give(eni: Any, endpoint: Any, groups: list[Any]) -> None:
    """An endpoint's interface is managed by AWS and has the endpoint's groups (PrivateLink guide)."""
    if groups:
        eni._group_set = list(groups)
    eni.private_ip_address = eni.subnet.get_available_subnet_ip(instance=eni)
    eni.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": eni.private_ip_address}]
    eni.description = f"VPC Endpoint Interface {endpoint.id}"
    eni.interface_type = "vpc_endpoint"
    eni.requester_managed = True
    eni.status = "in-use"


def _dependencies() -> None:
    from moto.ec2.models import EC2Backend

    delete_subnet = EC2Backend.delete_subnet

    def delete_empty_subnet(self: Any, subnet_id: str) -> Any:
        # "You must terminate all running instances in the subnet before you can delete the subnet"
        # (DeleteSubnet): any interface is in the way.
        if any(eni.subnet.id == subnet_id for eni in self.enis.values()):
            raise ec2_error(
                "DependencyViolation",
                f"The subnet '{subnet_id}' has dependencies and cannot be deleted.",
            )
        return delete_subnet(self, subnet_id)

    EC2Backend.delete_subnet = delete_empty_subnet

    delete_vpc = EC2Backend.delete_vpc

    def delete_empty_vpc(self: Any, vpc_id: str) -> Any:
        # "You must detach or delete all gateways and resources that are associated with the VPC
        # before you can delete it" (DeleteVpc).
        groups = [group for group in self.groups.get(vpc_id, {}).values() if not group.is_default]
        gateways = [item for item in self.internet_gateways.values() if _in_vpc(item, vpc_id)]
        endpoints = [item for item in self.vpc_end_points.values() if item.vpc_id == vpc_id]
        if groups or gateways or endpoints:
            raise ec2_error(
                "DependencyViolation",
                f"The vpc '{vpc_id}' has dependencies and cannot be deleted.",
            )
        for group in list(self.groups.get(vpc_id, {}).values()):
            # It goes with its VPC; DeleteSecurityGroup alone refuses it.
            group.is_default = False
        deleted = delete_vpc(self, vpc_id)
        for acl_id, acl in list(self.network_acls.items()):
            if acl.vpc_id == vpc_id:
                del self.network_acls[acl_id]
        return deleted

    EC2Backend.delete_vpc = delete_empty_vpc


def _in_vpc(gateway: Any, vpc_id: str) -> bool:
    return gateway.vpc is not None and gateway.vpc.id == vpc_id
