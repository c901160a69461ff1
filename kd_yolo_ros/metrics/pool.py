# SPDX-License-Identifier: Apache-2.0
"""Several labelled data sets judged as one.

A set labels its own classes only. What a model finds of other classes on its pictures is neither
right nor wrong, and is dropped before AP is computed over the pictures of all sets together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Collection, Dict, Iterable, Iterator, List, Sequence, Set, Tuple

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import Frame, Source
from kd_yolo_ros.frames.held_out import HeldOut, picture_digest
from kd_yolo_ros.metrics.class_map import ClassMap, ClassMapFile, knows_masks, map_classes
from kd_yolo_ros.metrics.coco_ap import CocoAP
from kd_yolo_ros.metrics.confusion import SCORE
from kd_yolo_ros.metrics.dataset import open_dataset
from kd_yolo_ros.metrics.found import Found
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth
from kd_yolo_ros.metrics.text import short_names


@dataclass
class LabelledSet:
    """One data set of a pool.

    Attributes:
        name: for reports; unique in the pool.
        source: its pictures; from `read_sets` on without those that a model was made with.
        truth: what is in them.
        class_map: see `map_classes`.
        keys: of `truth`, of the pictures that count, in the order of `frames`; `read_sets` fills
            these and the following.
        digest: hash of their names and content, in that order.
        unlabelled: number of pictures that have no truth.
        left_out: number of pictures that a model was made with.
        repeated: number of pictures that a set before this one has too.
    """

    name: str
    source: Source
    truth: GroundTruth
    class_map: ClassMapFile = None
    keys: List[str] = field(init=False, default_factory=list)
    digest: str = field(init=False, default='')
    unlabelled: int = field(init=False, default=0)
    left_out: int = field(init=False, default=0)
    repeated: int = field(init=False, default=0)

    def __len__(self) -> int:
        return len(self.keys)

    def frames(self) -> Iterator[Frame]:
        """Yield the pictures that count."""
        keys = set(self.keys)
        return (frame for frame in self.source if self.truth.find(frame) in keys)


def open_sets(given: Sequence[str]) -> List[LabelledSet]:
    """Open data sets, each given as DATA or DATA=CLASS_MAP; no picture is read yet.

    Args:
        given: DATA as `open_dataset` takes it, CLASS_MAP a YAML file as `map_classes` takes it.

    Raises:
        UserError: nothing readable there, or the same set twice.
    """
    paths, maps = [], []
    for text in given:
        path, separator, class_map = text.rpartition('=')
        plain = not separator or Path(text).exists()  # a path may hold the sign too
        paths.append(Path(text if plain else path).expanduser())
        maps.append(None if plain else Path(class_map).expanduser())
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError('a data set was given twice; its pictures would count double.')
    return [
        LabelledSet(name, source, truth, class_map)
        for name, (source, truth), class_map in zip(
            short_names(paths), [open_dataset(path) for path in paths], maps
        )
    ]


def read_sets(
    sets: Sequence[LabelledSet],
    made_with: Collection[str] = frozenset(),
    progress: Callable[..., Iterable[Frame]] = lambda items, *_: items,
) -> None:
    """Read all pictures of the sets once, to know which of them count.

    A picture that several sets hold counts in the first: its objects would count double.

    Args:
        sets: of `open_sets`.
        made_with: `picture_digest` of pictures that models were made with, which are left out.
        progress: wraps an iterable, with its description, length and unit.

    Raises:
        UserError: no picture is left of a set.
    """
    seen: Set[str] = set()
    for one in sets:
        one.source = held_out = HeldOut(one.source, set(made_with))
        content, digests = hashlib.sha256(), set()
        for frame in progress(held_out, f'read {one.name}', len(held_out), ' pictures'):
            key, digest = one.truth.find(frame), picture_digest(frame.image)
            if key is None:
                one.unlabelled += 1
            elif digest in seen:
                one.repeated += 1
            else:
                one.keys.append(key)
                digests.add(digest)
                content.update(f'{key} {digest}\n'.encode())
        if not one.keys and one.repeated:
            raise UserError(f'all pictures of {one.name} are in the data before it too; leave it.')
        if not one.keys:
            raise UserError(
                f'none of the {one.unlabelled} pictures has ground truth in '
                f'{one.truth.description}: names (or, in bags, stamps) must be the same'
            )
        seen |= digests
        one.digest = content.hexdigest()
        one.left_out = held_out.left_out


def pooled_ap(
    sets: Sequence[LabelledSet],
    names_model: Sequence[str],
    found: Sequence[Sequence[Found]],
    score: float = SCORE,
) -> CocoAP:
    """Return what computes AP over all pictures of the sets.

    Args:
        sets: the data sets.
        names_model: the model's class names in order.
        found: for each set what the model found in its `frames`, with the thresholds of AP.
        score: of operation, see `CocoAP`.

    Raises:
        UserError: it cannot be told which class is meant, or a set and the model share none.
    """
    pictures: Dict[str, Truth] = {}
    answers: Dict[str, Found] = {}
    missing: List[str] = []
    for one, its_found in zip(sets, found):
        occurring, labelled = class_maps(one, names_model)
        missing += [f'{name} of {one.name}' for name in occurring.missing]
        for key, answer in zip(one.keys, its_found):
            name = f'{one.name}/{key}'
            pictures[name] = _in_model_classes(one.truth.pictures[key], occurring)
            answers[name] = _only(answer, labelled)
    truth = GroundTruth(pictures, None, ' + '.join(one.name for one in sets))
    same = {class_id: class_id for class_id in range(len(names_model))}
    ap = CocoAP(truth, names_model, ClassMap(same, missing), score)
    for name, answer in answers.items():
        ap.process(name, *answer)
    return ap


def has_masks(sets: Sequence[LabelledSet], names_model: Sequence[str]) -> bool:
    """Tell whether objects of a model's classes have masks, in some of the pictures that count.

    Raises:
        UserError: see `class_maps`; of all sets.
    """
    occurring = [class_maps(one, names_model)[0] for one in sets]
    return any(
        knows_masks((one.truth.pictures[key] for key in one.keys), class_map)
        for one, class_map in zip(sets, occurring)
    )


def class_maps(one: LabelledSet, names_model: Sequence[str]) -> Tuple[ClassMap, Set[int]]:
    """Return how a set's objects count, and the model's classes that the set labels.

    It labels all classes that it names, also where it has no object of one; without names those
    that occur.

    Raises:
        UserError: see `map_classes`.
    """
    occurring = map_classes(names_model, one.truth, one.class_map)
    every = map_classes(names_model, one.truth, one.class_map, absent_too=True)
    return occurring, set(every.to_model.values())


def _in_model_classes(truth: Truth, class_map: ClassMap) -> Truth:
    ids = [class_map.to_model.get(int(class_id), -1) for class_id in truth.class_ids]
    model_ids = np.array(ids, np.int64)
    kept = model_ids >= 0
    segmentations = truth.segmentations
    if segmentations is not None:
        segmentations = tuple(segmentations[row] for row in np.flatnonzero(kept))
    return Truth(truth.boxes[kept], model_ids[kept], truth.crowd[kept], truth.size, segmentations)


def _only(found: Found, class_ids: Set[int]) -> Found:
    kept = np.isin(found.detections.class_ids, sorted(class_ids))
    masks = None if found.masks is None else found.masks.select(kept)
    return Found(found.detections.select(kept), found.size, masks)
