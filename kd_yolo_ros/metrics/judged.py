# SPDX-License-Identifier: Apache-2.0
"""By which figure models are compared: mask AP where all of them have it, else that of boxes."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping

BOX, MASK = 'map50_95', 'mask_map50_95'
TITLES = {BOX: 'AP50-95', MASK: 'mask AP50-95'}


def judged_by(results: Iterable[Mapping[str, Any]]) -> str:
    """Return BOX or MASK, the key of the figure in each of some results (or differences)."""
    masks = [result.get(MASK) is not None for result in results]
    return MASK if masks and all(masks) else BOX


def of_classes(difference: Mapping[str, Any], figure: str) -> Dict[str, Any]:
    """Return the intervals by class that a difference's dict holds for a figure."""
    return difference['mask_per_class' if figure == MASK else 'per_class']
