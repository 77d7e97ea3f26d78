"""What `securesystemslib` says about DSSE envelopes, and envelopes that it signs.

usage: judge_dsse.py < JSON      `verify`: envelopes with did:keys and a threshold; `sign`: payloads with types and seeds
"""

import json
import sys
from pathlib import Path

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from sealed import key_of  # noqa: E402
from sign_consent import signer_of  # noqa: E402


def verdict(case):
    keys = [SSlibKey(did, "ed25519", "ed25519", {"public": key_of(did).hex()}) for did in case["keys"]]
    try:
        envelope = Envelope.from_dict(case["envelope"])
    except ValueError as error:
        return f"not read: {error}"
    try:
        return f"verified by {len(envelope.verify(keys, case['threshold']))}"
    except VerificationError:
        return "refused"


def signed(case):
    envelope = Envelope(case["payload"].encode(), case["type"], {})
    for seed in case["seeds"]:
        envelope.sign(signer_of(bytes.fromhex(seed)))
    return envelope.to_dict()


ask = json.load(sys.stdin)
print(json.dumps({"verify": [verdict(case) for case in ask["verify"]], "sign": [signed(case) for case in ask["sign"]]}))
