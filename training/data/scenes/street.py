# SPDX-License-Identifier: Apache-2.0
"""A street of a city, planned and furnished, and how it looks to a camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from .camera import Camera, Pose
from .canvas import Canvas
from .ground import Ground, Road, Shade
from .houses import House
from .junctions import place_crossings
from .light import Light
from .paving import lay_ground
from .plan import Plan
from .sides import furnish, park, place_houses
from .sky import Sky, random_sky
from .styles import City
from .things import SIGHT, Thing
from .traffic import place_cyclists, place_traffic
from .walkers import place_groups, place_walkers


@dataclass
class Street:
    """Everything but the camera.

    Attributes:
        light: weather and time of day.
        sky: what is above and behind.
        ground: what is flat.
        things: what stands on it.
        lanes: d of the lanes in which the camera may drive, m.
        lamps: (s, d) of the lit lamps' pools on the ground.
    """

    light: Light
    sky: Sky
    ground: Ground
    things: list[Thing] = field(default_factory=list)
    lanes: list[float] = field(default_factory=list)
    lamps: list[tuple[float, float]] = field(default_factory=list)

    def draw(self, camera: Camera, time: float) -> Canvas:
        """Draw it as seen by a camera at a time in s."""
        canvas = Canvas(camera, self.light)
        self.sky.draw(canvas)
        self.ground.draw(canvas)
        seen = list(self._seen(camera, time))
        self._shade(canvas, seen)
        for _, thing, pose in sorted(seen, key=lambda item: -item[0]):
            canvas.start(thing.label)
            thing.model.draw(canvas, pose, time)
            canvas.finish()
        return canvas

    def _seen(self, camera: Camera, time: float) -> Iterator[tuple[float, Thing, Pose]]:
        forward = camera.rotation[2]
        for thing in self.things:
            pose = thing.pose(self.ground.road, time)
            away = pose.position - camera.position
            depth = float(away @ forward)
            reach = thing.model.size[2] / 2 + thing.model.size[0]
            if (
                -reach < depth < SIGHT + 25
                and abs(float(away @ camera.rotation[0])) < depth * 0.62 + reach + 6
            ):
                house = isinstance(thing.model, House)
                far = depth + (thing.model.size[2] / 2 if house else 0)
                yield far - thing.nearer, thing, pose

    def _shade(self, canvas: Canvas, seen: list[tuple[float, Thing, Pose]]) -> None:
        shade, light = Shade(canvas.camera), self.light
        sun = light.sun if light.direct.max() > 0.15 else None
        for _, thing, pose in seen:
            if thing.shadow and pose.z - canvas.camera.position[2] < 90:
                shade.shadow(pose, thing.model.size, sun)
                if light.lamps and thing.label in ('car', 'bus', 'truck') and thing.speed:
                    shade.beam(pose)
        if light.lamps:
            for s, d in self.lamps:
                at = self.ground.road.place(s, d)
                shade.pool(at.x, at.z, 5.5)
            position = canvas.camera.position
            shade.beam(Pose(float(position[0]), float(position[2])))
        shade.apply(canvas)


def plan_street(random: Random, city: City, length: float = SIGHT, pace: float = 9.0) -> Street:
    """Draw up a street of a city; the arguments are those of `Plan`."""
    plan = Plan(random, city, length, pace)
    curvature = random.choice((0.0, 0.0, random.uniform(-0.0022, 0.0022)))
    ground = lay_ground(plan, Road(curvature))
    sky = random_sky(random)
    for side in (-1, 1):
        place_houses(plan, side)
        furnish(plan, side)
        park(plan, side)
        place_walkers(plan, side)
    place_traffic(plan)
    place_cyclists(plan)
    place_crossings(plan)
    place_groups(plan)
    return Street(plan.light, sky, ground, plan.things, plan.lanes, plan.lamps)
