# SPDX-License-Identifier: Apache-2.0
"""Anchors: what fits stays, what does not is replaced by k-means."""

from __future__ import annotations

import numpy as np
import pytest

from kd_yolo_training.data.anchors import (
    best_ratios,
    box_sizes,
    fit_anchors,
    kmeans_anchors,
    recall,
)
from kd_yolo_training.data.dataset import Picture
from kd_yolo_training.models.detect import COCO_ANCHORS

COCO = np.array(COCO_ANCHORS, np.float32)


def test_ratios_by_hand():
    sizes = np.array([[10, 10], [30, 10], [100, 100]], np.float32)
    anchors = np.array([[10, 10], [20, 20]], np.float32)
    np.testing.assert_allclose(best_ratios(sizes, anchors), [1, 0.5, 0.2])
    assert recall(sizes, anchors, 4.0) == pytest.approx(2 / 3)


def test_sizes_are_of_the_scaled_picture(tmp_path):
    picture = Picture(
        tmp_path / 'a.png',
        np.array([[0.5, 0.5, 0.75, 1.0], [0, 0, 1, 1]], np.float32),
        np.zeros(2, int),
        np.array([False, True]),
        ((), ()),
        (2000, 1000),
    )
    np.testing.assert_allclose(box_sizes([picture], 640), [[160, 160]])


def test_kmeans_finds_the_clusters():
    random = np.random.default_rng(0)
    means = np.array([[8, 16], [20, 50], [90, 40], [150, 160]], np.float32)
    sizes = np.concatenate([m * random.normal(1, 0.02, (200, 2)) for m in means])
    found = kmeans_anchors(sizes.astype(np.float32), (2, 2))
    np.testing.assert_allclose(found.reshape(-1, 2), means, rtol=0.05)
    assert np.array_equal(found, kmeans_anchors(sizes.astype(np.float32), (2, 2)))


def test_fitting_anchors_stay():
    sizes = COCO.reshape(-1, 2).repeat(10, 0)
    anchors, why = fit_anchors(sizes, COCO, 4.0)
    assert anchors is COCO and '100.0%' in why


def test_badly_fitting_anchors_are_replaced():
    random = np.random.default_rng(1)
    sizes = random.uniform(2, 9, (500, 2)).astype(np.float32) * (1, 6)
    anchors, why = fit_anchors(sizes.astype(np.float32), COCO * 4, 4.0)
    assert anchors.shape == (3, 3, 2) and 'k-means' in why
    assert recall(sizes, anchors, 4.0) > 0.98
    areas = anchors.prod(2).ravel()
    assert (np.diff(areas) >= 0).all()


def test_too_few_boxes_keep_the_anchors():
    anchors, why = fit_anchors(np.full((5, 2), 3000, np.float32), COCO, 4.0)
    assert anchors is COCO and 'too few' in why
