"""Tables of what was measured: medians over the rounds, ratios within a round with their spread, and the targets beside them.

python3 benches/peers/table.py target/peers/results.jsonl
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

PEERS = ("envoy_scrubber", "envoy_scrubber_cel", "envoy", "nginx", "haproxy", "relay")


class Rows:
    """Values by what was measured, one for each round."""

    def __init__(self, rows):
        self._rows = defaultdict(list)
        for row in rows:
            self._rows[row["proxy"], row["case"], row["frame_bytes"], row["tls"]].append(row)

    def kinds(self):
        """Everything that the gateway was measured on."""
        return [key[1:] for key in self._rows if key[0] == "twinveil"]

    def values(self, proxy, case, size=200, tls=False, what="cpu_us_per_frame"):
        return [row[what] for row in self._rows[proxy, case, size, tls]]

    def combined(self, one, other, how):
        return [how(a, b) for a, b in zip(one, other) if a is not None and b is not None]


def spread(values, digits=2):
    if not values:
        return "–"
    middle = f"{median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def ratio(a, b):
    return a / b


def line(*cells):
    return "| " + " | ".join(cells) + " |"


def costs(rows):
    yield "Processor time of the proxy, µs a message: median (least–most of the rounds), and its ratio to Twinveil's in the same round."
    yield ""
    yield line("case", "bytes", "TLS", "twinveil", *PEERS)
    yield line(*["---"] * (4 + len(PEERS)))
    for case, size, tls in rows.kinds():
        ours = rows.values("twinveil", case, size, tls)
        cells = [spread(ours, 3)]
        for peer in PEERS:
            theirs = rows.values(peer, case, size, tls)
            cells.append(f"{median(theirs):.3f} = {spread(rows.combined(theirs, ours, ratio), 1)}×" if theirs else "–")
        yield line(case, str(size), "yes" if tls else "no", *cells)


def others(rows):
    yield "Messages a second / p50 µs / p99 µs / resident MiB, medians."
    yield ""
    names = ("direct", "twinveil", *PEERS)
    yield line("case", "bytes", "TLS", *names)
    yield line(*["---"] * (3 + len(names)))
    for case, size, tls in rows.kinds():
        cells = []
        for name in names:
            got = [[v for v in rows.values(name, case, size, tls, what) if v is not None]
                   for what in ("frames_per_s", "p50_us", "p99_us", "rss_mib")]
            cells.append(" / ".join(f"{median(v):,.0f}" if v else "–" for v in got) if got[0] else "–")
        yield line(case, str(size), "yes" if tls else "no", *cells)


def targets(rows):
    """(what, values of the rounds, its unit, first, goal); a bound is (sign, number). `src/manual/cost.md` has the reasons."""
    v, combined = rows.values, rows.combined

    def by(peer, case, size=200):
        return combined(v(peer, case, size), v("twinveil", case, size), ratio)

    def beside(peer, case, size=200):
        return combined(v("twinveil", case, size), v(peer, case, size), ratio)

    def added_by_tls(proxy):
        return combined(v(proxy, "packed-strip", tls=True), v(proxy, "packed-strip"), lambda a, b: a - b)

    ours = {shape: v("twinveil", f"{shape}-strip") for shape in ("stream", "packed", "unary", "paced")}
    sealed = v("twinveil", "stream-seal")
    p50 = combined(v("twinveil", "paced-strip", what="p50_us"), v("direct", "paced-strip", what="p50_us"), lambda a, b: a - b)
    yield "streaming, 200 B: scrubber ÷ Twinveil", by("envoy_scrubber", "stream-strip"), "×", (">", 12), (">", 40)
    yield "streaming, 200 B: Twinveil", ours["stream"], "µs", ("<", 0.40), ("<", 0.11)
    yield "streaming, 200 B: plain Envoy ÷ Twinveil", by("envoy", "stream-strip"), "×", None, (">", 2)
    yield "streaming, 1 KiB: scrubber ÷ Twinveil", by("envoy_scrubber", "stream-strip", 1024), "×", (">", 10), (">", 25)
    yield "or, streaming, 1 KiB: Twinveil ÷ relay", beside("relay", "stream-strip", 1024), "×", ("<", 1.2), None
    yield "packed, 200 B: scrubber ÷ Twinveil", by("envoy_scrubber", "packed-strip"), "×", (">", 15), (">", 25)
    yield "packed, 200 B: Twinveil ÷ plain Envoy", beside("envoy", "packed-strip"), "×", None, ("<", 1.2)
    yield "one sealed group, 200 B: ÷ strip", combined(sealed, ours["stream"], ratio), "×", None, None
    yield "one sealed group, 200 B: scrubber's strip ÷ Twinveil", combined(
        v("envoy_scrubber", "stream-strip"), sealed, ratio), "×", (">", 12 / 1.35), None
    yield "one sealed group, 200 B: Twinveil", sealed, "µs", None, ("<", 0.25)
    yield "paced echo at 2,000/s: Twinveil, a round trip", ours["paced"], "µs", None, ("<", 8)
    yield "paced echo at 2,000/s: Twinveil ÷ relay", beside("relay", "paced-strip"), "×", ("<", 1.5), None
    yield "paced echo at 2,000/s: scrubber ÷ Twinveil", by("envoy_scrubber", "paced-strip"), "×", None, (">", 3.1)
    yield "paced echo at 2,000/s: HAProxy ÷ Twinveil", by("haproxy", "paced-strip"), "×", None, None
    yield "paced echo at 2,000/s: added p50", p50, "µs", None, ("<", 12)
    yield "unary, 200 B: Twinveil", ours["unary"], "µs", ("<", 10), ("<", 6)
    yield "unary, 200 B: scrubber ÷ Twinveil", by("envoy_scrubber", "unary-strip"), "×", (">", 2.5), (">", 4.2)
    yield "TLS 1.3 on both sides, packed: added", added_by_tls("twinveil"), "µs", ("<", 0.06), ("<", 0.03)
    yield "TLS 1.3 on both sides, packed: added ÷ what it adds to Envoy", combined(
        added_by_tls("twinveil"), added_by_tls("envoy"), ratio), "×", ("<", 2), ("<", 1)


def verdict(values, bound):
    if bound is None:
        return "–"
    sign, number = bound[0], round(bound[1], 2)
    if not values:
        return f"{'≥' if sign == '>' else '≤'} {number}: not measured"
    met = median(values) >= number if sign == ">" else median(values) <= number
    return f"{'≥' if sign == '>' else '≤'} {number}: {'met' if met else 'NOT met'}"


def goals(rows):
    yield "Targets; a verdict is the median's. Those in µs are for a core of 2025; on a slower one the ratios count."
    yield ""
    yield line("figure", "measured", "first", "goal")
    yield line(*["---"] * 4)
    for what, values, unit, first, goal in targets(rows):
        yield line(what, f"{spread(values, 1 if unit == '×' else 3)} {unit}", verdict(values, first), verdict(values, goal))


def tables(rows):
    rows = Rows(rows)
    return "\n" + "\n\n".join("\n".join(made(rows)) for made in (costs, others, goals)) + "\n"


if __name__ == "__main__":
    print(tables([json.loads(text) for text in Path(sys.argv[1]).read_text().splitlines()]))
