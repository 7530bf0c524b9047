"""KMS: signatures that verify anywhere, ciphertexts, and keys that can't be used."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from benchmarks.fidelity.account import ACCOUNT_ID, Account
from benchmarks.fidelity.verdicts import Known, Verdicts, check

_ECDSA = "ECDSA_SHA_256"
_SPECS = {
    "RSA_2048": "RSASSA_PSS_SHA_256",
    "RSA_3072": "RSASSA_PKCS1_V1_5_SHA_256",
    "ECC_NIST_P384": "ECDSA_SHA_384",
    "ECC_NIST_EDWARDS25519": "ED25519_SHA_512",
    "ML_DSA_44": "ML_DSA_SHAKE_256",
}


def _signing_key(kms: Any, spec: str = "ECC_NIST_P256") -> str:
    created = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)
    return str(created["KeyMetadata"]["KeyId"])


@check("kms", "signatures")
def _signatures(account: Account, seen: Verdicts) -> None:
    kms = account("kms")
    key = _signing_key(kms)

    def sign(message: bytes, **more: Any) -> bytes:
        answer = kms.sign(KeyId=key, Message=message, SigningAlgorithm=_ECDSA, **more)
        return bytes(answer["Signature"])

    def verify(message: bytes, signature: bytes) -> Any:
        return kms.verify(KeyId=key, Message=message, Signature=signature, SigningAlgorithm=_ECDSA)[
            "SignatureValid"
        ]

    public: Any = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])

    def verifies_anywhere(signature: bytes) -> bool:
        try:
            public.verify(signature, b"m", ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    signature = sign(b"m")
    seen.holds("a signature is verified", verify(b"m", signature))
    seen.refused(
        "the signature of another message",
        "KMSInvalidSignatureException",
        lambda: verify(b"other", signature),
    )
    seen.holds("it verifies by its public key alone", verifies_anywhere(signature))
    digest = hashlib.sha256(b"m").digest()
    of_digest = seen.done("a digest is signed", lambda: sign(digest, MessageType="DIGEST"))
    seen.holds(
        "a digest isn't hashed again", of_digest is not None and verifies_anywhere(of_digest)
    )
    seen.refused(
        "signing with a symmetric key",
        ("InvalidKeyUsageException", "ValidationException"),
        lambda: kms.sign(KeyId=account.ids.key, Message=b"m", SigningAlgorithm=_ECDSA),
    )


@check(
    "kms",
    "kinds of keys",
    known={
        "ML_DSA_44 signs with ML_DSA_SHAKE_256": Known(
            "kms:CreateKey", "nothing here signs with it, and it needs a library of its own"
        )
    },
)
def _kinds(account: Account, seen: Verdicts) -> None:
    kms = account("kms")
    for spec, algorithm in _SPECS.items():

        def signed(spec: str = spec, algorithm: str = algorithm) -> Any:
            given = {
                "KeyId": _signing_key(kms, spec),
                "Message": b"m",
                "SigningAlgorithm": algorithm,
            }
            return kms.verify(**given, Signature=kms.sign(**given)["Signature"])

        seen.done(f"{spec} signs with {algorithm}", signed)

    def authenticated() -> Any:
        key = kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")
        return kms.generate_mac(
            KeyId=key["KeyMetadata"]["KeyId"], Message=b"m", MacAlgorithm="HMAC_SHA_256"
        )

    seen.done("HMAC_256 authenticates with HMAC_SHA_256", authenticated)


@check("kms", "ciphertexts and the states of keys")
def _states(account: Account, seen: Verdicts) -> None:
    kms = account("kms")
    key, context = kms.create_key()["KeyMetadata"]["KeyId"], {"case": "7"}

    def encrypt() -> bytes:
        answer = kms.encrypt(KeyId=key, Plaintext=b"p", EncryptionContext=context)
        return bytes(answer["CiphertextBlob"])

    ciphertext = encrypt()

    def decrypt(context: dict[str, str] = context) -> Any:
        return kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext=context)["Plaintext"]

    seen.refused(
        "another encryption context", "InvalidCiphertextException", lambda: decrypt({"case": "8"})
    )
    seen.holds("a ciphertext is decrypted", decrypt() == b"p")
    kms.disable_key(KeyId=key)
    seen.refused("encrypting with a disabled key", "DisabledException", encrypt)
    seen.refused("decrypting with a disabled key", "DisabledException", decrypt)
    kms.enable_key(KeyId=key)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    seen.refused("a key that is pending deletion", "KMSInvalidStateException", encrypt)


@check("kms", "grants and policies")
def _grants(account: Account, seen: Verdicts) -> None:
    kms, key = account("kms"), account.ids.key
    root = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    policy = {"Version": "2012-10-17", "Statement": [root]}
    grant = seen.done(
        "a grant is created",
        lambda: kms.create_grant(
            KeyId=key,
            GranteePrincipal=f"arn:aws:iam::{ACCOUNT_ID}:role/app-role",
            Operations=["Decrypt"],
        )["GrantId"],
    )
    grants = [item["GrantId"] for item in kms.list_grants(KeyId=key)["Grants"]]
    seen.holds("grants are listed", grants == [grant], grants)
    seen.done("a grant is revoked", lambda: kms.revoke_grant(KeyId=key, GrantId=grant))
    seen.done(
        "a key's policy is replaced",
        lambda: kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy)),
    )
    said = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    seen.holds("and read back", said == policy, said)
