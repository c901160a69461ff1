# SPDX-License-Identifier: Apache-2.0
"""Cityscapes' semantic maps (labelTrainIds, labelIds) in the classes of a data set.

M. Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from kd_yolo_ros.errors import UserError

from .cityscapes import IMAGES
from .dataset import Picture

# The classes of ours, by their ids in the two kinds of maps.
TRAIN_IDS = {
    'traffic light': 6, 'traffic sign': 7, 'person': 11, 'rider': 12, 'car': 13, 'truck': 14,
    'bus': 15, 'train': 16, 'motorcycle': 17, 'bicycle': 18,
}  # fmt: skip
LABEL_IDS = {
    'traffic light': 19, 'traffic sign': 20, 'person': 24, 'rider': 25, 'car': 26, 'truck': 27,
    'bus': 28, 'train': 31, 'motorcycle': 32, 'bicycle': 33,
}  # fmt: skip
KINDS = {'labelTrainIds': TRAIN_IDS, 'labelIds': LABEL_IDS}


class SemanticMaps:
    """The maps of a folder in Cityscapes' layout, as gtFine/.

    Args:
        folder: with SPLIT/CITY/NAME_gtFine_labelTrainIds.png, or labelIds.
        names: class names of the data set; of those that Cityscapes lacks no pixel is known.

    Raises:
        UserError: it is no folder, or Cityscapes has none of the classes.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        if not folder.is_dir():
            raise UserError(f'{folder} is no folder; give that of the semantic maps, gtFine/.')
        if not TRAIN_IDS.keys() & set(names):
            raise UserError(
                f'Cityscapes has maps of {", ".join(TRAIN_IDS)}, and of none of the classes '
                f'{", ".join(names)}.'
            )
        self._tables = {kind: _table(ids, names) for kind, ids in KINDS.items()}
        self._files: dict[str, tuple[Path, str]] = {}
        for kind in reversed(KINDS):  # the first has the last word
            for file in sorted(folder.glob(f'**/*_{kind}.png')):
                name = file.name[: -len(f'_{kind}.png')]
                self._files[name.rpartition('_')[0]] = file, kind

    def read(self, picture: Picture) -> np.ndarray | None:
        """Return a picture's map, (H, W) int32 class ids or -1; None where it has none.

        Raises:
            UserError: the file is no map, or of another size than the picture.
        """
        found = self._files.get(picture.file.stem.removesuffix(f'_{IMAGES}'))
        if found is None:
            return None
        file, kind = found
        try:
            ids = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)
        except (OSError, cv2.error):
            ids = None
        if ids is None or ids.ndim != 2 or ids.dtype != np.uint8:
            raise UserError(f'{file} is no map of {kind}, expected 8 bit and one channel')
        if picture.size is not None and ids.shape != picture.size[::-1]:
            raise UserError(
                f'{file} is {ids.shape[1]}x{ids.shape[0]}, but its picture is '
                f'{picture.size[0]}x{picture.size[1]}'
            )
        return self._tables[kind][ids]


def _table(ids: dict[str, int], names: Sequence[str]) -> np.ndarray:
    table = np.full(256, -1, np.int32)
    for class_id, name in enumerate(names):
        if name in ids:
            table[ids[name]] = class_id
    return table
