"""Finds the ways out of a function that no test took, in what llvm-cov exports.

    exits.py programs BUILT      the executables in cargo's JSON messages
    exits.py check REGIONS LIST  exit 1 where an exit is neither reached nor listed, or is listed and reached

rustc counts a region for each `?`, for each arm of a match and for each block; the text of a region tells whether it is an exit. A
region that several programs or instances have counts by the one that was reached most.
"""

import json
import re
import sys
from pathlib import Path

ROOMS = (
    "src/http2/", "src/veil/wire/", "src/veil/schema/", "src/veil/consent/", "src/veil/view/", "src/veil/transform/",
    "src/veil/merkle/", "src/gate/",
)
CODE = 0
# Reasons of exits that are taken or not by chance: they may stand where the exit was taken.
AT_TIMES = "at times: "
# Writing text for people refuses nothing.
WRITES = re.compile(r"\b(write|writeln)!\(f, |\bf\.write_str\(")
# An error that is made or handed on, or any other early way out.
EXIT = re.compile(r"^\?$|\bErr\(|\b(return|continue|break)\b|\b(\w*Refusal|\w*Fault|\w*Error|Status|status)::|^\{?\s*None\s*\}?$")


def programs(built):
    found = {}
    for line in Path(built).read_text().splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable"):
            found[message["target"]["name"], message["profile"]["test"]] = message["executable"]
    print("\n".join(found.values()))


def tests_begin(lines):
    """The line of the test module at the end of a file."""
    for number, line in enumerate(lines, 1):
        if line.startswith("#[cfg(test)]"):
            return number
    return len(lines) + 1


def text_of(lines, region):
    first, begin, last, end = region
    if first == last:
        return lines[first - 1][begin - 1 : end - 1]
    middle = lines[first : last - 1]
    return "\n".join([lines[first - 1][begin - 1 :], *middle, lines[last - 1][: end - 1]])


def code_at(lines, number):
    """The line, with the one before where it says nothing by itself."""
    code = lines[number - 1].strip()
    if code.startswith(".") or code in ("return;", "continue;", "break;", "None => None,"):
        return f"{lines[number - 2].strip()} {code}"
    return code


def exits(regions):
    """(file, region) -> how often it was reached."""
    root = Path.cwd()
    counts = {}
    for function in json.loads(Path(regions).read_text())["data"][0]["functions"]:
        for first, begin, last, end, count, file, _, kind in function["regions"]:
            path = Path(function["filenames"][file])
            path = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
            if kind == CODE and path.startswith(ROOMS) and "tests" not in path:
                at = path, (first, begin, last, end)
                counts[at] = max(count, counts.get(at, 0))
    return counts


def listed(path):
    """(file, line of code) -> reason. A line of the list: file, code and reason between ` | `."""
    reasons = {}
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            parts = [part.strip() for part in line.split(" | ")]
            if len(parts) < 3 or not parts[-1]:
                sys.exit(f"{path}:{number}: a file, a line of code and a reason, with ` | ` between them")
            reasons[parts[0], " | ".join(parts[1:-1])] = parts[-1]
    return reasons


def check(regions, path):
    counts, reasons = exits(regions), listed(path)
    if not counts:
        sys.exit("no region was counted: the programs and the profile do not belong together")
    sources, total, needed, missing = {}, 0, set(), {}
    for (file, region), count in sorted(counts.items()):
        lines = sources.setdefault(file, Path(file).read_text().splitlines())
        if region[0] >= tests_begin(lines):
            continue
        text = text_of(lines, region)
        if not EXIT.search(text.strip()):
            continue
        total += 1
        if count:
            continue
        code = code_at(lines, region[0])
        if WRITES.search(code):
            continue
        if (file, code) in reasons:
            needed.add((file, code))
        else:
            missing.setdefault((file, region[0]), (code, text))
    for (file, line), (code, text) in missing.items():
        shown = " ".join(text.split())
        print(f"{file}:{line}: no test takes `{shown[:100]}` in\n    {code}")
    stale = [key for key in reasons if key not in needed and not reasons[key].startswith(AT_TIMES)]
    for file, code in stale:
        print(f"{path}: listed, and reached or gone: {file} | {code}")
    print(f"{total} exits of {len(sources)} files; {len(needed)} listed with a reason, {len(missing)} not reached")
    sys.exit(1 if missing or stale else 0)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["programs", built]:
            programs(built)
        case ["check", regions, path]:
            check(regions, path)
        case _:
            sys.exit(__doc__)
