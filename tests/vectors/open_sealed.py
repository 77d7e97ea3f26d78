"""Opens the vector of src/manual/sealed.md. Written from that page alone: what it does not say, this does not do.

usage: open_sealed.py PAGE      needs `cryptography` and `pyhpke`
"""

import re
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

SUITE = 0xF001


def read_vector(path):
    page = open(path, encoding="utf-8").read()
    block = page.split("## A vector")[1].split("```text\n")[1].split("```")[0]
    names = "origin|view_id|slot|epoch|fingerprint|commit|wrap|raw frame|sent frame|clear bytes|opened"
    return dict(re.findall(rf"^({names}) +(\S+)$", block, re.MULTILINE))


def big_endian(number, size):
    return number.to_bytes(size, "big")


def read_varint(data, at):
    value = shift = 0
    while True:
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
            raise ValueError("a group")
        yield tag >> 3, value, message[begin:at]


def read_header(group):
    """(KID, CTR, header)"""
    at, parts = 1, []
    for bits in (group[0] >> 4, group[0] & 0x0F):
        size = bits - 7 if bits >= 8 else 0
        parts.append(int.from_bytes(group[at : at + size], "big") if size else bits)
        at += size
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
    return found


def place(message, found):
    out, counts = b"", {}
    for number, value, record in records(message):
        ordinal = counts.get(number, 0)
        counts[number] = ordinal + 1
        inside = [(path[1:], body) for path, body in found if path and path[0] == (number, ordinal)]
        if inside:
            body = place(value, inside)
            record = write_varint(number << 3 | 2) + write_varint(len(body)) + body
        out += record
    return out + b"".join(body for path, body in found if not path)


def main(path):
    vector = read_vector(path)
    slot, epoch = int(vector["slot"]), int(vector["epoch"])
    origin, commit, wrap = vector["origin"].encode(), bytes.fromhex(vector["commit"]), bytes.fromhex(vector["wrap"])
    info = b"twinveil/sealed/v1\0" + big_endian(len(origin), 4) + origin + bytes.fromhex(vector["view_id"])
    info += big_endian(slot, 4) + big_endian(epoch, 8) + big_endian(SUITE, 2) + bytes.fromhex(vector["fingerprint"])

    hpke = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)
    holder = KEMKey.from_pyca_cryptography_key(X25519PrivateKey.from_private_bytes(b"\x03" * 32))
    seed = hpke.create_recipient_context(wrap[:32], holder, info=info).open(wrap[32:], aad=commit)

    def derive(label):
        return HKDF(SHA256(), 32, salt=info, info=label).derive(seed)

    assert derive(b"commit") == commit, "the seed is not the committed one"

    sent = bytes.fromhex(vector["sent frame"])
    clear = b"".join(record for number, _, record in records(sent) if number not in (18000, 18001))
    assert clear.hex() == vector["clear bytes"], clear.hex()
    (group,) = [value for number, value, _ in records(sent) if number == 18000]
    kid, ctr, header = read_header(group)
    assert (kid, ctr) == (slot << 8 | epoch % 256, 0), (kid, ctr)

    extract = HMAC(b"", SHA256())
    extract.update(derive(b"base_key"))
    secret, tail = extract.finalize(), big_endian(kid, 8) + big_endian(SUITE, 2)
    key = HKDFExpand(SHA256(), 32, b"SFrame 1.0 Secret key " + tail).derive(secret)
    salt = HKDFExpand(SHA256(), 12, b"SFrame 1.0 Secret salt " + tail).derive(secret)
    nonce = bytes(a ^ b for a, b in zip(salt, big_endian(ctr, 12)))
    aad = header + b"twinveil/frame/v1\0" + clear
    plain = ChaCha20Poly1305(key).decrypt(nonce, group[len(header) :], aad)
    assert len(plain) % 32 == 0 and len(plain) >= 32, len(plain)

    opened = place(clear, fragments(plain))
    assert opened.hex() == vector["opened"], opened.hex()


main(sys.argv[1])
