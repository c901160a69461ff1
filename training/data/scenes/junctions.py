# SPDX-License-Identifier: Apache-2.0
"""Where streets cross: waiting and crossing traffic, people on the zebra, traffic lights."""

from __future__ import annotations

import math

from . import signals, signs
from .plan import KERB, Plan
from .sides import put_signs
from .traffic import vehicle
from .walkers import person


def place_crossings(plan: Plan) -> None:
    """Add what waits at the crossing streets, drives and walks there, and their lights."""
    random = plan.random
    left, right = plan.kerbs
    for at, half, with_signals in plan.crossings:
        for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
            way = random.choice((-1, 1))
            model, label = vehicle(plan)
            # It stands and waits beside the street, or is crossing it.
            outside = right if way < 0 else left
            waiting = plan.moving or random.random() < 0.5
            beside = -way * (outside + 2.5 + model.size[2] / 2 + random.uniform(0, 12))
            d = beside if waiting else random.uniform(-left, right)
            lane = -way * half / 2
            speed = 0.0 if waiting else 6.0
            if at > 11:
                plan.add_vehicle(model, at + lane, d, label, way * math.pi / 2, speed)
        for near in (at - half - 2, at + half + 2):
            for _ in range(random.choices((0, 1, 2, 4), (4, 3, 2, 1))[0]):
                if random.random() < 0.5 * plan.city.crowd:
                    one = person(plan)
                    turn = random.choice((-1, 1)) * math.pi / 2 + random.gauss(0, 0.15)
                    at_s, at_d = near + random.uniform(-1, 1), random.uniform(-left, right)
                    if plan.clear(at_s, at_d, 0.3, 0.3):
                        plan.add(one, at_s, at_d, 'person', turn=turn, speed=1.3 * one.stride)
        if with_signals:
            _signals(plan, at, half)
        else:
            put_signs(plan, at - half - 3.5, right + 0.5, facing=True)


def _signals(plan: Plan, at: float, half: float) -> None:
    """Put traffic lights at a crossing, for those who come from here and from there."""
    random = plan.random
    left, right = plan.kerbs
    start = random.uniform(0, 21)
    if plan.moving:  # a drive gets there on green
        start = 12 + start / 4 - (at - half) / plan.pace
    gantry = plan.each_way > 1 or random.random() < 0.35
    board = random.random() < 0.4
    low = round(random.uniform(2.1, 2.5), 1)
    places = [(at - half - 4, right + 0.5, 0.0), (at + half + 4, -left - 0.5, math.pi)]
    if random.random() < 0.6:
        places.append((at - half - 4, -0.2 if plan.tracks else -left - 0.5, 0.0))
    if random.random() < 0.5:
        places.append((at + half + 5, right + 0.5, 0.0))
    for k, (s, d, turn) in enumerate(places):
        arm = -round(random.uniform(3.5, 6), 1) if gantry and k in (0, 3) else 0.0
        height = 5.6 if arm else low + 1.0
        plan.add(signals.signal_pole(height, arm), s, d, turn=turn, y=KERB)
        _signal(plan, signals.Signal(low, 0.0, start), s, d, turn)
        if arm:
            for share in (1.0, 0.55)[: plan.each_way]:
                over = signals.Signal(4.55, arm * share, start, scale=1.1, backboard=board)
                _signal(plan, over, s, d, turn)
            if random.random() < 0.4:
                sign, back = signs.random_sign(random, 4.5, arm * 0.25)
                plan.add(sign, s, d, 'traffic sign', turn=turn, y=KERB, nearer=0.15, shadow=False)
                plan.add(back, s, d, turn=turn, y=KERB, nearer=-0.15, shadow=False)
        if random.random() < 0.55:  # for those on foot who cross the street
            walk = signals.Signal(low, -0.2, start + 10.5, ('red', 'green'), 0.9)
            _signal(plan, walk, s, d, turn + random.choice((-1, 1)) * math.pi / 2)
        if random.random() < 0.3 and turn == 0:
            put_signs(plan, s + 0.8, d + 0.3, facing=True)


def _signal(plan: Plan, signal: signals.Signal, s: float, d: float, turn: float) -> None:
    plan.add(signal, s, d, 'traffic light', turn=turn, y=KERB, nearer=0.2, shadow=False)
