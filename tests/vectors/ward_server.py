"""`ward.v1.Ward` by stock grpcio, with every answer compressed: python ward_server.py STUBS. Prints its port; ends with its input."""

import sys
from concurrent import futures

import grpc

sys.path.insert(0, sys.argv[1])
import ward_pb2 as pb  # noqa: E402
import ward_pb2_grpc as rpc  # noqa: E402


class Ward(rpc.WardServicer):
    def Look(self, ask, call):
        if ask.word == "fail":
            call.set_trailing_metadata((("x-name", "Milo Feil"),))
            call.abort(grpc.StatusCode.ALREADY_EXISTS, "Milo Feil has a record already")
        return pb.Chart(patient=ask.patient, heart_rate=72.5, note=ask.word, name="Milo Feil")

    def Watch(self, ask, call):
        for n in range(ask.count):
            yield pb.Chart(patient=ask.patient, at_ms=n, note="slept well " * 50, name="Milo Feil")

    def Record(self, charts, call):
        return pb.Ask(count=sum(1 for chart in charts if chart.note and not chart.name))

    def Talk(self, charts, call):
        yield from charts


server = grpc.server(futures.ThreadPoolExecutor(4), compression=grpc.Compression.Gzip)
rpc.add_WardServicer_to_server(Ward(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
server.stop(None)
