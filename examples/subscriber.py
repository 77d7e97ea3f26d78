"""Receives the frames of a Twinveil gateway with stock stubs, opens what is sealed for it, and prints a JSON message a line.

    pip install grpcio grpcio-tools cryptography pyhpke
    mkdir stubs && (cd proto && python -m grpc_tools.protoc -I . --python_out=../stubs --grpc_python_out=../stubs $(find * -name '*.proto'))
    PYTHONPATH=stubs:examples python examples/subscriber.py --gateway localhost:7443 --certs demo/certs --party researcher \\
        --gateway-key did:key:z6Mk... --purpose dpv:ScientificResearch --open researcher.json
"""

import argparse
import base64
import json
import pathlib
import sys

import grpc
import sealed  # examples/sealed.py
from google.protobuf.json_format import MessageToJson
from twinveil.sample.patient_pb2 import PatientFrame  # your own schema goes here
from twinveil.v1 import frames_pb2 as frames
from twinveil.v1.frames_pb2_grpc import FramesStub


def open_view(view, header, args):
    """The keys of a view: every announcement must be signed by the pinned gateway, for this stream's origin and schema."""
    opener = sealed.View([base64.b64decode(json.loads(path.read_text())["x25519_seed"]) for path in args.open])
    for envelope in view.keys:
        key = frames.EpochKey.FromString(sealed.verify(envelope, args.gateway_key))
        if (key.origin, key.schema_fingerprint) != (header.origin, header.schema_fingerprint):
            raise sealed.Refused("the announcement is for another gateway or schema")
        opener.announce(**{field.name: getattr(key, field.name) for field in key.DESCRIPTOR.fields})
    return opener


def messages(stream, args):
    """The messages of a stream, opened; raises `sealed.Refused` where the stream is not to be believed."""
    header, views, expected = None, {}, 1
    for response in stream:
        kind = response.WhichOneof("kind")
        if kind == "header":  # again where the schema has changed under the stream
            if response.header.gateway_key != args.gateway_key or header and header.stream_id != response.header.stream_id:
                raise sealed.Refused("the gateway signs with another key than the pinned one, or it is another stream")
            header = response.header
        elif kind == "view":  # begins, changes (which replaces its keys), or closes
            views.pop(response.view.view, None)
            if response.view.open:
                views[response.view.view] = open_view(response.view, header, args)
        elif kind == "batch":
            if response.batch.first_handover != expected:
                raise sealed.Refused(f"hand-over number {expected} is missing")
            expected += len(response.batch.frames)
            for frame in response.batch.frames:
                yield PatientFrame.FromString(views[frame.view].open(frame.message))
        elif kind == "gap":
            print(f"{response.gap.frames} frames were dropped: this program is too slow", file=sys.stderr)
        elif kind == "end":
            print(f"the stream ends: {response.end.code}: {response.end.reason}", file=sys.stderr)
            return
        else:
            raise sealed.Refused("a message that this program does not know")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--gateway", required=True, help="host:port")
    options.add_argument("--certs", type=pathlib.Path, required=True, help="folder with ca.pem, PARTY.pem and PARTY.key")
    options.add_argument("--party", required=True)
    options.add_argument("--gateway-key", required=True, help="the gateway's did:key, from a source that you trust")
    options.add_argument("--purpose", required=True, help="a DPV purpose")
    options.add_argument("--open", type=pathlib.Path, action="append", default=[], help="a wallet whose key opens what is sealed")
    args = options.parse_args()
    pem = [(args.certs / name).read_bytes() for name in ("ca.pem", f"{args.party}.key", f"{args.party}.pem")]
    with grpc.secure_channel(args.gateway, grpc.ssl_channel_credentials(*pem)) as channel:
        ask = frames.SubscribeRequest(schema=PatientFrame.DESCRIPTOR.full_name, purpose=args.purpose, delivery=frames.LOSSLESS)
        for message in messages(FramesStub(channel).Subscribe(ask), args):
            print(MessageToJson(message, indent=None, preserving_proto_field_name=True), flush=True)


if __name__ == "__main__":
    main()
