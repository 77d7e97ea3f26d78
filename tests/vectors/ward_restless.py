"""A client of `ward.v1.Ward` whose server is restless or narrow: python ward_restless.py ADDRESS CERTS STUBS WHAT. Four threads ask
for a while, with pings in between, and again where it is unavailable (`ages`); or more streams are open than the server takes at
once (`narrow`)."""

import collections
import concurrent.futures
import json
import pathlib
import sys
import time

import grpc

address, certs, stubs, what = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4]
sys.path.insert(0, stubs)
import ward_pb2 as pb  # noqa: E402
import ward_pb2_grpc as rpc  # noqa: E402

read = lambda name: (certs / name).read_bytes()  # noqa: E731
own = grpc.ssl_channel_credentials(read("ca.pem"), read("clinician.key"), read("clinician.pem"))
policy = {"maxAttempts": 3, "initialBackoff": "0.01s", "maxBackoff": "0.1s", "backoffMultiplier": 2}
policy["retryableStatusCodes"] = ["UNAVAILABLE"]
service = {"methodConfig": [{"name": [{"service": "ward.v1.Ward"}], "retryPolicy": policy}]}
options = {
    "grpc.service_config": json.dumps(service),
    "grpc.ssl_target_name_override": "localhost",
    "grpc.keepalive_time_ms": 100,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.max_pings_without_data": 0,
}
told = collections.Counter()


def look(ward, timeout=10):
    try:
        answer = ward.Look(pb.Ask(patient="p-1", word="plain"), timeout=timeout)
        return "OK" if answer.heart_rate == 72.5 else "EMPTY"
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"


with grpc.secure_channel(address, own, options=list(options.items())) as channel:
    ward = rpc.WardStub(channel)
    if what == "ages":
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            # For a second, and until there were enough.
            end = time.monotonic() + 1

            def asks():
                some = collections.Counter()
                while time.monotonic() < end or (some.total() < 40 and time.monotonic() < end + 20):
                    some[look(ward)] += 1
                return some

            for some in [threads.submit(asks) for _ in range(4)]:
                told += some.result()
        for code, count in sorted(told.items()):
            print(code, count)
    if what == "narrow":
        watched = [ward.Watch(pb.Ask(patient="p-1", count=1000, word="slow"), timeout=30) for _ in range(2)]
        print("open", [next(one).at_ms for one in watched])
        print("none left", look(ward, 2).split()[0])
        print("waits", look(ward, 20), [len(list(one)) for one in watched])
        print("then", look(ward))
