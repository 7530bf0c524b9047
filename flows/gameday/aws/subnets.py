"""Subnets: which of their addresses are free."""

from __future__ import annotations

import ipaddress
from typing import Any

from flows.gameday.aws.errors import ec2_error

# "The first four IP addresses and the last IP address in each subnet CIDR block are not available"
# (Amazon VPC User Guide, "Subnet CIDR blocks").
_FIRST = 4


def correct() -> None:
    """Have addresses be given out again once they are free, and be refused where none is.

    moto gives each out once, and afterwards fails over the end of its own list.
    """
    from moto.ec2.models.instances import Instance
    from moto.ec2.models.subnets import Subnet

    Subnet.next_address = _FIRST

    def get_available_subnet_ip(self: Any, instance: Any) -> str:
        address = _freed(self) or _unused(self)
        if address is None:
            # "InsufficientFreeAddressesInSubnet: The specified subnet does not contain enough free
            # private IP addresses to fulfill your request" (EC2 error codes).
            raise ec2_error(
                "InsufficientFreeAddressesInSubnet",
                f"There are not enough free addresses in subnet '{self.id}' to satisfy the "
                "requested number of instances.",
            )
        self._subnet_ips[address] = instance
        return address

    Subnet.get_available_subnet_ip = get_available_subnet_ip

    # A private address "is released when the instance is terminated" (EC2 User Guide, "EC2 instance
    # IP addressing").
    terminate = Instance.terminate

    def terminate_instance(self: Any) -> Any:
        result = terminate(self)
        for address in self._private_ips:
            self.ec2_backend.get_subnet(self.subnet_id).del_subnet_ip(address)
        self._private_ips = set()
        return result

    Instance.terminate = terminate_instance


def _freed(subnet: Any) -> str | None:
    """The lowest address that was given out and came back."""
    if not subnet._unused_ips:
        return None
    lowest: str = min(subnet._unused_ips, key=ipaddress.ip_address)
    subnet._unused_ips.remove(lowest)
    return lowest


def _unused(subnet: Any) -> str | None:
    """The next address that was never given out."""
    while subnet.next_address < subnet.cidr.num_addresses - 1:
        host = subnet.cidr[subnet.next_address]
        subnet.next_address += 1
        if host not in subnet._reserved_ips and str(host) not in subnet._subnet_ips:
            return str(host)
    return None
