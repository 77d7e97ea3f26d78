"""Opens the vectors of tests/vectors/release-v1.json as a recipient would that kept a stream. Written from src/manual/sealed.md and
src/manual/signing.md alone, on examples/sealed.py, which opens what is sealed for a key of one's own.

usage: open_release.py FILE      needs `cryptography`, `protobuf` and `pyhpke`
"""

import base64
import json
import re
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey, PyHPKEError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import sealed  # noqa: E402

RELEASE = "application/vnd.twinveil.release+json;v=1"
MEMBERS = {"gateway", "subject", "recipient", "key", "epochs", "at"}
EPOCH = {"view", "slot", "epoch", "wrap"}


class NoRelease(Exception):
    """Not to be believed, and the code."""


def once(pairs):
    """A JSON object in which no member stands twice."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise NoRelease("TV-C06")
    return dict(pairs)


def read(envelope, origin):
    """A release that its subject signed for this gateway's frames."""
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    if kind != RELEASE:
        raise NoRelease("TV-C03")
    document = json.loads(payload, object_pairs_hook=once)
    if set(document) != MEMBERS or any(set(epoch) != EPOCH for epoch in document["epochs"]):
        raise NoRelease("TV-C06")
    if not 1 <= len(document["epochs"]) <= 200:
        raise NoRelease("TV-C07")
    for epoch in document["epochs"]:
        if not re.fullmatch("[0-9a-f]{32}", epoch["view"]) or len(base64.b64decode(epoch["wrap"])) != 80:
            raise NoRelease("TV-C07")
    datetime.strptime(document["at"].removesuffix("Z").split(".")[0], "%Y-%m-%dT%H:%M:%S")
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    good = set()
    for signature in envelope["signatures"]:
        try:
            Ed25519PublicKey.from_public_bytes(sealed.key_of(signature["keyid"])).verify(base64.b64decode(signature["sig"]), signed)
            good.add(signature["keyid"])
        except InvalidSignature:
            continue
    if not good:
        raise NoRelease("TV-C04")
    if document["subject"] not in good:
        raise NoRelease("TV-C05")
    if document["gateway"] != origin:
        raise NoRelease("TV-C12")
    return document


def announcements(file, case, epoch):
    """The members of each EpochKey, by the numbers in the page's table."""
    for slot in epoch["slots"]:
        made = slot["announcement"]
        signatures = [SimpleNamespace(sig=base64.b64decode(one["sig"])) for one in made["signatures"]]
        payload = base64.b64decode(made["payload"])
        envelope = SimpleNamespace(payload=payload, payload_type=made["payloadType"], signatures=signatures)
        found = {}
        for number, value, record in sealed.records(sealed.verify(envelope, file["gateway"]["did"])):
            _, at = sealed.read_varint(record, 0)
            found.setdefault(number, []).append(sealed.read_varint(record, at)[0] if value is None else value)
        names = ["view_id", "slot", "epoch", "suite", "commit", "wraps", "origin", "schema_fingerprint"]
        key = {name: found.get(number, [0])[0] for number, name in enumerate(names, 1)}
        key |= {"wraps": found.get(6, []), "origin": key["origin"].decode()}
        told = (file["origin"], file["view_id"], file["schema_fingerprint"], case["suite"], epoch["epoch"], slot["slot"])
        assert told == (key["origin"], key["view_id"].hex(), key["schema_fingerprint"].hex(), key["suite"], key["epoch"], key["slot"])
        yield key


def seed_of(release, key, private_key):
    """The seed of an epoch that a release lets this key open, or None."""
    name = key["origin"].encode()
    info = b"twinveil/sealed/v1\0" + len(name).to_bytes(4, "big") + name + key["view_id"] + key["slot"].to_bytes(4, "big")
    info += key["epoch"].to_bytes(8, "big") + key["suite"].to_bytes(2, "big") + key["schema_fingerprint"]
    hpke = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)
    own = KEMKey.from_pyca_cryptography_key(X25519PrivateKey.from_private_bytes(private_key))
    for one in release["epochs"]:
        if (one["view"], one["slot"], one["epoch"]) != (key["view_id"].hex(), key["slot"], key["epoch"]):
            continue
        wrap = base64.b64decode(one["wrap"])
        try:
            context = hpke.create_recipient_context(wrap[:32], own, info=b"twinveil/release/v1\0" + info)
            seed = context.open(wrap[32:], aad=key["commit"])
        except PyHPKEError:
            continue
        if HKDF(SHA256(), 32, salt=info, info=b"commit").derive(seed) == key["commit"]:
            return info, seed
    return None


def view_of(file, case, epoch, release):
    """The recipient's view of one epoch, with what the release adds; and which slots that are."""
    private_key, added = bytes.fromhex(file["recipient"]["private_key"]), []
    view = sealed.View([private_key])
    for key in announcements(file, case, epoch):
        own = view.announce(**key)
        found = None if own or release is None else seed_of(release, key, private_key)
        if found:
            kid = key["slot"] << 8 | key["epoch"] % 256
            view.epochs[kid] = sealed.Epoch(found[0], key["suite"], kid, found[1])
            added.append([key["slot"], key["epoch"]])
    return view, added


def check(file, case):
    checked, released = 0, []
    release = read(case["release"], file["origin"])
    assert release["subject"] == file["subject"]["did"] and release["key"] == file["recipient"]["public_key"]
    for epoch in case["epochs"]:
        before, _ = view_of(file, case, epoch, None)
        after, added = view_of(file, case, epoch, release)
        released += added
        for frame in epoch["frames"]:
            sent = bytes.fromhex(frame["sent"])
            assert before.open(sent).hex() == frame["before"], (case["name"], epoch["epoch"])
            assert after.open(sent).hex() == frame["after"], (case["name"], epoch["epoch"])
            checked += 2
    assert released == case["released"], (case["name"], released)
    first = next(epoch for epoch in case["epochs"] if epoch["epoch"] == case["released"][0][1])
    for one in case["refused"]:
        try:
            assert not view_of(file, case, first, read(one["release"], file["origin"]))[1], (case["name"], one["why"])
            code = None
        except NoRelease as refusal:
            code = str(refusal)
        assert code == one["code"], (case["name"], one["why"], code)
        checked += 1
    return checked


def main(path):
    file = json.loads(Path(path).read_text(encoding="utf-8"))
    print(f"{sum(check(file, case) for case in file['cases'])} checked")


main(sys.argv[1])
