# SPDX-License-Identifier: Apache-2.0
"""People on the pavements and over the zebra crossings, and groups far away."""

from __future__ import annotations

import math

from .cycles import bicycle
from .people import Crowd, Person, look
from .plan import KERB, Plan
from .stock import stock


def person(plan: Plan) -> Person:
    """Draw somebody on foot, who may stand."""
    random = plan.random
    stride = 0.0 if random.random() < 0.22 else random.uniform(0.7, 1.05)
    one = look(random, rain=plan.light.weather == 'rain')
    return Person(one, stride, random.uniform(0, 2 * math.pi), random.uniform(5.5, 7))


def place_walkers(plan: Plan, side: int) -> None:
    """Add people to the pavement of one side, alone or in twos and threes."""
    random = plan.random
    kerb, width = plan.edge(side), plan.pavement[side > 0]
    quiet = {'night': 0.5, 'rain': 0.7}.get(plan.light.weather, 1.0)
    lively = random.choice((0.3, 0.7, 1.0, 1.8))
    s = random.uniform(0, 10)
    while True:
        s += random.expovariate(0.075 * lively * quiet * plan.city.crowd) + 0.8
        if s > plan.length - 30:
            return
        turn = random.choice((0.0, math.pi))
        d = side * (kerb + random.uniform(0.5, width - 0.4))
        for k in range(random.choices((1, 2, 3), (7, 3, 1))[0]):
            one = person(plan)
            heading = turn + random.gauss(0, 0.2)
            if one.stride == 0:
                heading = random.uniform(0, 2 * math.pi)
            plan.add(
                one,
                s + random.uniform(-0.3, 0.3),
                d + 0.6 * k,
                'person',
                turn=heading,
                speed=1.4 * one.stride,
                y=KERB,
            )


def place_groups(plan: Plan) -> None:
    """Add people or bicycles far away that nobody would tell apart."""
    random = plan.random
    for kind, chance in (('persongroup', 0.35), ('bicyclegroup', 0.1), ('cargroup', 0.05)):
        if random.random() > chance:
            continue
        side = random.choice((-1, 1))
        kerb, width = plan.edge(side), plan.pavement[side > 0]
        members = []
        for _ in range(random.randint(6, 14)):
            if kind == 'persongroup':
                place = (random.uniform(-1.8, 1.8), random.uniform(-2.5, 2.5))
                members.append((person(plan), *place, random.uniform(0, 6)))
            elif kind == 'bicyclegroup':
                place = (random.uniform(-0.4, 0.4), random.uniform(-3, 3))
                members.append((bicycle(random), *place, 1.57 + random.gauss(0, 0.1)))
            elif len(members) < 4:
                members.append((stock(plan.city).parked(random), 2.3 * len(members) - 3, 0.0, 0.1))
        s = random.uniform(50, 85) if kind == 'persongroup' else random.uniform(20, 70)
        d, y = side * (kerb + width / 2), KERB
        if kind == 'cargroup':
            s, d, y = random.uniform(80, 100), side * (kerb + width + 4), 0.0
        if plan.free(s, 1):
            plan.add(Crowd(tuple(members), (3, 2, 5)), s, d, kind, y=y, shadow=False)
