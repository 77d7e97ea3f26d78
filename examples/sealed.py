"""Opens the sealed groups of a gateway's frames, as src/manual/sealed.md describes them. Copy it; needs `cryptography` and `pyhpke`.

    view = sealed.View([private_key])                   # X25519 private keys, 32 bytes each; one View per view of a stream
    payload = sealed.verify(envelope, gateway_did)      # the payload of an announcement, or an exception
    view.announce(origin=..., view_id=..., ...)         # the members of that EpochKey
    message = view.open(frame)                          # the message with everything in it that the keys open

Anything that is not as it should be raises `Refused`. It does not parse your messages: that is for your stubs, afterwards.
"""

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey, PyHPKEError

ANNOUNCEMENT = "application/vnd.twinveil.epoch-key;v=1"
SUITES = {0xF001: (ChaCha20Poly1305, SHA256), 0x0005: (AESGCM, SHA512)}
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
WINDOW = 64


class Refused(Exception):
    """Not to be believed, and why."""


def key_of(did):
    """The 32 bytes of the Ed25519 key in a did:key."""
    number = 0
    for char in did.removeprefix("did:key:z"):
        number = number * 58 + BASE58.find(char)
    if not did.startswith("did:key:z") or number >> 256 != 0xED01 or not set(did[9:]) <= set(BASE58):
        raise Refused(f"no did:key with an Ed25519 key: {did}")
    return number.to_bytes(34, "big")[2:]


def verify(envelope, gateway):
    """The payload of an announcement (a DSSE envelope with `payload`, `payload_type`, `signatures`) that the gateway signed."""
    kind = envelope.payload_type.encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(envelope.payload), envelope.payload)
    key = Ed25519PublicKey.from_public_bytes(key_of(gateway))
    for signature in envelope.signatures:
        try:
            key.verify(signature.sig, signed)
        except InvalidSignature:
            continue
        if envelope.payload_type != ANNOUNCEMENT:
            raise Refused(f"no announcement but {envelope.payload_type}")
        return envelope.payload
    raise Refused("the announcement is not signed by the gateway")


class Epoch:
    """The key of one slot for one epoch."""

    def __init__(self, info, suite, kid, seed):
        self.kid, self.next, self.seen = kid, 0, set()
        cipher, hash_of = SUITES[suite]
        extract = HMAC(b"", hash_of())
        extract.update(HKDF(SHA256(), 32, salt=info, info=b"base_key").derive(seed))
        secret, tail = extract.finalize(), kid.to_bytes(8, "big") + suite.to_bytes(2, "big")
        self.cipher = cipher(HKDFExpand(hash_of(), 32, b"SFrame 1.0 Secret key " + tail).derive(secret))
        self.salt = HKDFExpand(hash_of(), 12, b"SFrame 1.0 Secret salt " + tail).derive(secret)

    def open(self, group, clear):
        _, counter, header = read_header(group)
        if counter in self.seen or counter + WINDOW < self.next:
            raise Refused(f"group {counter} was seen before, or is too old to tell")
        nonce = bytes(a ^ b for a, b in zip(self.salt, counter.to_bytes(12, "big")))
        try:
            plain = self.cipher.decrypt(nonce, group[len(header) :], header + b"twinveil/frame/v1\0" + clear)
        except InvalidTag:
            raise Refused("the group does not belong to this frame, or was changed") from None
        self.next = max(self.next, counter + 1)
        self.seen = {one for one in self.seen | {counter} if one + WINDOW >= self.next}
        return fragments(plain)


class View:
    """The keys of one view of one stream, and what they open."""

    def __init__(self, private_keys):
        self.keys = [KEMKey.from_pyca_cryptography_key(X25519PrivateKey.from_private_bytes(key)) for key in private_keys]
        self.epochs = {}

    def announce(self, *, origin, view_id, slot, epoch, suite, commit, wraps, schema_fingerprint):
        """Takes the members of a verified EpochKey. Whether one of the keys opens its groups."""
        if suite not in SUITES:
            raise Refused(f"unknown suite {suite:#06x}")
        name = origin.encode()
        info = b"twinveil/sealed/v1\0" + len(name).to_bytes(4, "big") + name + view_id + slot.to_bytes(4, "big")
        info += epoch.to_bytes(8, "big") + suite.to_bytes(2, "big") + schema_fingerprint
        hpke = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)
        for wrap in wraps:
            for key in self.keys:
                try:
                    seed = hpke.create_recipient_context(wrap[:32], key, info=info).open(wrap[32:], aad=commit)
                except PyHPKEError:
                    continue  # for another holder
                if HKDF(SHA256(), 32, salt=info, info=b"commit").derive(seed) != commit:
                    raise Refused("the seed is not the committed one")
                kid = slot << 8 | epoch % 256
                self.epochs[kid] = Epoch(info, suite, kid, seed)
                return True
        return False

    def open(self, frame):
        """The message in a frame, with everything that the keys open; other groups are left out."""
        clear, groups = split(frame)
        found, missing = [], set(self.epochs)
        for group in groups:
            kid = read_header(group)[0]
            if kid in self.epochs:
                found += self.epochs[kid].open(group, clear)
                missing.discard(kid)
        if missing:
            raise Refused("a sealed group was taken out of the frame")
        return place(clear, found)


def split(frame):
    """The clear bytes and the sealed groups."""
    parts = list(records(frame))
    clear = b"".join(record for number, _, record in parts if number not in (18000, 18001))
    return clear, [value for number, value, _ in parts if number == 18000]


def read_varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Refused("a number runs past its end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def write_varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def records(message):
    """(field number, value of a length-delimited record, the whole record)"""
    at = 0
    while at < len(message):
        begin, value = at, None
        tag, at = read_varint(message, at)
        if tag & 7 == 0:
            _, at = read_varint(message, at)
        elif tag & 7 == 1:
            at += 8
        elif tag & 7 == 5:
            at += 4
        elif tag & 7 == 2:
            length, at = read_varint(message, at)
            value, at = message[at : at + length], at + length
        else:
            raise Refused("a group of protobuf: the gateway sends none")
        if at > len(message):
            raise Refused("a record runs past the end")
        yield tag >> 3, value, message[begin:at]


def read_header(group):
    """(KID, CTR, header) of RFC 9605 section 4.3."""
    at, parts = 1, []
    if not group:
        raise Refused("an empty group")
    for bits in (group[0] >> 4, group[0] & 0x0F):
        size = bits - 7 if bits >= 8 else 0
        parts.append(int.from_bytes(group[at : at + size], "big") if size else bits)
        at += size
    if at > len(group):
        raise Refused("a header runs past its group")
    return parts[0], parts[1], group[:at]


def fragments(plain):
    at, found = 0, []
    while at < len(plain):
        first, at = read_varint(plain, at)
        if first == 0:
            break
        path = []
        for _ in range(first - 1):
            number, at = read_varint(plain, at)
            ordinal, at = read_varint(plain, at)
            path.append((number, ordinal))
        length, at = read_varint(plain, at)
        found.append((path, plain[at : at + length]))
        at += length
    if at > len(plain):
        raise Refused("a fragment runs past its group")
    return found


def place(message, found):
    """Fragments go where their paths lead; those without a path go behind."""
    out, counts = b"", {}
    for number, value, record in records(message):
        ordinal = counts.get(number, 0)
        counts[number] = ordinal + 1
        inside = [(path[1:], body) for path, body in found if path and path[0] == (number, ordinal)]
        if inside:
            body = place(value, inside)
            record = write_varint(number << 3 | 2) + write_varint(len(body)) + body
        out += record
    if any(path and path[0][1] >= counts.get(path[0][0], 0) for path, _ in found):
        raise Refused("a fragment leads nowhere")
    return out + b"".join(body for path, body in found if not path)
