# SPDX-License-Identifier: Apache-2.0
"""Augmentation through ultralytics' transforms: mosaic, perspective, colour, flips.

Only its transforms are used: labels are handed over here, its data set class and its pickled
caches never are. A sample depends on nothing but (seed, epoch, index).
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from kd_yolo_ros.errors import UserError

from .dataset import Picture
from .labels import box_around
from .outlines import MASK_STRIDE, OUTLINE_POINTS, UNKNOWN, mask_of, outline
from .picture_store import PictureStore


@dataclass(frozen=True)
class Augmentation:
    """How strongly samples are varied; the defaults are YOLOv5's.

    Attributes are probabilities unless they say otherwise.

    Raises:
        UserError: a value is impossible.
    """

    mosaic: float = field(default=1.0, metadata={'help': 'Chance of a mosaic of 4 pictures.'})
    degrees: float = field(default=0.0, metadata={'help': 'Rotation, +/- degrees.'})
    translate: float = field(default=0.1, metadata={'help': 'Shift, +/- share of the side.'})
    scale: float = field(default=0.5, metadata={'help': 'Zoom, 1 +/- this.'})
    shear: float = field(default=0.0, metadata={'help': 'Shear, +/- degrees.'})
    perspective: float = field(default=0.0, metadata={'help': 'Perspective, 0 to 0.001.'})
    hsv_h: float = field(default=0.015, metadata={'help': 'Hue, +/- share.'})
    hsv_s: float = field(default=0.7, metadata={'help': 'Saturation, +/- share.'})
    hsv_v: float = field(default=0.4, metadata={'help': 'Brightness, +/- share.'})
    fliplr: float = field(default=0.5, metadata={'help': 'Chance of a left-right flip.'})
    flipud: float = field(default=0.0, metadata={'help': 'Chance of an upside-down flip.'})
    mixup: float = field(default=0.0, metadata={'help': 'Chance of blending two mosaics.'})
    blur: float = field(default=0.0, metadata={'help': 'Chance of a slight Gaussian blur.'})
    equalize: float = field(
        default=0.0, metadata={'help': 'Chance of local contrast equalization (CLAHE).'}
    )

    def __post_init__(self) -> None:
        chances = ('mosaic', 'fliplr', 'flipud', 'mixup', 'blur', 'equalize')
        for name in (*chances, 'translate', 'scale', 'hsv_h', 'hsv_s', 'hsv_v'):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f'{name} is {getattr(self, name)}; it has to be in 0 to 1.')
        if self.scale == 1:
            raise UserError('scale has to be below 1: a zoom of 0 leaves nothing to see.')


class Sample(NamedTuple):
    """One augmented picture.

    Attributes:
        image: (S, S, 3) uint8 BGR.
        class_ids: (N,) int64.
        boxes: (N, 4) float32, centre x, centre y, width, height, relative to the picture.
        outlines: (N, OUTLINE_POINTS, 2) float32, relative; (0, 0, 2) when not asked for.
        weights: (N,) float32, 1 for a person's label, below for a teacher's.
        masks: (N, S/4, S/4) uint8, 1 where the object is, all `UNKNOWN` where only its box is
            known or nothing else of it is left; None when not asked for.
    """

    image: np.ndarray
    class_ids: np.ndarray
    boxes: np.ndarray
    outlines: np.ndarray
    weights: np.ndarray
    masks: np.ndarray | None = None


class Augmenter:
    """Makes samples of a set of pictures.

    Args:
        pictures: with their labels; crowd regions are not trained on.
        store: where the pixels come from, in the same order.
        settings: how strongly.
        outlines: whether polygons go through the transforms too. Boxes of rotated objects are
            then those of their outlines, not of their rotated boxes, except where a polygon does
            not fill its box.
        masks: whether samples have masks; outlines then do go through.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        store: PictureStore,
        settings: Augmentation,
        outlines: bool = False,
        masks: bool = False,
    ) -> None:
        self._labels = _Labels(pictures, store, outlines or masks)
        self._masks = masks
        self._size = store.imgsz
        self._with_mosaic = _transforms(self._labels, store.imgsz, settings)
        self._plain = _transforms(self._labels, store.imgsz, settings, mixing=False)
        self._settings = settings

    def sample(self, index: int, seed: Sequence[int], mosaic: bool = True) -> Sample:
        """Return one sample.

        Args:
            index: of the picture it is made of (a mosaic adds others).
            seed: any numbers; equal ones give equal samples.
            mosaic: False leaves out mosaics and blends, as in the last epochs.
        """
        # The transforms draw from both global generators: seeding them makes a sample
        # independent of all samples before it, and of the worker that makes it.
        state = int(np.random.SeedSequence([*seed, index]).generate_state(1)[0])
        random.seed(state)
        np.random.seed(state)
        transforms = self._with_mosaic if mosaic else self._plain
        labels = self._labels.get_image_and_label(index)
        for transform in transforms:
            labels = transform(labels)
        image = _soften(labels['img'], self._settings)
        instances = labels['instances']
        instances.convert_bbox('xywh')
        instances.denormalize(self._size, self._size)
        scale = np.float32(1 / self._size)
        outlines = np.asarray(instances.segments, np.float32) * scale
        class_ids, weights, objects = labels['cls'].T
        return Sample(
            np.ascontiguousarray(image),
            class_ids.astype(np.int64),
            instances.bboxes.astype(np.float32).reshape(-1, 4) * scale,
            outlines,
            weights.astype(np.float32),
            self._draw(outlines, objects.astype(np.int64)) if self._masks else None,
        )

    def _draw(self, outlines: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """Return the masks of objects, whose numbers tell what pieces their outlines have."""
        side = self._size // MASK_STRIDE
        masks = np.full((len(objects), side, side), UNKNOWN, np.uint8)
        for row, number in enumerate(objects):
            ends = self._labels.ends[number]
            # Where the mask is only a part of the object it may be cut off, down to a line.
            if ends and np.ptp(outlines[row][: ends[-1]], axis=0).all():
                masks[row] = mask_of(outlines[row], ends, side, side)
        return masks


class _Labels:
    """The part of a data set that ultralytics' mosaic and blend look at.

    Attributes:
        ends: of every object, by its number, where the polygons of its outline end; none where it
            has none, or where outlines are not asked for.
    """

    cache = 'ram'  # any other value makes its mosaic draw from recently used pictures only
    use_obb = False

    def __init__(self, pictures: Sequence[Picture], store: PictureStore, outlines: bool) -> None:
        self._store = store
        self.ends: list[tuple[int, ...]] = []
        self._instances = [self._arrays(picture, outlines) for picture in pictures]

    def __len__(self) -> int:
        return len(self._instances)

    def get_image_and_label(self, index: int) -> dict[str, Any]:
        """Return a picture and its labels in the form that the transforms work on."""
        from ultralytics.utils.instance import Instances

        image = self._store.load(index)
        classes, boxes, outlines = self._instances[index]
        shape = image.shape[:2]
        return {
            'img': image,
            'im_file': '',
            'ori_shape': shape,
            'resized_shape': shape,
            # Its rows are only chosen and joined, so further columns go wherever the class does.
            'cls': classes.copy(),
            # They change these arrays in place.
            'instances': Instances(
                boxes.copy(), outlines.copy(), bbox_format='xyxy', normalized=True
            ),
        }

    def _arrays(
        self, picture: Picture, outlines: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what is trained on: boxes (N, 4), outlines (N, P, 2), and before them (N, 3).

        Its columns are class, weight, and the object's number.
        """
        keep = np.flatnonzero(~picture.crowd)
        boxes = picture.boxes[keep].astype(np.float32)
        weights = np.ones(len(picture.boxes)) if picture.weights is None else picture.weights
        numbers = len(self.ends) + np.arange(len(keep))
        classes = np.column_stack((picture.class_ids[keep], weights[keep], numbers))
        if not outlines:
            return classes, boxes, np.zeros((0, 0, 2), np.float32)
        lines = np.zeros((len(keep), OUTLINE_POINTS, 2), np.float32)
        rounding = 0.5 / self._store.imgsz
        for row, index in enumerate(keep):
            polygons = picture.polygons[index]
            # The transforms take an object's box from its outline, whatever box is given.
            filled = polygons and np.abs(box_around(polygons) - boxes[row]).max() < rounding
            lines[row], ends = outline(polygons, None if filled else boxes[row])
            self.ends.append(ends)
        return classes, boxes, lines


def _transforms(
    labels: _Labels, imgsz: int, settings: Augmentation, mixing: bool = True
) -> list[Any]:
    module = _ultralytics_augment()
    affine = module.RandomPerspective(
        degrees=settings.degrees,
        translate=settings.translate,
        scale=settings.scale,
        shear=settings.shear,
        perspective=settings.perspective,
        size=(imgsz, imgsz),
    )
    start = [module.Mosaic(labels, imgsz, settings.mosaic), affine] if mixing else [affine]
    blend = [module.MixUp(labels, module.Compose(start), settings.mixup)] if mixing else []
    return [
        *start,
        *blend,
        module.RandomHSV(settings.hsv_h, settings.hsv_s, settings.hsv_v),
        module.RandomFlip(settings.flipud, 'vertical'),
        module.RandomFlip(settings.fliplr, 'horizontal'),
    ]


def _ultralytics_augment() -> Any:
    """Import ultralytics' transforms, and nothing of what importing it does to this process.

    It probes the network, writes settings into the home folder, and puts a function of its own
    in the place of Pillow's `Image.open`, which then fails otherwise on broken files.
    """
    for name, value in (('OFFLINE', 'true'), ('VERBOSE', 'false'), ('AUTOINSTALL', 'false')):
        os.environ.setdefault(f'YOLO_{name}', value)
    pillows = Image.open
    try:
        with tempfile.TemporaryDirectory() as scratch, _default('YOLO_CONFIG_DIR', scratch):
            from ultralytics.data import augment
    finally:
        Image.open = pillows
    return augment


@contextlib.contextmanager
def _default(name: str, value: str) -> Iterator[None]:
    """Set an environment variable that the user has not set, for as long as the context lasts."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _soften(image: np.ndarray, settings: Augmentation) -> np.ndarray:
    """Blur a little and equalize the contrast, each by chance, as for DriveU's pictures."""
    if settings.blur and random.random() < settings.blur:
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.2))
    if settings.equalize and random.random() < settings.equalize:
        lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
        lab[..., 0] = cv2.createCLAHE(2.0, (8, 8)).apply(lab[..., 0])
        image = cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)
    return image
