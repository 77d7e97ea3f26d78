"""Whether cell centres are those of PyPI's `h3`, the authors' own library.

usage: judge_h3.py points       10,000 points, the same each time: lines of resolution, latitude, longitude. Poles, the antimeridian,
                                pentagons and their surroundings, and anywhere; resolutions 0 to 15
       judge_h3.py < LINES      the same lines with the latitude and longitude of a centre behind: is it the centre of that cell?
"""

import random
import sys

import h3


def points():
    dice = random.Random(9)
    found = []
    for resolution in range(16):
        found += [(resolution, lat, lng) for lat in (90.0, -90.0, 89.9999999, -89.9999999) for lng in (-180.0, -33.3, 0.0, 180.0)]
        found += [(resolution, dice.uniform(-90, 90), lng) for lng in (180.0, -180.0, 179.9999999, -179.9999999) for _ in range(8)]
        for pentagon in h3.get_pentagons(resolution):
            lat, lng = h3.cell_to_latlng(pentagon)
            found.append((resolution, lat, lng))
            corners = h3.cell_to_boundary(pentagon)
            # Towards the middle of each edge and beyond; past a corner two neighbours meet, and rounding alone would decide.
            edges = [((a + c) / 2, (b + d) / 2) for (a, b), (c, d) in zip(corners, corners[1:] + corners[:1])]
            found += [(resolution, lat + (a - lat) * by, lng + (b - lng) * by) for a, b in edges for by in (0.5, 0.999, 1.001, 1.5)]
    while len(found) < 10_000:
        found.append((len(found) % 16, dice.uniform(-90, 90), dice.uniform(-180, 180)))
    return found


def judge(lines):
    furthest = 0.0
    for line in lines:
        resolution, *numbers = line.split()
        lat, lng, centre_lat, centre_lng = map(float, numbers)
        cell = h3.latlng_to_cell(lat, lng, int(resolution))
        assert h3.latlng_to_cell(centre_lat, centre_lng, int(resolution)) == cell, f"another cell: {line}"
        apart = h3.great_circle_distance(h3.cell_to_latlng(cell), (centre_lat, centre_lng), unit="m")
        # Within a thousandth of a cell's edge; and the arithmetic of both loses digits where a pole is near.
        assert apart < h3.average_hexagon_edge_length(int(resolution), unit="m") / (1_000 if abs(lat) < 89 else 10), (apart, line)
        furthest = max(furthest, apart if abs(lat) < 89 else 0.0)
    print(f"{len(lines)} cells are the same; centres at most {furthest:.1e} m apart")


if sys.argv[1:] == ["points"]:
    for one in points():
        print(*map(repr, one))
else:
    judge(sys.stdin.read().splitlines())
