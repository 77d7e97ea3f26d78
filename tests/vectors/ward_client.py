"""A client of `ward.v1.Ward` by stock grpcio, with every message compressed in turn: python ward_client.py ADDRESS CERTS STUBS."""

import pathlib
import sys

import grpc

address, certs, stubs = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
sys.path.insert(0, stubs)
import ward_pb2 as pb  # noqa: E402
import ward_pb2_grpc as rpc  # noqa: E402

read = lambda name: (certs / name).read_bytes()  # noqa: E731
own = grpc.ssl_channel_credentials(read("ca.pem"), read("clinician.key"), read("clinician.pem"))
options = [("grpc.ssl_target_name_override", "localhost")]
note = ("a note that is worth packing " * 20).strip()


def keys(pairs):
    # `date` is HTTP's.
    return sorted(f"{key}={value}" for key, value in pairs if key != "date")


ways = (grpc.Compression.Gzip, grpc.Compression.Deflate, grpc.Compression.NoCompression)
for turn, packing in enumerate(ways, 1):
    with grpc.secure_channel(address, own, options=options, compression=packing) as channel:
        ward = rpc.WardStub(channel)
        print("packing", packing.name)
        told = (("x-request-id", "16"), ("x-nurse", "Ida"), ("authorization", "Bearer secret"))
        seen, call = ward.Look.with_call(pb.Ask(patient="p-1", word=note), timeout=10, metadata=told)
        print("look", seen.patient, seen.heart_rate, seen.note == note, repr(seen.name))
        print("headers", keys(call.initial_metadata()), "trailers", keys(call.trailing_metadata()))
        for seen in ward.Watch(pb.Ask(patient="p-1", count=3), timeout=10):
            print("watch", seen.at_ms, seen.note == "slept well " * 50, repr(seen.name))
        charts = (pb.Chart(patient="p-1", at_ms=n, note=note, name="Milo Feil") for n in range(5))
        print("record", ward.Record(charts, timeout=10).count)
        for seen in ward.Talk((pb.Chart(patient="p-1", at_ms=n, note=note) for n in range(3)), timeout=10):
            print("talk", seen.at_ms, seen.note == note, repr(seen.name))
        try:
            ward.Look(pb.Ask(patient="p-1", word="fail"), timeout=10)
        except grpc.RpcError as error:
            print("fail", error.code().name, "Milo" in error.details(), keys(error.trailing_metadata()))
        try:
            # Small where it is packed, and larger than the gateway takes all the same.
            ward.Look(pb.Ask(patient="p-1", word="a" * (2 << 20)), timeout=10)
        except grpc.RpcError as error:
            print("large", error.code().name, error.details()[:6])
        try:
            ward.Look(pb.Ask(patient="p-1", word="late"), timeout=2)
        except grpc.RpcError as error:
            print("late", error.code().name)
        watched = ward.Watch(pb.Ask(patient="p-1", word="forever"))
        print("cancel after", [next(watched).at_ms for _ in range(3)])
        watched.cancel()
        try:
            for _ in watched:
                pass
        except grpc.RpcError as error:
            print("cancelled", error.code().name)
        muted = ward.Look.future(pb.Ask(patient="p-1", word="mute"))
        # Only then it is there.
        assert ward.Look(pb.Ask(patient="p-1", word="mutes", count=turn), timeout=10).at_ms == turn
        muted.cancel()
        print("muted", muted.code().name)
        # Not because the connection ends: it is open.
        asked = pb.Ask(patient="p-1", word="watches", count=2 * turn)
        print("watches", ward.Look(asked, timeout=10).at_ms == 2 * turn)
