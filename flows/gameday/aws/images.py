"""EC2 images: Amazon's own newest ones are there when somebody asks for them by id."""

from __future__ import annotations

from functools import cache
from typing import Any


def correct() -> None:
    """Have the images exist that the public parameters of Systems Manager name.

    moto would make all of its 600 images, and their snapshots, at every reset.
    """
    from moto.ec2.models import EC2Backend

    describe = EC2Backend.describe_images

    def describe_images(self: Any, ami_ids: Any = None, *rest: Any, **named: Any) -> Any:
        asked = set(ami_ids or (named.get("filters") or {}).get("image-id") or [])
        for image_id in asked & set(_newest(self.region_name)) - set(self.amis):
            _make(self, image_id)
        return describe(self, ami_ids, *rest, **named)

    EC2Backend.describe_images = describe_images
    _registered()


def _registered() -> None:
    """Have an image be of the architecture and root device that it was registered with."""
    from moto.ec2.responses.amis import AmisResponse

    register = AmisResponse.register_image

    def register_image(self: Any) -> Any:
        answer = register(self)
        image = self.ec2_backend.amis[answer.result["ImageId"]]
        # RegisterImage: RootDeviceName, and Architecture with "Default: … x86_64".
        image.root_device_name = self._get_param("RootDeviceName") or image.root_device_name
        image.architecture = self._get_param("Architecture") or "x86_64"
        return answer

    AmisResponse.register_image = register_image


def _make(backend: Any, image_id: str) -> None:
    from moto.core.utils import utcnow
    from moto.ec2.models.amis import Ami

    facts = {**_newest(backend.region_name)[image_id], "owner_alias": "amazon"}
    backend.amis[image_id] = Ami(backend, **{**facts, "creation_date": utcnow()})


@cache
def _newest(region: str) -> dict[str, dict[str, Any]]:
    from moto.utilities.utils import load_resource

    try:
        found = load_resource(f"ec2/resources/latest_amis/{region}.json")
    except FileNotFoundError:
        return {}
    return {item["ami_id"]: item for item in found}
