"""KMS: signatures that verify anywhere, and keys that can't be used because of their state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.gameday.aws import operations

_EDWARDS = "ECC_NIST_EDWARDS25519"
_EDDSA = "ED25519_SHA_512"
_SIGNING = "SIGN_VERIFY"
# "You can submit messages of up to 4096 bytes" (Sign).
_LONGEST = 4_096


def correct() -> None:
    """Have digests signed as they are, Ed25519 keys, and keys in the wrong state refused."""
    _signatures()
    _edwards_keys()
    _states()


def _signatures() -> None:
    from moto.kms.responses import KmsResponse

    operations.add(KmsResponse, {"Sign": _sign, "Verify": _verify})


def _sign(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    key = _signing_key(response, asked)
    scheme = _scheme(key, asked)
    return {
        "KeyId": key.arn,
        "Signature": key.private_key.private_key.sign(asked["Message"], *scheme),
        "SigningAlgorithm": asked["SigningAlgorithm"],
    }


def _verify(response: Any, asked: dict[str, Any]) -> Mapping[str, Any]:
    from cryptography.exceptions import InvalidSignature

    key = _signing_key(response, asked)
    scheme = _scheme(key, asked)
    try:
        key.private_key.private_key.public_key().verify(
            asked["Signature"], asked["Message"], *scheme
        )
    except InvalidSignature:
        # "If the signature verification fails, the Verify operation fails with an
        # KMSInvalidSignatureException exception" (Verify).
        raise operations.error("KMSInvalidSignatureException", "") from None
    algorithm = asked["SigningAlgorithm"]
    return {"KeyId": key.arn, "SignatureValid": True, "SigningAlgorithm": algorithm}


def _signing_key(response: Any, asked: Mapping[str, Any]) -> Any:
    response._validate_key_id(asked["KeyId"])
    key = response.kms_backend.describe_key(asked["KeyId"])
    algorithm = asked["SigningAlgorithm"]
    if key.key_usage != _SIGNING or algorithm not in key.signing_algorithms:
        # "The KeyUsage value of the KMS key is incompatible with the API operation" or the
        # algorithm "is incompatible with the type of key material" (InvalidKeyUsageException).
        raise operations.error(
            "InvalidKeyUsageException",
            f"Algorithm {algorithm} and key usage {key.key_usage} are incompatible for key "
            f"{key.arn}.",
        )
    if not 1 <= len(asked["Message"]) <= _LONGEST:
        raise _invalid("Member must have length between 1 and 4096 at 'message'")
    return key


def _scheme(key: Any, asked: Mapping[str, Any]) -> tuple[Any, ...]:
    """What ``sign`` and ``verify`` of a key's own object need to know, after the message.

    "When the value of MessageType is RAW, KMS uses the standard signing algorithm, which begins
    with a hash function. When the value is DIGEST, KMS skips the hashing step" (Sign); moto hashes
    the digest again.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    algorithm, kind = asked["SigningAlgorithm"], asked.get("MessageType") or "RAW"
    if algorithm == _EDDSA:
        if kind != "RAW":
            # "ED25519_SHA_512 signing algorithm requires KMS MessageType:RAW" (Sign).
            raise _invalid(f"{algorithm} requires the message type RAW")
        return ()
    hashed: hashes.HashAlgorithm = {
        "256": hashes.SHA256(),
        "384": hashes.SHA384(),
        "512": hashes.SHA512(),
    }[algorithm[-3:]]
    how: Any = hashed
    if kind == "DIGEST":
        # "the length of the Message value must match the length of hashed messages" (Sign).
        if len(asked["Message"]) != hashed.digest_size:
            raise _invalid(f"Digest is invalid length for algorithm {algorithm}.")
        how = utils.Prehashed(hashed)
    elif kind != "RAW":
        raise _invalid(f"Message type {kind} is incompatible with {algorithm}")
    if algorithm.startswith("ECDSA"):
        return (ec.ECDSA(how),)
    if algorithm.startswith("RSASSA_PKCS1"):
        return padding.PKCS1v15(), how
    # KMS's salt is as long as the digest (KMS Developer Guide, "RSA key specs"); moto's is as long
    # as it can be.
    return padding.PSS(padding.MGF1(hashed), salt_length=hashed.digest_size), how


def _edwards_keys() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from moto.kms import models
    from moto.kms.utils import KeySpec

    class EdwardsPrivateKey:
        """The private key of a key whose KeySpec is ECC_NIST_EDWARDS25519."""

        def __init__(self) -> None:
            self.private_key = ed25519.Ed25519PrivateKey.generate()

        def public_key(self) -> bytes:
            return self.private_key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )

    specs = KeySpec.key_specs
    KeySpec.key_specs = classmethod(lambda cls: sorted([*specs(), _EDWARDS]))
    generate = models.generate_private_key
    models.generate_private_key = lambda spec: (
        EdwardsPrivateKey() if spec == _EDWARDS else generate(spec)
    )
    known = models.Key.signing_algorithms.fget
    models.Key.signing_algorithms = property(
        lambda key: [_EDDSA] if key.key_spec == _EDWARDS else known(key)
    )


def _states() -> None:
    from moto.core.utils import camelcase_to_underscores, get_service_model
    from moto.kms.responses import KmsResponse

    model: Any = get_service_model("kms")
    for name in model.operation_names:
        method = camelcase_to_underscores(name)
        raised = {shape.name for shape in model.operation_model(name).error_shapes}
        # What needs an enabled key says so by its errors ("Key states of KMS keys", KMS Developer
        # Guide); moto lets all of it pass.
        if "DisabledException" in raised and hasattr(KmsResponse, method):
            setattr(KmsResponse, method, _of_enabled_key(getattr(KmsResponse, method)))
    for method in ("enable_key", "disable_key", "schedule_key_deletion"):
        setattr(KmsResponse, method, _of_kept_key(getattr(KmsResponse, method)))

    cancel = KmsResponse.cancel_key_deletion

    def cancel_key_deletion(self: Any) -> Any:
        for key in _keys(self):
            if key.key_state != "PendingDeletion":
                raise _wrong_state(key, "is not pending deletion")
        return cancel(self)

    KmsResponse.cancel_key_deletion = cancel_key_deletion


def _of_enabled_key(method: Any) -> Any:
    def called(self: Any) -> Any:
        for key in _keys(self):
            if key.key_state == "Disabled":
                raise operations.error("DisabledException", f"{key.arn} is disabled.")
            if key.key_state != "Enabled":
                raise _wrong_state(key, "is pending deletion")
        return method(self)

    return called


def _of_kept_key(method: Any) -> Any:
    def called(self: Any) -> Any:
        for key in _keys(self):
            if key.key_state == "PendingDeletion":
                raise _wrong_state(key, "is pending deletion")
        return method(self)

    return called


def _keys(response: Any) -> list[Any]:
    """The keys that a call names, or by which the ciphertext that it brings was encrypted."""
    from moto.kms.exceptions import InvalidCiphertextException
    from moto.kms.utils import _deserialize_ciphertext_blob

    backend = response.kms_backend
    named = [response._get_param(name) for name in ("KeyId", "DestinationKeyId")]
    ids = [backend.any_id_to_key_id(name) for name in named if name]
    ciphertext = response._get_param("CiphertextBlob")
    if ciphertext:
        try:
            ids.append(_deserialize_ciphertext_blob(ciphertext).key_id)
        except Exception:
            raise InvalidCiphertextException from None
    return [backend.keys[key_id] for key_id in ids if key_id in backend.keys]


def _wrong_state(key: Any, why: str) -> Exception:
    return operations.error("KMSInvalidStateException", f"{key.arn} {why}.")


def _invalid(message: str) -> Exception:
    return operations.error("ValidationException", f"1 validation error detected: {message}")
