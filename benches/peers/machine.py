"""Processes on cores of their own, which end when they should, and what they took."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

_CORES = sorted(os.sched_getaffinity(0))
# The proxy alone on one; both ends of the load on the other.
PROXY_CORE, ENDS_CORE = _CORES[0], _CORES[-1]
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """A measurement that could not be made, and why."""


@contextlib.contextmanager
def started(command, core, log, env=None):
    """A process on one core. It ends with the block, and with this process, however that ends."""

    def alone():
        os.sched_setaffinity(0, {core})
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    with open(log, "wb") as errors:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, **(env or {})}, preexec_fn=alone, start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def said(process, begins, log):
    """The rest of the next line that a process prints, which begins so."""
    line = process.stdout.readline()
    if not line.startswith(begins):
        raise Failed(f"{Path(process.args[0]).name}: {line.strip() or 'ended'} {tail(log)}")
    return line[len(begins):].strip()


def tail(log, lines=3):
    """The end of what a process logged."""
    return " / ".join(Path(log).read_text(errors="replace").strip().splitlines()[-lines:])[-1000:]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(port, process, log, seconds=20):
    """Until somebody listens."""
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > until:
            raise Failed(f"{Path(process.args[0]).name} does not listen: {tail(log)}")
        time.sleep(0.02)


def family(pid):
    """A process and its children: nginx works in one."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def cpu_seconds(pids):
    """User and system time of all threads so far, ended ones included: the process's own clock, finer than the ticks in its `stat`."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def resident_mib(pids):
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def filled(template, words):
    """A file beside this one with the words between @ filled in."""
    text = (Path(__file__).parent / template).read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", str(value))
    return text
