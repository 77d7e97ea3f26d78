"""A folder for Twinveil, as its operator makes one: keys, certificates, parties, a patient who lets both ends have everything. The policy
and the purpose of the route say what the client gets."""

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

import machine

SUBJECT = "p-2041"
HOSPITAL, CLINICIAN = "spiffe://example.org/source/hospital", "spiffe://example.org/recipient/clinician"
PURPOSES = {"strip": "dpv:ServiceProvision", "generalize": "dpv:ServicePersonalisation", "seal": "dpv:ScientificResearch"}
SEALED = ["heart_rate_bpm", "spo2_pct", "note"]


class Gateway:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder / "twinveil"
        shutil.rmtree(self.folder, ignore_errors=True)
        self._run("init", self.folder)
        # The service's own authority: certificates of parties are for clients.
        self._run("certs", "--dir", self.folder / "service", "--server", HOSPITAL, "--party", "gateway=spiffe://example.org/gateway")
        self._keys = re.findall(r'^key = "(did:key:\w+)"', (self.folder / "twinveil.toml").read_text(), re.M)
        shutil.copy(self.folder / "keys/windfarm.key", self.folder / "keys/clinician.key")
        here = Path(__file__).parent
        for file, name in [("bench.proto",) * 2, ("bench.fields.toml",) * 2, ("policy.cedar", "bench.cedar")]:
            shutil.copy(here / file, self.folder / name)
        with self.serving("strip", tls=True, upstream=1) as (port, _):
            self._consent(port)

    def client_files(self):
        """Certificate, key and authority of who calls proxies."""
        return [self.folder / "certs" / name for name in ("clinician.pem", "clinician.key", "ca.pem")]

    def front_files(self):
        """Of a proxy towards its callers."""
        return [self.folder / "certs" / name for name in ("server.pem", "server.key", "ca.pem")]

    def back_files(self):
        """Of a proxy towards the service."""
        return [self.folder / "service" / name for name in ("gateway.pem", "gateway.key", "ca.pem")]

    def service_files(self):
        return [self.folder / "service" / name for name in ("server.pem", "server.key", "ca.pem")]

    @contextlib.contextmanager
    def serving(self, treat, tls, upstream):
        """Port and process of a gateway that does this to what the service at `upstream` sends."""
        entry, reach = 'insecure = true\ninsecure_party = "clinician"', "insecure = true"
        if tls:
            entry = '[tls]\ncertificate = "certs/server.pem"\nprivate_key = "certs/server.key"\nclient_ca = "certs/ca.pem"'
            reach = 'tls = { certificate = "service/gateway.pem", private_key = "service/gateway.key", ca = "service/ca.pem" }'
        words = {
            "ENTRY": entry, "REACH": reach, "UPSTREAM": upstream, "PURPOSE": PURPOSES[treat],
            "HOSPITAL": self._keys[0], "CLINICIAN": self._keys[1],
        }
        (self.folder / "twinveil.toml").write_text(machine.filled("twinveil.toml", words))
        log = self.folder / "serve.log"
        listen = {"TWINVEIL_LISTEN": "127.0.0.1:0", "TWINVEIL_HEALTH_LISTEN": "127.0.0.1:0", "TWINVEIL_LOG": "error"}
        command = [self.program, "serve", "--config", self.folder / "twinveil.toml"]
        with machine.started(command, machine.PROXY_CORE, log, listen) as process:
            address = machine.said(process, "listening on ", log).split()[0]
            yield int(address.rsplit(":", 1)[1]), process.pid

    def _run(self, *words):
        ran = subprocess.run([str(word) for word in (self.program, *words)], capture_output=True, text=True)
        if ran.returncode:
            raise machine.Failed(f"twinveil {' '.join(map(str, words))}: {ran.stderr.strip()}")
        return ran.stdout

    def _consent(self, port):
        patient, recipient = self.folder / "patient.json", self.folder / "recipient.json"
        there = ["--dir", self.folder, "--gateway", f"localhost:{port}"]
        for wallet in (patient, recipient):
            self._run("wallet", "new", wallet)
        for name, source in [("hospital", HOSPITAL), ("clinician", CLINICIAN)]:
            key = self.folder / f"keys/{name}.key"
            self._run("wallet", "enrol", *there, "--wallet", patient, "--value", SUBJECT, "--source", source, "--source-key", key)
        everything = [word for kind in ("personal", "special", "identifying") for word in ("--permit", f"sensitivity:{kind}=keep")]
        grant = ["wallet", "grant", *there, "--wallet", patient, "--days", "1", *everything]
        in_clear = ",".join([PURPOSES["strip"], PURPOSES["generalize"]])
        self._run(*grant, "--to", f"{HOSPITAL},{CLINICIAN}", "--purpose", in_clear)
        self._run(*grant, "--to", HOSPITAL, "--purpose", PURPOSES["seal"])
        key = re.search(r"^key\s+(\S+)", self._run("wallet", "show", recipient), re.M).group(1)
        sealed = [word for field in SEALED for word in ("--permit", f"{field}=encrypt")]
        self._run(*grant, *sealed, "--to", CLINICIAN, "--purpose", PURPOSES["seal"], "--give-key", "--key", key)
