"""Signs enrolments, consents, delegations, agreements and what ends them as src/manual/signing.md describes them, and hands them in. Written from that page and
proto/ alone, with `cryptography`, `securesystemslib` and stock stubs; nothing of the gateway takes part.

usage: sign_consent.py enrol | grant | delegate | agree | withdraw | end   < JSON      prints the envelope as JSON

The JSON has `seed` (hexadecimal), `gateway` (its origin), `at`, and what the document needs; with `submit` (an address, a folder of
certificates, a party) the record is handed in over gRPC, and the answer is printed behind it: the record's id and number, or the
status and details of a refusal.
"""

import hashlib
import json
import pathlib
import sys
import uuid

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
CONSENT = "application/vnd.twinveil.consent+json;v=1"
DELEGATION = "application/vnd.twinveil.delegation+json;v=1"
DELEGATION_END = "application/vnd.twinveil.delegation-end+json;v=1"
AGREEMENT = "application/vnd.twinveil.agreement+json;v=1"
ENROLMENT = "application/vnd.twinveil.enrolment+json;v=1"


def multikey(prefix, key):
    number, text = int.from_bytes(prefix + key, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return "z" + text


def did_of(seed):
    return "did:key:" + multikey(b"\xed\x01", Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def seal_key_of(seed):
    return multikey(b"\xec\x01", X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def signer_of(seed):
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw().hex()
    return CryptoSigner(private, SSlibKey(did_of(seed), "ed25519", "ed25519", {"public": public}))


def sign(kind, document, seeds):
    envelope = Envelope(json.dumps(document).encode(), kind, {})
    for seed in seeds:
        envelope.sign(signer_of(seed))
    return envelope


def enrol(ask, seed):
    document = {"gateway": ask["gateway"], "source": ask["source"], "value": ask["value"], "did": did_of(seed), "at": ask["at"]}
    return sign(ENROLMENT, document, [seed, bytes.fromhex(ask["source_seed"])])


def speaker(ask, seed):
    """Whom it is about, and who signs: the subject, or a delegate or signatory under an `authority`."""
    did = did_of(seed)
    signer = {"key": did, "role": ask.get("role", "subject")}
    if "authority" in ask:
        signer["authority"] = ask["authority"]
    return {"subject": ask.get("subject", did), "signer": signer, "gateway": ask["gateway"], "at": ask["at"]}


def link(ask):
    """The place in the subject's chain."""
    return {"seq": ask.get("seq", 1)} | ({"prev": ask["prev"]} if "prev" in ask else {})


def grant(ask, seed):
    did = did_of(seed)
    recipient = {"spiffe": ask["recipient"], "key": seal_key_of(bytes.fromhex(ask["recipient_seed"]))}
    controller = {"id": "https://hospital.example", "name": "Example Hospital", "address": "Street 1, 12345 Town"}
    controller |= {"contact": "privacy@hospital.example", "type": "Hospital", "role": "DataController"}
    document = {
        **speaker(ask, seed),
        **link(ask),
        "record_id": str(uuid.uuid5(uuid.NAMESPACE_URL, did)),
        "status": "ConsentGiven",
        "method": "signed in a program in Python",
        "expires": ask["expires"],
        "notice": {"uri": "https://hospital.example/privacy", "sha256": hashlib.sha256(b"notice").hexdigest(), "lang": "en"},
        "controllers": [controller],
        "recipients": [recipient],
        "purposes": [ask["purpose"]],
        "storage": {"places": ["DE"], "retention": "P6M"},
        "jurisdiction": ["DE"],
        "withdrawal": {"uri": "https://hospital.example/withdraw", "pre_signed": False},
        "vault_key": seal_key_of(bytes.fromhex(ask["vault_seed"])),
        "rules": ask["rules"],
    }
    return sign(CONSENT, document, [seed, *(bytes.fromhex(also) for also in ask.get("also_signed_by", []))])


def delegate(ask, seed):
    other = bytes.fromhex(ask["delegate_seed"])
    document = {
        **speaker(ask, seed),
        **link(ask),
        "delegate": did_of(other),
        "capacity": "guardian",
        "expires": ask["expires"],
        "rights": ask["rights"],
        "scope": ask["scope"],
        "vault_key": seal_key_of(bytes.fromhex(ask["vault_seed"])),
    }
    return sign(DELEGATION, document, [seed, other])


def agree(ask, seed):
    return sign(AGREEMENT, speaker(ask, seed) | link(ask) | {"rules": ask["rules"]}, [seed])


def withdraw(ask, seed):
    return sign(CONSENT, {"status": "ConsentWithdrawn", **speaker(ask, seed), "withdraws": [ask["record"]]}, [seed])


def end(ask, seed):
    return sign(DELEGATION_END, speaker(ask, seed) | {"ends": [ask["record"]]}, [seed])


def submit(to, envelope):
    import grpc
    from intoto import envelope_pb2
    from twinveil.v1 import consent_pb2, consent_pb2_grpc

    folder = pathlib.Path(to["certs"])
    pem = [(folder / name).read_bytes() for name in ("ca.pem", f"{to['party']}.key", f"{to['party']}.pem")]
    signatures = envelope.signatures.values()
    record = envelope_pb2.Envelope(
        payload=envelope.payload,
        payload_type=envelope.payload_type,
        signatures=[envelope_pb2.Signature(sig=bytes.fromhex(one.signature), keyid=one.keyid) for one in signatures],
    )
    with grpc.secure_channel(to["gateway"], grpc.ssl_channel_credentials(*pem)) as channel:
        try:
            answer = consent_pb2_grpc.ConsentsStub(channel).Submit(consent_pb2.SubmitRequest(record=record), timeout=10)
        except grpc.RpcError as refused:
            return {"status": refused.code().name, "details": refused.details()}
    return {"record": answer.record.hex(), "seq": answer.seq}


def main(what):
    ask = json.load(sys.stdin)
    kinds = {"enrol": enrol, "grant": grant, "delegate": delegate, "agree": agree, "withdraw": withdraw, "end": end}
    envelope = kinds[what](ask, bytes.fromhex(ask["seed"]))
    print(json.dumps(envelope.to_dict()))
    if "submit" in ask:
        answer = submit(ask["submit"], envelope)
        assert "status" in answer or answer["record"] == hashlib.sha256(envelope.payload).hexdigest(), "the record's id is the hash of its payload"
        print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
