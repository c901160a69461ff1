# SPDX-License-Identifier: Apache-2.0
"""Cars, vans, buses, trucks and trams as painted solids of their usual sizes in metres."""

from __future__ import annotations

from random import Random

from .mesh import Colour, Mesh, MeshBuilder, Solid

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


def _mixed(colour: Colour, factor: float) -> Colour:
    return tuple(min(c * factor, 255.0) for c in colour)


def _wheels(
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
            build.disc((x, radius, z), radius * 0.16, _mixed(rim, 0.7), out, detail=20)


def _underside(build: MeshBuilder, half: float, length: float, radius: float, far: bool) -> None:
    """Add the dark below a body, and the wheels seen through under it; call it first."""
    front, back = length / 2 * 0.93, -length / 2 * 0.93
    build.on('-z', back, (-half * 0.85, 0.16, half * 0.85, 0.5), (14, 14, 14))
    build.on('+z', front, (-half * 0.85, 0.16, half * 0.85, 0.5), (14, 14, 14))
    if far:
        for z in (back * 0.66, front * 0.66):
            for x in (-half * 0.86, half * 0.86):
                build.on('-z', z - 0.1, (x - 0.11, 0, x + 0.11, radius), RUBBER)
                build.on('+z', z + 0.1, (x - 0.11, 0, x + 0.11, radius), RUBBER)


# Profiles: length, width, height, hood height, then along z as shares of the length (front 1,
# rear 0): end of the boot, rear foot and top of the cabin, front top and foot of the cabin.
_SHAPES = {
    'hatchback': (3.9, 1.72, 1.48, 0.92, (0.0, 0.02, 0.12, 0.56, 0.76)),
    'sedan': (4.65, 1.82, 1.45, 0.92, (0.0, 0.14, 0.29, 0.58, 0.75)),
    'wagon': (4.6, 1.8, 1.48, 0.93, (0.0, 0.01, 0.09, 0.58, 0.75)),
    'suv': (4.5, 1.88, 1.7, 1.06, (0.0, 0.02, 0.1, 0.58, 0.76)),
    'minivan': (4.5, 1.85, 1.72, 1.02, (0.0, 0.01, 0.07, 0.66, 0.87)),
    'van': (5.4, 2.0, 2.35, 1.2, (0.0, 0.0, 0.02, 0.74, 0.9)),
}


def car(random: Random, lights: bool = True) -> Solid:
    """Return a car or van; parked ones have no lights."""
    kind = random.choices(list(_SHAPES), (5, 4, 4, 4, 2, 2))[0]
    length, width, height, hood, shape = _SHAPES[kind]
    factor = random.uniform(0.95, 1.06)
    length, width, height = length * factor, width * random.uniform(0.97, 1.03), height * factor
    colour = (232, 232, 230) if kind == 'van' and random.random() < 0.5 else paint(random)
    if kind == 'sedan' and random.random() < 0.12:
        colour = (190, 225, 235)  # a taxi
    mesh = _car_body(random, colour, (length, width, height), hood * factor, shape, kind, lights)
    return Solid(((mesh, (0.0, 0.0, 0.0)),), (width, height, length))


def _car_body(
    random: Random,
    colour: Colour,
    size: tuple[float, float, float],
    hood: float,
    shape: tuple[float, ...],
    kind: str,
    lights: bool,
) -> Mesh:
    length, width, height = size
    half = width / 2
    belt = hood * 1.02
    _, rear_foot, rear_top, front_top, front_foot = ((s - 0.5) * length for s in shape)
    front, back = length / 2, -length / 2
    floor, radius = 0.24, 0.31 if kind not in ('suv', 'van') else 0.36
    chamfer, narrow = 0.28, half * 0.84
    build = MeshBuilder()
    _underside(build, half, length, radius, far=True)
    dark, lighter = _mixed(colour, 0.72), _mixed(colour, 1.08)
    for sign in (1.0, -1.0):
        side = (sign, 0.0, 0.0)
        x = sign * half
        z1, z2 = back + chamfer, front - chamfer
        build.face([(x, floor, z1), (x, belt, z1), (x, belt, front_foot), (x, hood * 0.95, z2),
                    (x, floor, z2)], colour, side)  # fmt: skip
        build.face([(x, floor, z1), (x, 0.5, z1), (x, 0.5, z2), (x, floor, z2)], dark, side,
                   detail=8)  # fmt: skip
        build.face([(x, belt * 0.86, z1), (x, belt, z1), (x, belt, front_foot),
                    (x, hood * 0.95, z2), (x, hood * 0.82, z2)], lighter, side,
                   detail=8)  # fmt: skip
        for end, z, z_end, top in (('rear', z1, back, belt), ('front', z2, front, hood * 0.9)):
            along = -1.0 if end == 'rear' else 1.0
            inner_top = top if end == 'rear' else hood * 0.86
            outer_top = belt if end == 'rear' else hood * 0.95
            build.face(
                [(x, floor, z), (x, outer_top, z), (sign * narrow, inner_top, z_end),
                 (sign * narrow, floor + 0.05, z_end)],
                colour, (sign, 0, along),
            )  # fmt: skip
    rear_top_edge = belt
    for along, z, top in ((-1.0, back, rear_top_edge), (1.0, front, hood * 0.86)):
        axis = '+z' if along > 0 else '-z'
        build.on(axis, z, (-narrow, floor + 0.05, narrow, top), colour)
        build.on(axis, z, (-narrow, floor + 0.05, narrow, 0.52), dark, detail=8)
    up = (0.0, 1.0, 0.0)
    build.face(
        [(-half, hood * 0.95, front - chamfer), (-narrow, hood * 0.86, front),
         (narrow, hood * 0.86, front), (half, hood * 0.95, front - chamfer),
         (half, belt, front_foot), (-half, belt, front_foot)], colour, up,
    )  # fmt: skip
    build.face(
        [(-half, belt, rear_foot), (half, belt, rear_foot), (half, belt, back + chamfer),
         (narrow, belt, back), (-narrow, belt, back), (-half, belt, back + chamfer)], colour, up,
    )  # fmt: skip
    _cabin(build, colour, half, belt, height, (rear_foot, rear_top, front_top, front_foot), kind)
    _car_details(
        build, random, colour, narrow, half, front, back, floor, belt, hood, front_foot, lights
    )
    _wheels(build, half, radius, (length * 0.31, -length * 0.3),
            random.choice([(170, 168, 165), (120, 118, 116), (60, 58, 56)]))  # fmt: skip
    return build.build()


def _cabin(
    build: MeshBuilder,
    colour: Colour,
    half: float,
    belt: float,
    height: float,
    along: tuple[float, float, float, float],
    kind: str,
) -> None:
    rear_foot, rear_top, front_top, front_foot = along
    roof = half * (0.8 if kind != 'van' else 0.92)
    bright = _mixed(GLASS, 1.9)
    for sign in (1.0, -1.0):

        def side(share: float, up: float, sign: float = sign) -> tuple[float, float, float]:
            """A point on the cabin's side: share from rear to front, up from belt to roof."""
            rear = rear_foot + (rear_top - rear_foot) * up
            ahead = front_foot + (front_top - front_foot) * up
            x = half + (roof - half) * up
            return (sign * x, belt + (height - belt) * up, rear + (ahead - rear) * share)

        out = (sign, 0.15, 0.0)
        build.face([side(0, 0), side(0, 1), side(1, 1), side(1, 0)], colour, out)
        if kind == 'van':
            windows: tuple[tuple[float, float], ...] = ((0.72, 0.95),)
        else:
            windows = ((0.06, 0.24), (0.28, 0.58), (0.62, 0.94))
        for a, b in windows:
            build.face([side(a, 0.12), side(a, 0.84), side(b, 0.84), side(b, 0.12)], GLASS, out)
            build.face([side(a, 0.55), side(a, 0.84), side(b, 0.84), side(b, 0.55)], bright, out,
                       detail=14)  # fmt: skip
    for z_foot, z_top, sign in ((rear_foot, rear_top, -1.0), (front_foot, front_top, 1.0)):
        out = (0.0, 0.5, sign)

        def pane(share: float, up: float, foot: float = z_foot, top: float = z_top) -> tuple:
            x = half * 0.98 + (roof - half * 0.98) * up
            return (x * share, belt + (height - belt) * up, foot + (top - foot) * up)

        build.face([pane(-1, 0), pane(-1, 1), pane(1, 1), pane(1, 0)], colour, out)
        if kind == 'van' and sign < 0:
            for a, b in ((-0.85, -0.06), (0.06, 0.85)):
                build.face([pane(a, 0.3), pane(a, 0.85), pane(b, 0.85), pane(b, 0.3)], GLASS, out)
            continue
        corners = ((-0.9, 0.06), (-0.88, 0.9), (0.88, 0.9), (0.9, 0.06))
        build.face([pane(a, u) for a, u in corners], GLASS, out)
        build.face(
            [pane(a, u) for a, u in ((-0.89, 0.58), (-0.88, 0.9), (0.88, 0.9), (0.1, 0.58))],
            bright,
            out,
            detail=14,
        )
        for x in (-0.45, 0.45):  # the seats' head rests
            build.face([pane(x - 0.13, 0.08), pane(x - 0.11, 0.45), pane(x + 0.11, 0.45),
                        pane(x + 0.13, 0.08)], (34, 31, 28), out, detail=26)  # fmt: skip
    build.on('+y', height, (-roof, rear_top, roof, front_top), colour)


def _car_details(
    build: MeshBuilder,
    random: Random,
    colour: Colour,
    narrow: float,
    half: float,
    front: float,
    back: float,
    floor: float,
    belt: float,
    hood: float,
    front_foot: float,
    lights: bool,
) -> None:
    edge = narrow * 0.98
    braking = lights and random.random() < 0.35
    red = (60, 50, 245) if braking else RED_LIGHT
    tall = random.choice([0.12, 0.16, 0.3])
    seam = _mixed(colour, 0.5)
    y = belt * random.uniform(0.78, 0.9)
    for sign in (1.0, -1.0):
        a, b = sorted((sign * edge, sign * edge * random.choice([0.62, 0.72])))
        build.on('-z', back - 0.01, (a, y - tall, b, y), red, glow=0.6 if braking else 0.2)
        build.on('-z', back - 0.01, (a, y - tall * 0.45, b, y - tall * 0.3), (190, 190, 215),
                 detail=26)  # fmt: skip
        head = hood * 0.8
        a, b = sorted((sign * edge, sign * edge * 0.6))
        build.on('+z', front + 0.01, (a, head - 0.16, b, head), (205, 212, 215), glow=0.15)
        build.on('+z', front + 0.01, (a + 0.05, head - 0.12, b - 0.05, head - 0.04), WHITE_LIGHT,
                 glow=0.3, detail=16)  # fmt: skip
        # Mirrors.
        x1, x2 = sorted((sign * half, sign * (half + 0.17)))
        build.on('-z', front_foot - 0.22, (x1, belt, x2, belt + 0.13), DARK, detail=10)
        build.on('+z', front_foot - 0.12, (x1, belt, x2, belt + 0.13), DARK, detail=10)
        for z in (front_foot - 0.15, front_foot - 1.05, front_foot - 1.95):
            build.on(
                '-x' if sign < 0 else '+x',
                sign * (half + 0.005),
                (z - 0.009, floor + 0.1, z + 0.009, belt),
                seam,
                detail=45,
            )
        for z in (front_foot - 0.98, front_foot - 1.88):
            build.on('-x' if sign < 0 else '+x', sign * (half + 0.01),
                     (z, belt * 0.82, z + 0.18, belt * 0.86), CHROME, detail=30)  # fmt: skip
        if lights:
            place = (sign * edge * 0.8, head - 0.08, front + 0.05)
            build.lamp(place, (0, 0, 1), (200, 225, 235), 0.75)
            build.lamp((sign * edge * 0.85, y - tall / 2, back - 0.05), (0, 0, -1),
                       (40, 30, 230), 0.6 if braking else 0.32)  # fmt: skip
    build.on('-z', back - 0.01, (-0.26, floor + 0.32, 0.26, floor + 0.44), PLATE, detail=8)
    build.on('-z', back - 0.02, (-0.19, floor + 0.35, 0.19, floor + 0.41), (70, 66, 64), detail=40)
    build.on('-z', back - 0.01, (-edge, floor + 0.05, edge, floor + 0.2), DARK, detail=10)
    build.on('+z', front + 0.01, (-edge * 0.55, hood * 0.55, edge * 0.55, hood * 0.78), DARK)
    build.on('+z', front + 0.02, (-edge * 0.5, hood * 0.65, edge * 0.5, hood * 0.68), CHROME,
             detail=24)  # fmt: skip
    build.on('+z', front + 0.01, (-edge * 0.8, floor + 0.08, edge * 0.8, floor + 0.2), DARK,
             detail=10)  # fmt: skip
    build.on('+z', front + 0.02, (-0.26, floor + 0.17, 0.26, floor + 0.28), PLATE, detail=8)


def _carriage(
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


def _window_band(
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


def bus(random: Random) -> Solid:
    """Return a city bus or a coach of 10.5 to 13 m."""
    length, width, height = random.uniform(10.5, 13), 2.5, random.uniform(2.95, 3.3)
    body = random.choice([(60, 60, 205), (45, 195, 235), (228, 226, 222), (150, 90, 40),
                          (70, 150, 70), (215, 212, 208), (160, 165, 60)])  # fmt: skip
    lower = random.choice([body, (225, 224, 222), (90, 86, 82), _mixed(body, 0.6)])
    half, front = width / 2, length / 2
    build = MeshBuilder()
    _underside(build, half, length, 0.48, far=True)
    _carriage(build, (width, height, length), 0.32, body, lower, _mixed(body, 0.9))
    doors = (front - 1.0, -0.2, -front + 2.4)
    _window_band(build, half, length, (1.35, height - 0.55), 1.6, doors, 0.32)
    for axis, z in (('+z', front + 0.01), ('-z', -front - 0.01)):
        ahead = axis == '+z'
        low = 1.05 if ahead else 1.6
        build.on(axis, z, (-1.15, low, 1.15, height - 0.62), GLASS)
        build.on(axis, z, (-1.15, 2.0, 1.15, height - 0.62), (100, 90, 80), detail=10)
        build.on(axis, z, (-0.95, height - 0.55, 0.95, height - 0.25), (20, 20, 20))
        text = (40, 170, 250)
        for k in range(8):  # the line and where it goes, as far as one can read it
            x = -0.85 + 0.2 * k + (0.08 if k > 1 else 0)
            build.on(
                axis, z, (x, height - 0.48, x + 0.13, height - 0.32), text, glow=0.9, detail=14
            )
        for sign in (1.0, -1.0):
            a, b = sorted((sign * 1.15, sign * 0.8))
            light = WHITE_LIGHT if ahead else RED_LIGHT
            build.on(axis, z, (a, 0.6, b, 0.85 if ahead else 1.15), light, glow=0.25)
            colour = (200, 225, 235) if ahead else (40, 30, 230)
            build.lamp((sign, 0.75, z * 1.01), (0, 0, 1 if ahead else -1), colour, 0.6)
        build.on(axis, z, (-0.26, 0.5, 0.26, 0.62), PLATE, detail=12)
        build.on(axis, z, (-1.2, 0.34, 1.2, 0.48), DARK, detail=8)
    if random.random() < 0.4:  # an advertisement along the side
        for axis, x in (('-x', -half - 0.01), ('+x', half + 0.01)):
            z = random.uniform(-3, 0)
            build.on(axis, x, (z, 0.55, z + 3, 1.25), random.choice(PAINTS)[0], detail=6)
    for sign in (1.0, -1.0):
        a, b = sorted((sign * (half + 0.02), sign * (half + 0.3)))
        build.on('+z', front + 0.1, (a, 1.9, b, 2.5), DARK, detail=8)
        build.on('-z', front - 0.1, (a, 1.9, b, 2.5), DARK, detail=8)
    _wheels(build, half, 0.48, (front - 2.7, -front + 3.2))
    return Solid(((build.build(), (0.0, 0.0, 0.0)),), (width, height, length))


def truck(random: Random) -> Solid:
    """Return a box truck, dropside, tanker or refuse lorry of 6.5 to 10.5 m."""
    length, width = random.uniform(6.5, 10.5), random.uniform(2.3, 2.5)
    height = random.uniform(3.0, 3.8)
    half, cab_length, cab_height = width / 2, 2.0, min(random.uniform(2.6, 3.1), height)
    colour = paint(random)
    cab = MeshBuilder()
    z1, z2 = -cab_length / 2, cab_length / 2
    narrow = half * 0.96
    cab.on('+z', z2, (-narrow, 0.3, narrow, 0.5), (14, 14, 14))
    cab.box((-narrow, 0.45, z1), (narrow, cab_height, z2), colour)
    cab.on('+z', z2 + 0.01, (-narrow * 0.94, 1.5, narrow * 0.94, cab_height - 0.35), GLASS)
    cab.on('+z', z2 + 0.01, (-narrow * 0.94, 2.1, narrow * 0.5, cab_height - 0.35), (104, 94, 84),
           detail=10)  # fmt: skip
    cab.on('+z', z2 + 0.01, (-narrow * 0.8, 0.85, narrow * 0.8, 1.35), DARK)
    for k in range(3):
        cab.on('+z', z2 + 0.02, (-narrow * 0.7, 0.92 + 0.14 * k, narrow * 0.7, 0.96 + 0.14 * k),
               (120, 120, 120), detail=16)  # fmt: skip
    cab.on('+z', z2 + 0.01, (-narrow, 0.45, narrow, 0.75), _mixed(colour, 0.55))
    for sign in (1.0, -1.0):
        axis = '+x' if sign > 0 else '-x'
        cab.on(axis, sign * (narrow + 0.01), (z1 + 0.6, 1.5, z2 - 0.25, cab_height - 0.45), GLASS)
        cab.on(axis, sign * (narrow + 0.01), (z1 + 0.5, 0.6, z1 + 0.53, cab_height - 0.4), DARK,
               detail=16)  # fmt: skip
        a, b = sorted((sign * narrow * 0.96, sign * narrow * 0.65))
        cab.on('+z', z2 + 0.02, (a, 0.55, b, 0.72), WHITE_LIGHT, glow=0.3)
        cab.lamp((sign * narrow * 0.8, 0.63, z2 + 0.05), (0, 0, 1), (200, 225, 235), 0.7)
        a, b = sorted((sign * (narrow + 0.03), sign * (narrow + 0.25)))
        for at in ('+z', '-z'):
            cab.on(at, z2 - 0.1, (a, 1.5, b, 2.2), DARK)
    _wheels(cab, narrow, 0.5, (0.1,))
    cargo = MeshBuilder()
    rest = length - cab_length - 0.25
    load = _LOADS[random.choices(range(3), (6, 2, 2))[0]]
    load(cargo, random, half, height, rest)
    back = -rest / 2
    cargo.on('-z', back - 0.02, (-half, 0.55, half, 0.75), DARK)
    for x in (-half * 0.75, half * 0.75):
        cargo.on('-z', back + 0.5, (x - 0.25, 0.0, x + 0.25, 0.9), RUBBER)
        cargo.on('-z', back - 0.03, (x - 0.2, 0.57, x + 0.2, 0.73), RED_LIGHT, glow=0.25)
        cargo.lamp((x, 0.65, back - 0.05), (0, 0, -1), (40, 30, 230), 0.4)
    cargo.on('-z', back - 0.03, (-0.26, 0.58, 0.26, 0.7), PLATE, detail=12)
    _wheels(cargo, half * 0.98, 0.5, (back + 1.0, back + 2.1) if rest > 5 else (back + 1.2,))
    parts = (
        (cab.build(), (0.0, length / 2 - cab_length / 2, 0.0)),
        (cargo.build(), (0.0, back + rest - length / 2, 0.0)),
    )
    return Solid(parts, (width, height, length))


def _closed_box(
    build: MeshBuilder, random: Random, half: float, height: float, length: float
) -> None:
    colour = random.choice([(228, 228, 226), (200, 202, 205), (170, 110, 60), (60, 70, 170),
                            (80, 140, 80), (60, 150, 220)])  # fmt: skip
    z1, z2 = -length / 2, length / 2
    build.box((-half, 0.75, z1), (half, height, z2), colour)
    build.on('-x', -half, (z1, 0.6, z2, 0.85), DARK)
    build.on('+x', half, (z1, 0.6, z2, 0.85), DARK)
    build.on('-z', z1 - 0.01, (-0.02, 0.8, 0.02, height - 0.05), DARK, detail=10)
    for x in (-half * 0.5, half * 0.5):
        build.on(
            '-z', z1 - 0.01, (x - 0.02, 0.85, x + 0.02, height - 0.1), (110, 110, 110), detail=10
        )
    logo = random.choice(PAINTS)[0]
    for axis, x in (('-x', -half - 0.01), ('+x', half + 0.01)):
        build.on(axis, x, (z1 + length * 0.2, 1.6, z1 + length * 0.7, 2.4), logo, detail=5)
        build.on(axis, x, (z1 + length * 0.25, 1.8, z1 + length * 0.6, 1.95), (235, 235, 235),
                 detail=14)  # fmt: skip
    build.on('-z', z1 - 0.01, (-half, 0.75, half, 0.85), (40, 40, 160), detail=8)


def _dropside(
    build: MeshBuilder, random: Random, half: float, height: float, length: float
) -> None:
    colour = random.choice([(40, 110, 200), (130, 130, 128), (60, 120, 60), (40, 160, 220)])
    z1, z2 = -length / 2, length / 2
    top = random.uniform(1.6, 2.1)
    build.box((-half, 0.8, z1), (half, top, z2), colour, top=(60, 80, 100))
    heap = random.choice([(70, 95, 120), (120, 125, 130), (60, 60, 60)])
    peak = top + 0.5
    for a, b in (((-1, -1), (1, -1)), ((1, -1), (1, 1)), ((1, 1), (-1, 1)), ((-1, 1), (-1, -1))):
        corners = [(a[0] * half * 0.9, top, a[1] * z2 * 0.9), (0, peak, 0),
                   (b[0] * half * 0.9, top, b[1] * z2 * 0.9)]  # fmt: skip
        build.face(corners, heap, (a[0] + b[0], 1, a[1] + b[1]))
    for k in range(4):
        z = z1 + length * (k + 0.5) / 4
        for axis, x in (('-x', -half - 0.01), ('+x', half + 0.01)):
            build.on(axis, x, (z - 0.05, 0.8, z + 0.05, top), _mixed(colour, 0.6), detail=10)


def _refuse(build: MeshBuilder, random: Random, half: float, height: float, length: float) -> None:
    colour = random.choice([(50, 120, 230), (225, 225, 225), (60, 140, 60)])
    z1, z2 = -length / 2, length / 2
    build.box((-half, 0.75, z1 + 1.2), (half, height, z2), colour)
    out = (0.0, 0.3, -1.0)
    build.face(
        [(-half, 0.8, z1), (half, 0.8, z1), (half, height * 0.8, z1), (-half, height * 0.8, z1)],
        _mixed(colour, 0.8),
        out,
    )
    for sign in (1.0, -1.0):
        build.face([(sign * half, 0.8, z1), (sign * half, height * 0.8, z1),
                    (sign * half, height, z1 + 1.2), (sign * half, 0.8, z1 + 1.2)],
                   _mixed(colour, 0.85), (sign, 0, 0))  # fmt: skip
    build.on('-z', z1 - 0.01, (-half * 0.8, 0.9, half * 0.8, height * 0.5), (40, 40, 40))
    for x in (-half * 0.9, half * 0.6):  # red and white warning plates
        build.on('-z', z1 - 0.02, (x, 1.0, x + 0.3, 1.6), (230, 230, 235), detail=8)
        build.on('-z', z1 - 0.03, (x, 1.2, x + 0.3, 1.4), (40, 40, 200), detail=8)


_LOADS = (_closed_box, _dropside, _refuse)


def tram(random: Random) -> Solid:
    """Return a tram of two or three linked cars, 18 to 32 m, Cityscapes' class `train`."""
    cars, width, height = random.choice([2, 3]), 2.4, 3.4
    length = random.uniform(9, 10.5)
    body = random.choice([(50, 50, 190), (225, 225, 222), (60, 190, 235), (150, 80, 40),
                          (90, 150, 60)])  # fmt: skip
    lower = random.choice([(60, 60, 60), (220, 220, 218), _mixed(body, 0.7)])
    parts = []
    for k in range(cars):
        build = MeshBuilder()
        half = width / 2
        build.on('-z', -length / 2, (-half * 0.8, 0.05, half * 0.8, 0.4), (14, 14, 14))
        build.on('+z', length / 2, (-half * 0.8, 0.05, half * 0.8, 0.4), (14, 14, 14))
        for axis, x in (('-x', -half * 0.95), ('+x', half * 0.95)):
            build.on(axis, x, (-length / 2, 0.1, length / 2, 0.4), (20, 20, 20))
        _carriage(build, (width, height, length), 0.3, body, lower, (150, 148, 145))
        _window_band(build, half, length, (1.25, height - 0.6), 1.9,
                     (-length * 0.25, length * 0.25), 0.3)  # fmt: skip
        ends = [('+z', 1.0)] * (k == cars - 1) + [('-z', -1.0)] * (k == 0)
        for axis, sign in ends:
            z = sign * (length / 2 + 0.01)
            build.on(axis, z, (-1.05, 1.2, 1.05, height - 0.75), GLASS)
            build.on(axis, z, (-1.05, 2.0, 1.05, height - 0.75), (98, 88, 78), detail=10)
            build.on(axis, z, (-0.7, height - 0.65, 0.7, height - 0.35), (20, 20, 20))
            build.on(axis, z, (-0.45, height - 0.58, 0.55, height - 0.42), (40, 170, 250), 0.9, 12)
            light = (200, 225, 235) if sign > 0 else (40, 30, 230)
            for x in (-0.85, 0.85):
                build.on(axis, z, (x - 0.15, 0.75, x + 0.15, 0.95), light, glow=0.3)
                build.lamp((x, 0.85, z * 1.01), (0, 0, sign), light, 0.6)
        if k == cars - 1:  # the pantograph
            for z in (-0.9, 0.9):
                build.face([(-0.4, height, z), (-0.4, height + 0.9, 0), (-0.33, height + 0.9, 0),
                            (-0.33, height, z)], (50, 50, 50), None, detail=8)  # fmt: skip
            build.face([(-0.8, height + 0.9, 0), (0.8, height + 0.9, 0), (0.8, height + 1, 0),
                        (-0.8, height + 1, 0)], (40, 40, 40), None, detail=8)  # fmt: skip
        parts.append((build.build(), (0.0, (k - (cars - 1) / 2) * (length + 0.5), 0.0)))
        if k:
            joint = MeshBuilder()
            joint.box((-1.0, 0.4, -0.3), (1.0, height - 0.2, 0.3), (48, 47, 46))
            place = (0.0, (k - 0.5 - (cars - 1) / 2) * (length + 0.5), 0.0)
            parts.append((joint.build(), place))
    return Solid(tuple(parts), (width, height, cars * (length + 0.5)))
