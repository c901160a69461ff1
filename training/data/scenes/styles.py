# SPDX-License-Identifier: Apache-2.0
"""The made-up cities: each has its own buildings, streets, weather and crowds."""

from __future__ import annotations

from dataclasses import dataclass

from .mesh import Colour

_PLASTER = ((205, 222, 232), (180, 205, 222), (196, 208, 212), (168, 190, 214), (210, 214, 210))
_BRICK = ((62, 80, 142), (78, 96, 150), (70, 92, 128), (98, 120, 160))
_STONE = ((150, 165, 176), (172, 180, 186), (132, 144, 152), (158, 172, 180))
_GLASS = ((150, 140, 125), (120, 112, 104), (172, 168, 160), (92, 90, 88))
_PASTEL = ((160, 205, 235), (190, 190, 225), (200, 215, 190), (170, 215, 225), (215, 205, 185))


@dataclass(frozen=True)
class City:
    """How a city looks.

    Attributes:
        name: as in the file names.
        number: the seed of its buildings.
        walls: colours of its houses, BGR.
        brick: share of houses with bricks.
        heights: of the houses, m.
        trees: chance of a tree at each place for one.
        lanes: weights of one and two lanes each way.
        tram: chance of tracks in the street.
        crowd: factor on the number of people.
        cycling: factor on the number of bicycles.
        parking: chance of each parking place being taken.
        signs: factor on the number of traffic signs.
        weather: weights of clear, overcast, dusk, night, rain, fog.
    """

    name: str
    number: int
    walls: tuple[Colour, ...]
    brick: float
    heights: tuple[float, float]
    trees: float
    lanes: tuple[float, float]
    tram: float
    crowd: float
    cycling: float
    parking: float
    signs: float
    weather: tuple[float, float, float, float, float, float]


CITIES = {
    'train': (
        City('ahlenbruck', 1, _PLASTER, 0.1,
             (10, 20), 0.5, (3, 1), 0.3, 1.0, 1.2, 0.6, 1.0, (5, 4, 1, 1, 1, 0.5)),
        City('brunnshafen', 2, _BRICK, 0.8,
             (8, 16), 0.4, (2, 1), 0.1, 0.8, 1.6, 0.5, 1.0, (3, 5, 1, 1, 3, 1)),
        City('corvello', 3, _PASTEL, 0.0,
             (9, 17), 0.25, (3, 1), 0.1, 1.6, 0.8, 0.7, 0.8, (8, 2, 1.5, 1, 0.5, 0.2)),
        City('dunmarsh', 4, _STONE, 0.4,
             (7, 13), 0.6, (4, 1), 0.0, 0.6, 0.7, 0.7, 0.9, (3, 5, 1, 1, 2, 2)),
        City('eldenau', 5, _GLASS, 0.0,
             (16, 34), 0.3, (1, 3), 0.35, 1.5, 0.9, 0.3, 1.4, (5, 3, 1, 1.5, 1, 0.5)),
        City('farnwick', 6, (*_BRICK, *_PLASTER), 0.4,
             (7, 12), 0.8, (4, 1), 0.0, 0.6, 0.9, 0.6, 0.8, (4, 5, 1, 0.5, 2, 1)),
        City('gallenz', 7, (*_STONE, *_PASTEL), 0.2,
             (12, 22), 0.4, (2, 2), 0.4, 1.4, 1.4, 0.5, 1.2, (5, 4, 1.5, 1.5, 1, 0.5)),
        City('hollenau', 8, (*_PLASTER, *_GLASS), 0.2,
             (9, 24), 0.5, (2, 2), 0.2, 1.0, 1.0, 0.5, 1.1, (4, 5, 1, 1, 1.5, 0.7)),
    ),
    'val': (
        City('immenroda', 9, (*_PLASTER, *_STONE), 0.2,
             (10, 20), 0.45, (2, 1), 0.3, 1.2, 1.2, 0.6, 1.0, (5, 4, 1, 1, 1, 0.5)),
        City('jorvell', 10, (*_BRICK, *_PASTEL), 0.4,
             (8, 16), 0.5, (3, 1), 0.1, 0.9, 1.1, 0.6, 1.0, (4, 4, 1, 1, 2, 1)),
        City('karstow', 11, (*_GLASS, *_STONE), 0.1,
             (12, 28), 0.4, (1, 2), 0.3, 1.3, 0.9, 0.4, 1.2, (5, 4, 1.2, 1.2, 1, 0.5)),
    ),
}  # fmt: skip
