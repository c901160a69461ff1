# SPDX-License-Identifier: Apache-2.0
"""What all vehicles are made of: paint, wheels, undersides, long bodies with windows."""

from __future__ import annotations

from random import Random

from .mesh import Colour, MeshBuilder

PAINTS = (
    ((232, 232, 230), 5), ((58, 56, 54), 6), ((28, 27, 26), 6), ((165, 164, 160), 6),
    ((120, 118, 114), 4), ((122, 64, 30), 3), ((40, 34, 150), 3), ((88, 48, 22), 2),
    ((60, 84, 40), 1), ((96, 140, 168), 1), ((40, 160, 220), 1), ((180, 140, 90), 1),
    ((50, 90, 190), 1), ((36, 40, 74), 1),
)  # fmt: skip
RUBBER = (30, 29, 28)
GLASS = (62, 54, 46)
DARK = (38, 37, 36)
CHROME = (190, 190, 188)
WHITE_LIGHT = (225, 240, 250)
RED_LIGHT = (40, 30, 190)
PLATE = (225, 228, 228)


def paint(random: Random) -> Colour:
    """Draw a colour of a car; grey shades are the most frequent, as on the street."""
    colours, weights = zip(*PAINTS, strict=True)
    factor = random.uniform(0.88, 1.08)
    colour = random.choices(colours, weights)[0]
    return tuple(c * factor * random.uniform(0.985, 1.015) for c in colour)


def mixed(colour: Colour, factor: float) -> Colour:
    """Return a brighter or darker colour."""
    return tuple(min(c * factor, 255.0) for c in colour)


def wheels(
    build: MeshBuilder,
    half_width: float,
    radius: float,
    places: tuple[float, ...],
    rim: Colour = (165, 163, 160),
) -> None:
    """Add the near wheels with their arches; call it last."""
    for sign in (-1.0, 1.0):
        out = (sign, 0.0, 0.0)
        for z in places:
            x = sign * (half_width + 0.01)
            build.disc((x, radius, z), radius * 1.17, (16, 16, 16), out, detail=6)
            build.disc((x, radius, z), radius, RUBBER, out)
            build.disc((x, radius, z), radius * 0.62, rim, out, detail=8)
            for turn in range(5):  # the gaps between the spokes
                dz = radius * 0.38 * ((1, 0.31, -0.81, -0.81, 0.31)[turn])
                dy = radius * 0.38 * ((0, 0.95, 0.59, -0.59, -0.95)[turn])
                build.disc(
                    (x, radius + dy, z + dz), radius * 0.14, DARK, out, detail=45, corners=8
                )
            build.disc((x, radius, z), radius * 0.16, mixed(rim, 0.7), out, detail=20)


def underside(build: MeshBuilder, half: float, length: float, radius: float, far: bool) -> None:
    """Add the dark below a body, and the wheels seen through under it; call it first."""
    front, back = length / 2 * 0.93, -length / 2 * 0.93
    build.on('-z', back, (-half * 0.85, 0.16, half * 0.85, 0.5), (14, 14, 14))
    build.on('+z', front, (-half * 0.85, 0.16, half * 0.85, 0.5), (14, 14, 14))
    if far:
        for z in (back * 0.66, front * 0.66):
            for x in (-half * 0.86, half * 0.86):
                build.on('-z', z - 0.1, (x - 0.11, 0, x + 0.11, radius), RUBBER)
                build.on('+z', z + 0.1, (x - 0.11, 0, x + 0.11, radius), RUBBER)


def carriage(
    build: MeshBuilder,
    size: tuple[float, float, float],
    floor: float,
    body: Colour,
    lower: Colour,
    roof: Colour,
) -> None:
    """Add a long body with slanted roof edges."""
    width, height, length = size
    half, edge = width / 2, 0.22
    build.box((-half, floor, -length / 2), (half, height - edge, length / 2), body)
    for axis, at in (('-x', -half), ('+x', half)):
        build.on(axis, at, (-length / 2, floor, length / 2, floor + 0.75), lower)
    for axis, at in (('-z', -length / 2), ('+z', length / 2)):
        build.on(axis, at, (-half, floor, half, floor + 0.75), lower)
    z = length / 2
    top = half - edge
    for sign in (1.0, -1.0):
        build.face([(sign * half, height - edge, -z), (sign * top, height, -z + edge),
                    (sign * top, height, z - edge), (sign * half, height - edge, z)],
                   roof, (sign, 1, 0))  # fmt: skip
        build.face([(-half, height - edge, sign * z), (-top, height, sign * (z - edge)),
                    (top, height, sign * (z - edge)), (half, height - edge, sign * z)],
                   roof, (0, 1, sign))  # fmt: skip
    build.on('+y', height, (-top, -z, top, z), roof)


def window_band(
    build: MeshBuilder,
    half: float,
    length: float,
    heights: tuple[float, float],
    pitch: float,
    doors: tuple[float, ...],
    floor: float,
) -> None:
    """Add windows on both sides, and doors on the right one."""
    low, high = heights
    count = max(1, int(length / pitch))
    for axis, at in (('-x', -half - 0.01), ('+x', half + 0.01)):
        build.on(axis, at, (-length / 2 + 0.3, low, length / 2 - 0.3, high), (40, 36, 33))
        for k in range(count):
            z = -length / 2 + 0.4 + k * (length - 0.8) / count
            z2 = z + (length - 0.8) / count - 0.12
            build.on(axis, at, (z, low + 0.08, z2, high - 0.08), GLASS, glow=0.0, detail=6)
            build.on(axis, at, (z, (low + high) / 2, z2, high - 0.08), (112, 100, 88), detail=12)
    for z in doors:
        build.on('+x', half + 0.02, (z - 0.65, floor + 0.1, z + 0.65, high), (52, 50, 48))
        for a in (z - 0.58, z + 0.05):
            build.on('+x', half + 0.03, (a, floor + 0.25, a + 0.53, high - 0.1), (86, 78, 70),
                     detail=10)  # fmt: skip
