# SPDX-License-Identifier: Apache-2.0
"""What drives: cars, trucks, buses, trams, and those on two wheels."""

from __future__ import annotations

import math

from .cycles import Rider, bicycle, motorcycle
from .people import rider_look
from .plan import LANE, Plan
from .stock import stock
from .things import Model


def vehicle(plan: Plan) -> tuple[Model, str]:
    """Draw a car, truck or bus, and its label."""
    random = plan.random
    kind = random.choices(('car', 'truck', 'bus'), (100, 4, 4))[0]
    made = stock(plan.city)
    return {'car': made.car, 'truck': made.truck, 'bus': made.bus}[kind](random), kind


def place_traffic(plan: Plan) -> None:
    """Fill the lanes and the tracks in both directions."""
    random = plan.random
    dense = random.choice((18, 30, 45, 80))
    for k in range(plan.each_way):
        for way in (1, -1):
            d = way * (plan.median + LANE * (k + 0.5))
            speed = plan.pace if way > 0 else random.uniform(0.7, 1.1) * 9
            s = random.uniform(9, 30) if way > 0 else random.uniform(2, 30)
            while s < plan.length + (60 if plan.moving else 0):
                model, label = vehicle(plan)
                plan.add_vehicle(
                    model,
                    s + model.size[2] / 2,
                    d + random.gauss(0, 0.15),
                    label,
                    0.0 if way > 0 else math.pi,
                    speed,
                )
                s += model.size[2] + 4 + random.expovariate(1 / dense)
    if plan.tracks:
        for way in (1, -1):
            if random.random() < 0.34:
                s = random.uniform(28, plan.length - 15)
                turn = 0.0 if way > 0 else math.pi
                tram = stock(plan.city).tram(random)
                plan.add_vehicle(tram, s, way * 1.65, 'train', turn, 7.0)


def place_cyclists(plan: Plan) -> None:
    """Add those who ride bicycles and motorcycles."""
    random = plan.random
    outer = plan.median + plan.each_way * LANE
    for way in (1, -1):
        s = random.uniform(5, 40)
        while s < plan.length - 35:
            s += random.expovariate(0.0055 * plan.city.cycling)
            d = way * (outer + (0.8 if plan.cycle_lane else -0.4))
            _ridden(plan, s, d, 0.0 if way > 0 else math.pi, False)
        if random.random() < 0.11:
            s, turn = random.uniform(8, 70), 0.0 if way > 0 else math.pi
            _ridden(plan, s, way * (outer - LANE / 2), turn, True)
    if random.random() < 0.1 * plan.city.cycling:  # somebody crosses the street
        s, d = random.uniform(12, 50), random.uniform(-4, 4)
        _ridden(plan, s, d, random.choice((-1, 1)) * 1.4, False)


def _ridden(plan: Plan, s: float, d: float, turn: float, motor: bool) -> None:
    """Add a two-wheeler and who rides it, which are two objects."""
    random, speed = plan.random, 9.0 if motor else 4.5
    cycle = motorcycle(random) if motor else bicycle(random)
    rider = Rider(rider_look(random, motor), motor, random.uniform(0, 6))
    label = 'motorcycle' if motor else 'bicycle'
    if plan.add_vehicle(cycle, s, d, label, turn, speed):
        plan.add(rider, s, d, 'rider', turn=turn, speed=speed, nearer=0.05, shadow=False)
