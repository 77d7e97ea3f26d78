"""`ward.v1.Ward` by stock grpcio, with every answer compressed: python ward_server.py STUBS [OPTION=NUMBER…], with grpc's options of
channels. Prints its port and what becomes of calls; ends with its input."""

import sys
import time
from concurrent import futures

import grpc

sys.path.insert(0, sys.argv[1])
import ward_pb2 as pb  # noqa: E402
import ward_pb2_grpc as rpc  # noqa: E402


def say(*words):
    # In one piece, whichever thread it is.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


watches = mutes = 0


def ended():
    global watches
    watches += 1
    say("watch ended")


def until(true, seconds=9):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)


class Ward(rpc.WardServicer):
    def Look(self, ask, call):
        global mutes
        if ask.word == "mute":
            mutes += 1
            # Before the client has as much as a header.
            until(lambda: not call.is_active())
            say("mute call active", call.is_active())
            return None
        if ask.word == "watches":
            until(lambda: watches == ask.count)
            return pb.Chart(patient=ask.patient, at_ms=watches)
        if ask.word == "mutes":
            until(lambda: mutes == ask.count)
            return pb.Chart(patient=ask.patient, at_ms=mutes)
        if ask.word == "plain":
            return pb.Chart(patient=ask.patient, heart_rate=72.5)
        sent = sorted(f"{key}={value}" for key, value in call.invocation_metadata())
        say("metadata", *sent)
        call.send_initial_metadata((("x-request-id", "17"), ("x-bed", "Milo Feil")))
        if ask.word == "fail":
            call.set_trailing_metadata((("x-name", "Milo Feil"), ("grpc-status-details-bin", b"Milo Feil")))
            call.abort(grpc.StatusCode.ALREADY_EXISTS, "Milo Feil has a record already")
        if ask.word == "late":
            say("deadline", 0 < call.time_remaining() < 2.5)
            until(lambda: not call.is_active())
            say("late call active", call.is_active())
        call.set_trailing_metadata((("x-request-id", "18"), ("x-name", "Milo Feil")))
        return pb.Chart(patient=ask.patient, heart_rate=72.5, note=ask.word, name="Milo Feil")

    def Watch(self, ask, call):
        # Gzip is what the server does by itself.
        call.set_compression(grpc.Compression.Deflate)
        call.add_callback(ended)
        n = 0
        while call.is_active() and (n < ask.count or ask.word == "forever"):
            yield pb.Chart(patient=ask.patient, at_ms=n, note="slept well " * 50, name="Milo Feil")
            n += 1
            if ask.word in ("forever", "slow"):
                time.sleep(0.005)

    def Record(self, charts, call):
        return pb.Ask(count=sum(1 for chart in charts if chart.note and not chart.name))

    def Talk(self, charts, call):
        for chart in charts:
            yield pb.Chart(patient=chart.patient, at_ms=chart.at_ms, note=chart.note, name="Milo Feil")


pairs = (option.split("=") for option in sys.argv[2:])
options = [(f"grpc.{name}", int(number)) for name, number in pairs]
server = grpc.server(futures.ThreadPoolExecutor(8), compression=grpc.Compression.Gzip, options=options)
rpc.add_WardServicer_to_server(Ward(), server)
say(server.add_insecure_port("127.0.0.1:0"))
server.start()
sys.stdin.read()
server.stop(None)
