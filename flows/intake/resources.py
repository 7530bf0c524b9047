"""The resources of a finding while it is read, and the rule that they must be at home there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flows.intake import values
from flows.intake.document import ABSENT, Node, shown
from flows.intake.finding import OTHER, FindingRejected, ResourceRef


@dataclass(frozen=True)
class Home:
    """Where a finding is from."""

    partition: str
    account: str
    region: str

    def check_own(self, node: Node, arn: values.Arn) -> None:
        """Refuse an ARN of the finding itself that names another place."""
        for name, own, named in (
            ("partition", self.partition, arn.partition),
            ("account", self.account, arn.account),
            ("Region", self.region, arn.region),
        ):
            if own != named:
                raise node.rejected(
                    f"the finding's {name} is {own}, its ARN's is {named or 'empty'}; "
                    "which one is meant can't be known"
                )

    def check(self, node: Node, arn: values.Arn) -> None:
        """Refuse a resource's ARN that is elsewhere. Global services leave parts empty."""
        for name, own, named in (
            ("partition", self.partition, arn.partition),
            ("account", self.account, arn.account),
            ("Region", self.region, arn.region),
        ):
            if named and own != named:
                raise node.rejected(
                    f"the finding is of {name} {own}, its resource {shown(node.value)} of {named}"
                )


@dataclass
class Resources:
    """Collects the resources of one finding.

    A resource that could become a target must be in the finding's account, Region and partition:
    nobody may point our credentials elsewhere. ``lenient`` is for samples, which are never acted on
    and are full of placeholders: an ARN that is none, or is elsewhere, is left out there.
    """

    home: Home
    lenient: bool
    _found: list[ResourceRef] = field(default_factory=list)

    def add(
        self,
        kind: str,
        name: Node,
        arn: Node,
        *,
        tags: Mapping[str, str] | None = None,
        details: Mapping[str, Node] | None = None,
    ) -> None:
        """Add a resource of any kind but instances and principals.

        Raises FindingRejected where it has no name, or its ARN is malformed or elsewhere.
        """
        self._found.append(
            ResourceRef(
                kind=kind,
                id=name.required_text(f"name of the {kind}"),
                arn=self._arn(arn, strict=kind != OTHER),
                account=self.home.account,
                region=self.home.region,
                tags=tags or {},
                details=_texts(details or {}),
            )
        )

    def add_instance(
        self,
        identity: Node,
        *,
        arn: Node | None = None,
        tags: Mapping[str, str],
        details: Mapping[str, Node] | None = None,
    ) -> None:
        """Add an instance by its id, or by its ARN where the id is absent.

        Raises FindingRejected where the id is malformed, or contradicts the ARN.
        """
        named = self._instance_in(arn) if arn is not None and arn.value is not None else None
        if identity.some_text() is not None or named is None:
            instance = values.instance_id(identity)
            if named is not None and named != instance:
                raise identity.rejected(f"the id is {instance}, the ARN's is {named}")
        else:
            instance = named
        home = self.home
        self._found.append(
            ResourceRef(
                kind="ec2.instance",
                id=instance,
                arn=f"arn:{home.partition}:ec2:{home.region}:{home.account}:instance/{instance}",
                account=home.account,
                region=home.region,
                tags=tags,
                details=_texts(details or {}),
            )
        )

    def add_principal(
        self,
        *,
        name: Node,
        principal_id: Node,
        key_id: Node,
        user_type: Node,
        arn: Node | None = None,
    ) -> None:
        """Add a user, a role or the root user, by name, or what of it there is.

        A block in which all is blank is left out: services acting for themselves have such.
        """
        identity = next(
            (text for node in (name, principal_id, key_id) if (text := node.some_text())), None
        )
        if identity is None:
            return
        self._found.append(
            ResourceRef(
                kind="iam.principal",
                id=identity,
                arn=self._arn(arn if arn is not None else ABSENT, strict=True),
                account=self.home.account,
                region=self.home.region,
                details=_texts(
                    {
                        "user_name": name,
                        "user_type": user_type,
                        "principal_id": principal_id,
                        "access_key_id": key_id,
                    }
                ),
            )
        )

    def check_account(self, node: Node) -> None:
        """Refuse the account id of a resource that isn't the finding's own; absent will do."""
        if node.some_text() is None or self.lenient:
            return
        if values.account(node) != self.home.account:
            raise node.rejected(
                f"the finding is of account {self.home.account}, its resource of {node.value}"
            )

    def in_order(self, primary: str | None) -> tuple[ResourceRef, ...]:
        """All of them, those of the ``primary`` kind first."""
        return tuple(sorted(self._found, key=lambda resource: resource.kind != primary))

    def _arn(self, node: Node, *, strict: bool) -> str | None:
        text = node.some_text()
        if text is None or not strict:
            return text
        try:
            self.home.check(node, values.arn(node))
        except FindingRejected:
            if not self.lenient:
                raise
            return None
        return text

    def _instance_in(self, node: Node) -> str:
        parts = values.arn(node)
        kind, _, identity = parts.resource.partition("/")
        if parts.service != "ec2" or kind != "instance":
            raise node.rejected(f"{shown(node.value)} is not the ARN of an instance")
        if not (parts.region and parts.account):
            raise node.rejected(f"{shown(node.value)} names no account and Region")
        if not self.lenient:
            self.home.check(node, parts)
        return values.instance_id(Node(identity, node.path))


def tags_of(node: Node) -> dict[str, str]:
    """Tags, as a list of pairs (``key`` or ``name``, ``value``) or as one object."""
    if isinstance(node.value, dict):
        return {
            key: text
            for key in node.value
            if (text := Node(node.value[key], f"{node.path}.{key[:80]}").text()) is not None
        }
    tags = {}
    for tag in node.each():
        key = tag.at("key").text()
        key = tag.at("name").text() if key is None else key
        if key is not None:
            tags[key] = tag.at("value").text() or ""
    return tags


def _texts(details: Mapping[str, Node]) -> dict[str, str]:
    return {key: text for key, node in details.items() if (text := node.some_text()) is not None}
