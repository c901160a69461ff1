# SPDX-License-Identifier: Apache-2.0
"""The vehicles and street furniture of a city: built once in each process, then drawn from."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random

from . import furniture, transit
from .cars import car
from .mesh import Solid
from .styles import City
from .trucks import truck

Pick = Callable[[Random], Solid]


class Stock:
    """What a city has of each kind; every attribute picks one.

    Building a car takes longer than drawing it, so the same ones are seen again in other pictures.
    """

    def __init__(self, city: City) -> None:
        random = Random(1000 + city.number)

        def several(make: Pick, count: int) -> Pick:
            made = [make(random) for _ in range(count)]
            return lambda chooser: chooser.choice(made)

        self.car = several(car, 48)
        self.parked = several(lambda source: car(source, lights=False), 48)
        self.truck = several(truck, 14)
        self.bus = several(transit.bus, 12)
        self.tram = several(transit.tram, 6)
        self.thing = several(furniture.thing, 24)
        self.billboard = several(furniture.billboard, 12)
        self.container = several(furniture.container, 8)


@cache
def stock(city: City) -> Stock:
    """Return a city's stock, always the same."""
    return Stock(city)
