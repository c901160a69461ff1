# SPDX-License-Identifier: Apache-2.0
"""Cars and vans as painted solids."""

from __future__ import annotations

from random import Random

from .bodywork import (
    CHROME,
    DARK,
    GLASS,
    PLATE,
    RED_LIGHT,
    WHITE_LIGHT,
    mixed,
    paint,
    underside,
    wheels,
)
from .mesh import Colour, Mesh, MeshBuilder, Solid

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
    underside(build, half, length, radius, far=True)
    dark, lighter = mixed(colour, 0.72), mixed(colour, 1.08)
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
    wheels(build, half, radius, (length * 0.31, -length * 0.3),
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
    bright = mixed(GLASS, 1.9)
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
    seam = mixed(colour, 0.5)
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
