# SPDX-License-Identifier: Apache-2.0
"""Is one model surely better than another? AP of resampled pictures, and its difference.

The bootstrap of B. Efron (Annals of Statistics, 1979), paired: every model is judged on the same
resample of the pictures. Matching, the slow part of AP, is done once.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.coco_ap import CocoAP

BOXES = ('map50_95', 'map50')
MASKS = ('mask_map50_95', 'mask_map50')
EPSILON = np.spacing(1)  # as pycocotools has it, against 0 / 0
BEYOND = 25  # resamples outside of each end of an interval, for the end not to be luck itself


class ResampledAP:
    """One model's AP on any resample of its pictures.

    Args:
        ap: filled with the model's detections.

    Attributes:
        names: the C classes that have objects, as in `CocoAP.evaluate`.
        absent: the others.
        figures: what is measured of each, as `CocoAP.evaluate` calls it: BOXES, and MASKS where
            there are masks.
        pictures: the keys of the P pictures, in the order of the weights.
        instances: (C,) int64, number of objects.
    """

    def __init__(self, ap: CocoAP) -> None:
        self.pictures: List[str] = list(ap.pictures)
        self.names: List[str] = []
        self.absent: List[str] = []
        self.figures = BOXES + MASKS if ap.has_masks else BOXES
        self._classes: List[List[_ClassMatches]] = []
        self._iou = ap.iou() if ap.has_masks else None
        kinds = [ap.matched(masks=masks) for masks in ([False, True] if ap.has_masks else [False])]
        count = len(self.pictures)
        for class_id in range(len(ap.names)):
            part = slice(class_id * count, (class_id + 1) * count)
            matches = [_class_matches(kind.evalImgs[part], kind.params) for kind in kinds]
            if matches[0].objects.any():
                self.names.append(ap.class_key(class_id))
                self._classes.append(matches)
            else:
                self.absent.append(ap.class_key(class_id))
        totals = [matches[0].objects.sum() for matches in self._classes]
        self.instances = np.array(totals, np.int64)

    def per_class(self, weights: np.ndarray) -> np.ndarray:
        """Return the F `figures` of each class, (C, F); NaN where no object is left.

        Args:
            weights: (P,) whole numbers, how often each picture is there; ones give what
                `CocoAP.evaluate` gives.
        """
        rows = [
            [ap for kind in matches for ap in kind.average_precision(weights)]
            for matches in self._classes
        ]
        return np.array(rows, np.float64).reshape(-1, len(self.figures))

    def evaluate(self) -> Dict[str, Any]:
        """Return what `CocoAP.evaluate` returns of the pictures as they are."""
        table = self.per_class(np.ones(len(self.pictures)))
        result = self._named(_present_mean(table))
        per_class = {name: self._named(row) for name, row in zip(self.names, table)}
        if self._iou is not None:
            result['miou'], of_classes = self._iou
            for name, one in per_class.items():
                one['iou'] = of_classes.get(name)
        for name, instances in zip(self.names, self.instances.tolist()):
            per_class[name]['instances'] = instances
        return {**result, 'per_class': per_class, 'images': len(self.pictures)}

    def _named(self, values: np.ndarray) -> Dict[str, Any]:
        numbers = [None if np.isnan(value) else float(value) for value in values]
        return dict(zip(self.figures, numbers))


class Interval(NamedTuple):
    """A difference of AP, in -1..1, and where it lies when other pictures are drawn."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """What `paired_differences` returns: other minus baseline.

    Attributes:
        level: share of the resamples that lie in each interval.
        map50_95: of AP50-95.
        map50: of AP50.
        per_class: of AP50-95, by class.
        mask_map50_95, mask_map50, mask_per_class: of masks; None and empty without them.
    """

    level: float
    map50_95: Interval
    map50: Interval
    per_class: Dict[str, Interval]
    mask_map50_95: Optional[Interval] = None
    mask_map50: Optional[Interval] = None
    mask_per_class: Dict[str, Interval] = field(default_factory=dict)

    @property
    def judged(self) -> Interval:
        """What models are judged by: the difference of mask AP50-95 if there is one."""
        return self.mask_map50_95 or self.map50_95

    def to_dict(self) -> Dict[str, Any]:
        """Return it as plain values."""
        values: Dict[str, Any] = {
            'level': self.level,
            'map50_95': self.map50_95._asdict(),
            'map50': self.map50._asdict(),
            'per_class': {name: one._asdict() for name, one in self.per_class.items()},
        }
        if self.mask_map50_95 and self.mask_map50:
            values.update(
                mask_map50_95=self.mask_map50_95._asdict(),
                mask_map50=self.mask_map50._asdict(),
                mask_per_class={n: one._asdict() for n, one in self.mask_per_class.items()},
            )
        return values


def enough_resamples(level: float) -> int:
    """Return how many resamples it takes for BEYOND of them to lie beyond each end.

    Args:
        level: of the two-sided interval, in 0..1.
    """
    return math.ceil(round(2 * BEYOND / (1 - level), 6))


def paired_differences(
    baseline: Sequence[ResampledAP],
    others: Mapping[str, Sequence[ResampledAP]],
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    progress: Callable[..., Iterable] = lambda items, *_: items,
) -> Dict[str, Difference]:
    """Return the difference of the mean AP of groups of models to that of another group.

    What varies is the pictures; the models are taken as they are. Classes without objects in a
    resample are not in that resample's mean, as in `CocoAP`. Intervals are between percentiles.

    Args:
        baseline: models trained alike but for their seed.
        others: likewise, by the name of the group.
        resamples: how many; all groups are judged on the same ones.
        level: of the two-sided intervals, in 0..1.
        seed: of the resamples.
        progress: wraps an iterable, with its description and length.

    Raises:
        UserError: the models were not measured on the same pictures and classes, or these hold
            no object.
    """
    first = baseline[0]
    for model in (*baseline, *(model for models in others.values() for model in models)):
        if (model.pictures, model.names) != (first.pictures, first.names):
            raise UserError('models that are compared need the same pictures and class names.')
        if model.figures != first.figures:
            raise UserError('models with masks and models without cannot be compared.')
    if not first.names:
        raise UserError('models cannot be compared on pictures without objects.')

    def differences(weights: np.ndarray) -> np.ndarray:
        """Return the figures of each group minus baseline: rows of all, then of classes."""
        plain = _mean_ap(baseline, weights)
        return np.array([_mean_ap(models, weights) - plain for models in others.values()])

    count = len(first.pictures)
    random = np.random.default_rng(seed)
    drawn = [
        differences(random.multinomial(count, np.full(count, 1 / count)))
        for _ in progress(range(resamples), 'bootstrap', resamples)
    ]
    with warnings.catch_warnings():
        # A class that has boxes only has no AP of masks in any resample.
        warnings.filterwarnings('ignore', 'All-NaN', RuntimeWarning)
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    tables = np.stack([differences(np.ones(count)), low, high], axis=-1)
    return {
        name: _difference(level, first.names, table.swapaxes(0, 1))
        for name, table in zip(others, tables)
    }


def _mean_ap(models: Sequence[ResampledAP], weights: np.ndarray) -> np.ndarray:
    """Return the F figures, (1 + C, F): of all classes, then of each."""
    per_class = np.mean([model.per_class(weights) for model in models], axis=0)
    return np.vstack([_present_mean(per_class), per_class])


def _difference(level: float, names: Sequence[str], table: np.ndarray) -> Difference:
    """Return the differences of (F, 1 + C, 3): by figure, of all and each class, with ends."""
    parts: List[Any] = [level]
    for ap50_95, ap50 in zip(table[::2], table[1::2]):  # of boxes, then of masks
        of_all, *of_classes = (Interval(*row) for row in ap50_95.tolist())
        there = {n: one for n, one in zip(names, of_classes) if not math.isnan(one.difference)}
        parts += [of_all, Interval(*ap50[0].tolist()), there]
    return Difference(*parts)


def _present_mean(per_class: np.ndarray) -> np.ndarray:
    """Return the (F,) means of (C, F) over the classes that have objects; NaN where none has."""
    present = ~np.isnan(per_class)
    sums = np.where(present, per_class, 0).sum(axis=0)
    with np.errstate(invalid='ignore'):
        return sums / present.sum(axis=0)


@dataclass(frozen=True)
class _ClassMatches:
    """A class' detections by falling score, and what pycocotools matched them with.

    Precision over recall can only be highest where there is a hit, so only those are kept by
    their ranks, and detections that are ignored (in crowd regions) to be left out of the count.
    Rows, one for each IoU, are filled up with the rank D, whose picture has the weight 0.

    Attributes:
        pictures: (D + 1,) int64, the picture of each detection; the last is number P.
        objects: (P,) int64, how many are to be found.
        hits: (T, H) int64, ranks of the hits.
        ignored: (T, I) int64, ranks of what is ignored.
        ignored_before: (T, H) int64, how many of those come before each hit.
        recalls: (R,), where precision is read.
    """

    pictures: np.ndarray
    objects: np.ndarray
    hits: np.ndarray
    ignored: np.ndarray
    ignored_before: np.ndarray
    recalls: np.ndarray

    def average_precision(self, weights: np.ndarray) -> List[float]:
        """Return AP50-95 and AP50 for the weights of the pictures."""
        objects = self.objects @ weights
        if not objects:
            return [np.nan, np.nan]
        weight = np.append(weights, 0.0)[self.pictures]
        hits = np.cumsum(weight[self.hits], axis=1)
        ignored = np.cumsum(weight[self.ignored], axis=1)
        ignored = np.pad(ignored, ((0, 0), (1, 0)))
        found = np.cumsum(weight)[self.hits]
        found -= np.take_along_axis(ignored, self.ignored_before, axis=1)
        precision = hits / (found + EPSILON)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        best = np.pad(best, ((0, 0), (0, 1)))  # 0 at recalls that are not reached
        at = [np.searchsorted(recall, self.recalls) for recall in hits / objects]
        averages = np.take_along_axis(best, np.array(at), axis=1).mean(axis=1)
        return [averages.mean(), averages[0]]


def _class_matches(entries: Sequence[Any], params: Any) -> _ClassMatches:
    """Return one class' matches from what pycocotools has for each picture, or None."""
    objects = np.zeros(len(entries), np.int64)
    pictures, scores = [np.zeros(0, np.int64)], [np.zeros(0)]
    none = np.zeros((len(params.iouThrs), 0), bool)
    matched, ignored = [none], [none]
    for number, entry in enumerate(entries):
        if entry is None:
            continue
        objects[number] = (np.asarray(entry['gtIgnore']) == 0).sum()
        pictures.append(np.full(len(entry['dtScores']), number))
        scores.append(np.asarray(entry['dtScores']))
        matched.append(entry['dtMatches'] > 0)
        ignored.append(entry['dtIgnore'].astype(bool))
    order = np.argsort(-np.concatenate(scores), kind='mergesort')
    is_ignored = np.hstack(ignored)[:, order]
    hits = _ranks(np.hstack(matched)[:, order] & ~is_ignored)
    ignored_ranks = _ranks(is_ignored)
    before = [np.searchsorted(row, ranks) for row, ranks in zip(ignored_ranks, hits)]
    return _ClassMatches(
        np.append(np.concatenate(pictures)[order], len(entries)),
        objects,
        hits,
        ignored_ranks,
        np.array(before, np.int64).reshape(hits.shape),
        params.recThrs,
    )


def _ranks(chosen: np.ndarray) -> np.ndarray:
    """Return where each row of (T, D) bool is set, (T, most of a row), filled up with D."""
    count = chosen.shape[1]
    ranks = np.sort(np.where(chosen, np.arange(count), count), axis=1)
    return ranks[:, : int(chosen.sum(axis=1).max())]
