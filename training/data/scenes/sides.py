# SPDX-License-Identifier: Apache-2.0
"""Both sides of a street: houses, trees, lamps, signs, bicycle racks, parked vehicles."""

from __future__ import annotations

import math

import numpy as np

from . import furniture, signs
from .cycles import bicycle, motorcycle
from .facades import fronts
from .houses import House
from .plan import KERB, Plan
from .stock import stock


def place_houses(plan: Plan, side: int) -> None:
    """Line one side (-1 left, 1 right) with houses, small parks and gaps."""
    random, choice = plan.random, fronts(plan.city)
    line = plan.edge(side) + plan.pavement[side > 0]
    s = random.uniform(-12, -4)
    while s < plan.length + 35:
        if random.random() < 0.09:  # a small park
            gap = random.uniform(10, 26)
            for at in np.arange(s + 2, s + gap, 3.5):
                plant(plan, at + random.uniform(-1, 1), side * (line + random.uniform(1, 9)))
            s += gap
            continue
        front = random.choice(choice)
        blocked = [(one.s - one.half - 2.5, one.s + one.half + 2.5) for one in plan.crossings]
        blocked = [(low, high) for low, high in blocked if low < s + front.width and s < high]
        if blocked:
            low, high = blocked[0]
            fitting = [one for one in choice if one.width <= low - s]
            if not fitting:
                s = max(high, s + 0.1)
                continue
            front = random.choice(fitting)
        house = House(front, side, front.height < 18 and random.random() < 0.7)
        plan.add(house, s + front.width / 2, side * line)
        s += front.width + (random.uniform(2, 5) if random.random() < 0.08 else 0.0)


def plant(plan: Plan, s: float, d: float) -> None:
    """Add a tree."""
    random = plan.random
    tree = furniture.Tree(random.randrange(10), random.uniform(4.5, 10), random.random() < 0.5)
    plan.add(tree, s, d, y=KERB)


def furnish(plan: Plan, side: int) -> None:
    """Put trees, lamps, signs, racks and other things on the pavement of one side."""
    random, city = plan.random, plan.city
    kerb, width = plan.edge(side), plan.pavement[side > 0]
    near, far = side * (kerb + 0.55), side * (kerb + width - 0.4)
    trees = random.random() < 0.75
    lamp_at = random.uniform(0, 25)
    s = random.uniform(-2, 5)
    while s < plan.length:
        s += random.uniform(3.5, 7)
        if not plan.free(s, 2):
            continue
        if s > lamp_at:
            lamp_at = s + random.uniform(24, 32)
            arm = -side * round(random.uniform(1.2, 2.2), 1)
            plan.add(furniture.street_lamp(round(random.uniform(6, 8.5), 1), arm), s, near, y=KERB)
            plan.lamps.append((s, near + arm))
        elif trees and random.random() < city.trees:
            plant(plan, s, side * (kerb + 0.8))
        elif random.random() < (0.42 if s < 85 else 0.15) * city.signs:
            put_signs(plan, s, near, facing=side > 0 or random.random() < 0.25)
        elif random.random() < 0.24 * city.cycling:
            _rack(plan, s, side * (kerb + random.choice((0.9, width - 1.0))))
        elif random.random() < 0.3:
            plan.add(
                stock(plan.city).thing(random),
                s,
                random.choice((near, far)),
                turn=random.choice((0, math.pi / 2)),
                y=KERB,
            )
        elif random.random() < 0.1:
            turn = random.choice((0.0, math.pi / 2, math.pi, 0.2))
            plan.add(stock(plan.city).billboard(random), s, far, turn=turn, y=KERB)
        elif random.random() < 0.06 and width > 3:
            shelter = furniture.shelter()
            plan.add(shelter, s, side * (kerb + 1.6), turn=0 if side > 0 else math.pi, y=KERB)
        elif random.random() < 0.06:
            turn = random.uniform(0, 2 * math.pi)
            plan.add(motorcycle(random), s, side * (kerb + 1), 'motorcycle', turn=turn, y=KERB)


def _rack(plan: Plan, s: float, d: float) -> None:
    turn = plan.random.choice((0.0, math.pi / 2, math.pi, 0.5))
    for k in range(plan.random.choice((1, 1, 2, 3, 4))):
        plan.add(
            bicycle(plan.random),
            s + 0.75 * k,
            d,
            'bicycle',
            turn=turn + plan.random.gauss(0, 0.12),
            y=KERB,
        )


def put_signs(plan: Plan, s: float, d: float, facing: bool) -> None:
    """Put up a pole with one to three signs, seen from the front or from behind."""
    random = plan.random
    turn = (0.0 if facing else math.pi) + random.gauss(0, 0.12)
    bottom, top = random.uniform(1.9, 2.3), 0.0
    for _ in range(random.choices((1, 2, 3), (6, 4, 1))[0]):
        sign, back = signs.random_sign(random, bottom + top)
        top += sign.height + 0.04
        plan.add(sign, s, d, 'traffic sign', turn=turn, y=KERB, nearer=0.12, shadow=False)
        plan.add(back, s, d, turn=turn, y=KERB, nearer=0.1 if not facing else -0.1, shadow=False)
    plan.add(signs.pole(round(bottom + top, 1)), s, d, y=KERB)


def park(plan: Plan, side: int) -> None:
    """Park vehicles along one side, where it has places for them."""
    if not plan.parking[side > 0]:
        return
    random, s = plan.random, plan.random.uniform(-4, 3)
    d = side * (plan.edge(side) - 1.1)
    turn = 0.0 if side > 0 else math.pi
    while s < plan.length - 20:
        s += random.uniform(5.6, 6.6)
        if not plan.free(s, 5.5) or random.random() > plan.city.parking:
            continue
        if random.random() < 0.03:
            plan.add(stock(plan.city).container(random), s, d, turn=turn)
        elif random.random() < 0.025:
            plan.add_vehicle(stock(plan.city).truck(random), s + 3, d, 'truck', turn)
            s += 5
        elif random.random() < 0.04:
            aslant = turn + random.gauss(0, 0.4)
            plan.add_vehicle(motorcycle(random), s, d, 'motorcycle', aslant)
        else:
            heading = turn + random.gauss(0, 0.03) + (math.pi if random.random() < 0.08 else 0)
            parked = stock(plan.city).parked(random)
            plan.add_vehicle(parked, s, d + random.gauss(0, 0.1), 'car', heading)
