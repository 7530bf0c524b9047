"""Private addresses of instances and interfaces, and the Elastic IP addresses in front of them."""

from __future__ import annotations

from typing import Any

from flows.gameday.aws.errors import ec2_error


def correct() -> None:
    """Have interfaces take addresses that are free, and launches be refused where too few are."""
    _interfaces()
    _launches()
    _elastic()


def _interfaces() -> None:
    from moto.ec2.models import EC2Backend

    create = EC2Backend.create_network_interface

    def create_network_interface(
        self: Any,
        subnet: Any,
        private_ip_address: Any = None,
        private_ip_addresses: Any = None,
        *rest: Any,
        **named: Any,
    ) -> Any:
        found = subnet if hasattr(subnet, "vpc_id") else self.get_subnet(subnet)
        taken = None
        if not private_ip_address and not private_ip_addresses:
            # "If you don't specify an IPv4 address, Amazon EC2 selects one for you from the
            # subnet's IPv4 CIDR range" (CreateNetworkInterface); moto's may be in use already.
            taken = private_ip_address = found.get_available_subnet_ip(None)
        try:
            eni = create(self, found, private_ip_address, private_ip_addresses, *rest, **named)
        except Exception:
            if taken is not None:
                found.del_subnet_ip(taken)
            raise
        for item in eni.private_ip_addresses:
            found._subnet_ips.setdefault(item["PrivateIpAddress"], eni)
        return eni

    EC2Backend.create_network_interface = create_network_interface

    delete = EC2Backend.delete_network_interface

    def delete_network_interface(self: Any, eni_id: str) -> None:
        eni = self.enis.get(eni_id)
        delete(self, eni_id)
        for item in eni.private_ip_addresses:
            eni.subnet.del_subnet_ip(item["PrivateIpAddress"])

    EC2Backend.delete_network_interface = delete_network_interface


def _launches() -> None:
    from moto.ec2.models import EC2Backend

    run = EC2Backend.run_instances

    def run_instances(self: Any, image_id: str, count: int, *rest: Any, **named: Any) -> Any:
        given = [named, *named.get("nics", [])]
        subnets = [item.get("subnet_id") or item.get("SubnetId") for item in given]
        for subnet in (self.get_subnet(item) for item in dict.fromkeys(subnets) if item):
            if subnet._available_ip_addresses - len(subnet._subnet_ips) < count:
                # Before any is launched (EC2 error codes).
                raise ec2_error(
                    "InsufficientFreeAddressesInSubnet",
                    f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the "
                    "requested number of instances.",
                )
        return run(self, image_id, count, *rest, **named)

    EC2Backend.run_instances = run_instances


def _elastic() -> None:
    from moto.ec2.models.elastic_ip_addresses import ElasticAddress

    def instance_id(address: Any) -> str:
        # "The ID of the instance that the address is associated with (if any)" (Address); moto
        # knows it only of addresses that were associated with the instance itself.
        holder = address.eni.instance if address.eni else address.instance
        return str(holder.id) if holder else ""

    ElasticAddress.instance_id = property(instance_id)

    values = ElasticAddress.get_filter_value

    def get_filter_value(self: Any, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name == "instance-id":
            return self.instance_id or None
        return values(self, filter_name, method_name)

    ElasticAddress.get_filter_value = get_filter_value
