from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from flows.gameday.aws.server import SimulatedAws
from tests.flows.gameday.aws.answers import refused

Client = Callable[[str], Any]
MESSAGE = b"what was done, and when"


@pytest.fixture
def kms(aws: Client) -> Any:
    return aws("kms")


def _key(kms: Any, spec: str = "SYMMETRIC_DEFAULT") -> str:
    usage = "ENCRYPT_DECRYPT" if spec == "SYMMETRIC_DEFAULT" else "SIGN_VERIFY"
    return str(kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"])


def _verify_offline(kms: Any, key: str, algorithm: str, signature: bytes) -> None:
    """As anyone does who has the public key; raises InvalidSignature."""
    public: Any = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    if algorithm == "ED25519_SHA_512":
        public.verify(signature, MESSAGE)
        return
    hashed = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[
        algorithm[-3:]
    ]
    if algorithm.startswith("ECDSA"):
        public.verify(signature, MESSAGE, ec.ECDSA(hashed))
    elif algorithm.startswith("RSASSA_PSS"):
        salt = padding.PSS(padding.MGF1(hashed), salt_length=hashed.digest_size)
        public.verify(signature, MESSAGE, salt, hashed)
    else:
        public.verify(signature, MESSAGE, padding.PKCS1v15(), hashed)


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [
        ("ECC_NIST_P256", "ECDSA_SHA_256"),
        ("ECC_NIST_P384", "ECDSA_SHA_384"),
        ("RSA_2048", "RSASSA_PSS_SHA_256"),
        ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_512"),
    ],
)
def test_a_signature_of_a_digest_verifies_against_the_message(
    kms: Any, spec: str, algorithm: str
) -> None:
    key = _key(kms, spec)
    digest = hashlib.new(f"sha{algorithm[-3:]}", MESSAGE).digest()

    for kind, message in (("DIGEST", digest), ("RAW", MESSAGE)):
        signature = kms.sign(
            KeyId=key, Message=message, MessageType=kind, SigningAlgorithm=algorithm
        )["Signature"]

        _verify_offline(kms, key, algorithm, signature)
        for said, checked in (("RAW", MESSAGE), ("DIGEST", digest)):
            answer = kms.verify(
                KeyId=key,
                Message=checked,
                MessageType=said,
                Signature=signature,
                SigningAlgorithm=algorithm,
            )
            assert answer["SignatureValid"] is True


def test_an_edwards_key_signs_messages_only(kms: Any) -> None:
    key = _key(kms, "ECC_NIST_EDWARDS25519")

    signature = kms.sign(KeyId=key, Message=MESSAGE, SigningAlgorithm="ED25519_SHA_512")

    _verify_offline(kms, key, "ED25519_SHA_512", signature["Signature"])
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert described["KeySpec"] == "ECC_NIST_EDWARDS25519"
    assert described["SigningAlgorithms"] == ["ED25519_SHA_512"]
    with refused("ValidationException"):
        kms.sign(
            KeyId=key,
            Message=hashlib.sha512(MESSAGE).digest(),
            MessageType="DIGEST",
            SigningAlgorithm="ED25519_SHA_512",
        )


def test_a_signature_of_something_else_is_refused(kms: Any) -> None:
    key = _key(kms, "ECC_NIST_P256")
    signature = kms.sign(KeyId=key, Message=b"other", SigningAlgorithm="ECDSA_SHA_256")

    with refused("KMSInvalidSignatureException"):
        kms.verify(
            KeyId=key,
            Message=MESSAGE,
            Signature=signature["Signature"],
            SigningAlgorithm="ECDSA_SHA_256",
        )


def test_a_digest_of_the_wrong_length_is_refused(kms: Any) -> None:
    with refused("ValidationException", "invalid length"):
        kms.sign(
            KeyId=_key(kms, "ECC_NIST_P256"),
            Message=b"too short",
            MessageType="DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [("SYMMETRIC_DEFAULT", "ECDSA_SHA_256"), ("ECC_NIST_P256", "RSASSA_PSS_SHA_256")],
)
def test_a_key_that_is_not_for_the_algorithm_does_not_sign(
    kms: Any, spec: str, algorithm: str
) -> None:
    with refused("InvalidKeyUsageException"):
        kms.sign(KeyId=_key(kms, spec), Message=MESSAGE, SigningAlgorithm=algorithm)


def _uses(kms: Any) -> dict[str, Callable[[], Any]]:
    """A use of each kind of key, with the keys made beforehand."""
    symmetric, asymmetric = _key(kms), _key(kms, "ECC_NIST_P256")
    kms.create_alias(AliasName="alias/case", TargetKeyId=symmetric)
    ciphertext = kms.encrypt(KeyId=symmetric, Plaintext=b"secret")["CiphertextBlob"]
    return {
        f"encrypt {symmetric}": lambda: kms.encrypt(KeyId="alias/case", Plaintext=b"secret"),
        f"decrypt {symmetric}": lambda: kms.decrypt(CiphertextBlob=ciphertext),
        f"data key {symmetric}": lambda: kms.generate_data_key(KeyId=symmetric, KeySpec="AES_256"),
        f"re-encrypt {symmetric}": lambda: kms.re_encrypt(
            CiphertextBlob=ciphertext, DestinationKeyId=_key(kms)
        ),
        f"sign {asymmetric}": lambda: kms.sign(
            KeyId=asymmetric, Message=MESSAGE, SigningAlgorithm="ECDSA_SHA_256"
        ),
    }


def test_a_disabled_key_can_not_be_used_until_it_is_enabled_again(kms: Any) -> None:
    for name, use in _uses(kms).items():
        key = name.rsplit(" ", 1)[1]
        use()

        kms.disable_key(KeyId=key)
        with refused("DisabledException"):
            use()

        kms.enable_key(KeyId=key)
        use()


def test_a_key_pending_deletion_can_not_be_used_or_enabled(kms: Any) -> None:
    for name, use in _uses(kms).items():
        key = name.rsplit(" ", 1)[1]
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)

        for refused_call in (
            use,
            lambda: kms.enable_key(KeyId=key),  # noqa: B023
            lambda: kms.disable_key(KeyId=key),  # noqa: B023
            lambda: kms.schedule_key_deletion(KeyId=key),  # noqa: B023
        ):
            with refused("KMSInvalidStateException"):
                refused_call()

        kms.cancel_key_deletion(KeyId=key)
        assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
        kms.enable_key(KeyId=key)
        use()


def test_only_a_deletion_that_was_scheduled_can_be_cancelled(kms: Any) -> None:
    with refused("KMSInvalidStateException"):
        kms.cancel_key_deletion(KeyId=_key(kms))


def test_a_key_policy_is_kept(kms: Any) -> None:
    key = _key(kms)
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})

    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)

    assert kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"] == policy


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "RSA_2048"])
def test_keys_come_back_with_what_is_remembered(
    kms: Any, simulated_aws: SimulatedAws, spec: str
) -> None:
    key = _key(kms, spec)
    public = kms.get_public_key(KeyId=key)["PublicKey"]
    memory = simulated_aws.remember()
    kms.disable_key(KeyId=key)

    simulated_aws.recall(memory)

    assert kms.get_public_key(KeyId=key)["PublicKey"] == public
    with refused("NotFoundException"):
        simulated_aws.reset()
        kms.describe_key(KeyId=key)
