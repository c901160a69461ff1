# SPDX-License-Identifier: Apache-2.0
"""Whether a distilled network is taken instead of a plain one, and the sentence that says why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kd_yolo_ros.metrics.bootstrap import Difference, Interval
from kd_yolo_ros.metrics.judged import BOX, MASK, TITLES

PLAIN = 'plain'
DISTILLED = 'distilled'  # the name of an arm that was given none


@dataclass(frozen=True)
class Decision:
    """What is taken.

    Attributes:
        arm: its name.
        sentence: why, for people, with what remains to be said.
    """

    arm: str
    sentence: str


def corrected_level(level: float, candidates: int) -> float:
    """Return the level of each interval at which all of them hold together with `level`.

    Bonferroni's correction: the more is tried, the more luck there is in the best of it.
    """
    return 1 - (1 - level) / candidates


def decide(
    differences: Mapping[str, Difference], seeds: Mapping[str, int], remarks: Sequence[str] = ()
) -> Decision:
    """Take the best candidate whose AP50-95 is surely above plain's, or else plain.

    Of networks that segment it is that of masks.

    Args:
        differences: candidate minus plain, by the candidate's name; intervals at
            `corrected_level`.
        seeds: how many networks there are of each, plain among them.
        remarks: sentences that go with the one of the decision.
    """
    best = max(differences, key=lambda name: differences[name].judged.difference)
    sure = [name for name, found in differences.items() if found.judged.low > 0]
    if sure:
        best = max(sure, key=lambda name: differences[name].judged.difference)
    found = differences[best]
    label = DISTILLED if best == DISTILLED else f'{DISTILLED} ({best})'
    tried = '' if len(differences) == 1 else f', corrected for {len(differences)} tried,'
    figures = (
        f'{in_points(found.judged.difference)} {TITLES[MASK if found.mask_map50_95 else BOX]} '
        f'({percent(found.level)} interval{tried} {interval_text(found.judged)}) over plain'
    )
    seeds_text = _seeds(seeds[best], seeds[PLAIN])
    if sure:
        sentence = f'{label} is taken: {figures}, {seeds_text}.'
    else:
        sentence = f'plain is taken: {label} has {figures}, which may be no gain, {seeds_text}.'
    return Decision(best if sure else PLAIN, ' '.join([sentence, *remarks]))


def in_points(difference: float) -> str:
    """Return a difference of AP in hundredths, with its sign."""
    text = f'{100 * difference:+.1f}'
    return '+0.0' if text == '-0.0' else text


def interval_text(interval: Interval) -> str:
    """Return where a difference lies, in hundredths."""
    return f'{in_points(interval.low)} to {in_points(interval.high)}'


def percent(level: float) -> str:
    """Return a level as people write it: with two digits of what is missing to 100 %."""
    digits = 1 - math.floor(math.log10(100 * (1 - level)))
    text = f'{100 * level:.{max(digits, 1)}f}'
    return f'{text.rstrip("0").rstrip(".")} %'


def _seeds(other: int, plain: int) -> str:
    if other == plain:
        return f'{other} seed{"" if other == 1 else "s"} each'
    return f'{other} against {plain} seeds'
