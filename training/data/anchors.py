# SPDX-License-Identifier: Apache-2.0
"""Anchors that fit a data set's boxes: k-means of their sizes, as in YOLOv2 and later.

Redmon and Farhadi, YOLO9000, CVPR 2017; "fits" is YOLOv5's criterion, a bounded ratio of sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .dataset import Picture

# Below this share of boxes that some anchor fits, new anchors are computed.
ENOUGH_RECALL = 0.98
SMALLEST_PX = 2.0  # smaller boxes are labelling noise at this resolution
MAX_BOXES = 50_000  # more do not move the means


def box_sizes(pictures: Sequence[Picture], imgsz: int) -> np.ndarray:
    """Return width and height of all boxes in pixels, pictures scaled to a long side of imgsz.

    Args:
        pictures: with their sizes known.
        imgsz: pixels.

    Returns:
        (N, 2) float32.
    """
    sizes = [np.zeros((0, 2), np.float32)]
    for picture in pictures:
        boxes = picture.boxes[~picture.crowd]
        scaled = np.array(picture.size, np.float32) * (imgsz / max(picture.size))
        sizes.append((boxes[:, 2:] - boxes[:, :2]) * scaled)
    return np.concatenate(sizes)


def best_ratios(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return how well the best anchor fits each box: the smaller of both sides' ratios, (N,).

    Args:
        sizes: (N, 2) pixels.
        anchors: (…, 2) pixels.
    """
    factor = sizes[:, None] / anchors.reshape(1, -1, 2)
    return np.minimum(factor, 1 / factor).min(2).max(1)


def recall(sizes: np.ndarray, anchors: np.ndarray, ratio: float) -> float:
    """Return the share of boxes that at least one anchor fits within `ratio`."""
    return float((best_ratios(sizes, anchors) > 1 / ratio).mean()) if len(sizes) else 1.0


def kmeans_anchors(sizes: np.ndarray, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Return anchors (levels, anchors, 2) in pixels, from small to large.

    Args:
        sizes: (N, 2) pixels; those under 2 pixels are left out.
        shape: levels of the pyramid, and anchors of each.
        seed: of the first guess.

    Raises:
        ValueError: there are fewer different boxes than anchors.
    """
    from scipy.cluster.vq import kmeans

    sizes = sizes[(sizes >= SMALLEST_PX).all(1)].astype(np.float64)
    if len(np.unique(sizes, axis=0)) < shape[0] * shape[1]:
        raise ValueError(f'{len(sizes)} boxes are too few for {shape[0] * shape[1]} anchors')
    random = np.random.default_rng(seed)
    if len(sizes) > MAX_BOXES:
        sizes = random.choice(sizes, MAX_BOXES, replace=False)
    spread = sizes.std(0)
    means, _ = kmeans(sizes / spread, shape[0] * shape[1], iter=30, rng=random)
    means = means * spread
    while len(means) < shape[0] * shape[1]:  # a mean that lost all its boxes is dropped
        means = np.concatenate((means, sizes[random.integers(len(sizes), size=1)]))
    return means[np.argsort(means.prod(1))].reshape(*shape, 2).astype(np.float32)


def fit_anchors(
    sizes: np.ndarray, anchors: np.ndarray, ratio: float, seed: int = 0
) -> tuple[np.ndarray, str]:
    """Return the anchors to train with, and one sentence that says why.

    The given ones stay where they fit well enough, or where k-means does not fit better.

    Args:
        sizes: (N, 2) pixels of the network input.
        anchors: (levels, anchors, 2) pixels, the ones at hand.
        ratio: the largest factor between the sides of a box and those of its anchor.
        seed: of k-means.
    """
    now = recall(sizes, anchors, ratio)
    if now >= ENOUGH_RECALL:
        return anchors, f'The given anchors fit {now:.1%} of the boxes.'
    try:
        new = kmeans_anchors(sizes, anchors.shape[:2], seed)
    except ValueError as error:
        return anchors, f'The given anchors fit {now:.1%} of the boxes, and {error}.'
    then = recall(sizes, new, ratio)
    if then <= now:
        return anchors, f'The given anchors fit {now:.1%} of the boxes, k-means {then:.1%}.'
    return new, f'New anchors from k-means fit {then:.1%} of the boxes, the given ones {now:.1%}.'
