"""Opens the vector of src/manual/sealed.md, or those of tests/vectors/sealed-v1.json. The opener, examples/sealed.py, is written
from that page alone: what it does not say, this does not do.

usage: open_sealed.py FILE      needs `cryptography`, `protobuf` and `pyhpke`
"""

import base64
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import sealed  # noqa: E402


def page_vector(page):
    block = page.split("## A vector")[1].split("```text\n")[1].split("```")[0]
    names = "origin|view_id|slot|epoch|fingerprint|commit|wrap|raw frame|sent frame|clear bytes|opened"
    vector = dict(re.findall(rf"^({names}) +(\S+)$", block, re.MULTILINE))
    view = sealed.View([b"\x03" * 32])
    assert view.announce(
        origin=vector["origin"],
        view_id=bytes.fromhex(vector["view_id"]),
        slot=int(vector["slot"]),
        epoch=int(vector["epoch"]),
        suite=0xF001,
        commit=bytes.fromhex(vector["commit"]),
        wraps=[bytes.fromhex(vector["wrap"])],
        schema_fingerprint=bytes.fromhex(vector["fingerprint"]),
    )
    sent = bytes.fromhex(vector["sent frame"])
    assert sealed.split(sent)[0].hex() == vector["clear bytes"]
    assert view.open(sent).hex() == vector["opened"]
    return 1


def epoch_key(payload):
    """An EpochKey, by the numbers in the page's table."""
    found = {}
    for number, value, record in sealed.records(payload):
        _, at = sealed.read_varint(record, 0)
        found.setdefault(number, []).append(sealed.read_varint(record, at)[0] if value is None else value)
    names = ["view_id", "slot", "epoch", "suite", "commit", "wraps", "origin", "schema_fingerprint"]
    key = {name: found.get(number, [0])[0] for number, name in enumerate(names, 1)}
    return key | {"wraps": found.get(6, []), "origin": key["origin"].decode()}


def refuses(act):
    try:
        act()
    except sealed.Refused:
        return True
    return False


def view_of(file, case, key):
    """A view with every announcement verified and taken, and which slots the key opens."""
    view, opens = sealed.View([bytes.fromhex(key["private_key"])]), []
    for slot in case["slots"]:
        made = slot["announcement"]
        signatures = [SimpleNamespace(sig=base64.b64decode(one["sig"])) for one in made["signatures"]]
        payload = base64.b64decode(made["payload"])
        envelope = SimpleNamespace(payload=payload, payload_type=made["payloadType"], signatures=signatures)
        members = epoch_key(sealed.verify(envelope, file["gateway"]["did"]))
        told = {name: case[name] for name in ("origin", "epoch", "suite")} | {"slot": slot["slot"]}
        told |= {name: bytes.fromhex(case[name]) for name in ("view_id", "schema_fingerprint")}
        told |= {"commit": bytes.fromhex(slot["commit"]), "wraps": [bytes.fromhex(wrap) for wrap in slot["wraps"]]}
        assert members == told, (members, told)
        opens.append(view.announce(**members))
        envelope.payload += b"\x18\x09"
        assert refuses(lambda: sealed.verify(envelope, file["gateway"]["did"]))
    return view, opens


def opens_as(view, sent):
    try:
        return view.open(sent)
    except sealed.Refused:
        return None


def json_case(file, case):
    checked = 0
    for who, key in file["keys"].items():
        view, opens = view_of(file, case, key)
        assert all(opens) if who == "vault" else any(opens), (who, opens)
        for frame in case["frames"]:
            sent = bytes.fromhex(frame["sent"])
            assert sealed.split(sent)[0].hex() == frame["clear"], case["name"]
            assert view.open(sent).hex() == frame["opened"][who], (case["name"], who)
            checked += 1
        for one in case["refused"]:
            # What was changed does not open to a fresh view either; what was seen before is told by the view that saw it.
            told_by = view_of(file, case, key)[0] if one["first"] else view
            assert refuses(lambda: told_by.open(bytes.fromhex(one["sent"]))), (case["name"], one["why"])
            checked += 1
        # Whichever byte is changed, nothing opens that was not sent.
        sent = bytes.fromhex(case["frames"][0]["sent"])
        for at in range(len(sent)):
            bent = sent[:at] + bytes([sent[at] ^ 1]) + sent[at + 1 :]
            opened = opens_as(view_of(file, case, key)[0], bent)
            assert opened is None or (who == "recipient" and len(opens) > 1), (case["name"], at, opened)
    return checked


def main(path):
    text = Path(path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        checked = page_vector(text)
    else:
        file = json.loads(text)
        checked = sum(json_case(file, case) for case in file["cases"])
    print(f"{checked} checked")


main(sys.argv[1])
