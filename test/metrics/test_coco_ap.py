# SPDX-License-Identifier: Apache-2.0
"""AP against an independent slow computation, and at its limits."""

from __future__ import annotations

import numpy as np
import pytest

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.class_map import map_classes
from kd_yolo_ros.metrics.coco_ap import CocoAP
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth, read_yolo
from kd_yolo_ros.metrics.matching import MAX_DETECTIONS

NAMES = ['car', 'bus', 'tram']
SIZE = (200, 100)


def truth_of(pictures, size=None, names=None):
    """Build the ground truth from {name: [(class, box, crowd)]}."""
    return GroundTruth(
        {
            name: Truth(
                np.array([box for _, box, _ in objects], np.float64).reshape(-1, 4),
                np.array([class_id for class_id, _, _ in objects], np.int64),
                np.array([crowd for _, _, crowd in objects], bool),
                size,
            )
            for name, objects in pictures.items()
        },
        names,
        'a test',
    )


def detections_of(rows):
    """Build detections from [(class, box, score)]."""
    return Detections(
        np.array([box for _, box, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, _, score in rows], np.float32),
        np.array([class_id for class_id, _, _ in rows], np.int64),
    )


def measure(truth, found, names=NAMES):
    ap = CocoAP(truth, names, map_classes(names, truth))
    for name, rows in found.items():
        ap.process(name, detections_of(rows), SIZE)
    return ap.evaluate()


def slow_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def slow_ap(truth, found, class_id, threshold):
    """Average precision of one class by its definition: 101 recalls, greedy matching by score."""
    ranked = sorted(
        ((score, name, box) for name, rows in found.items() for c, box, score in rows
         if c == class_id),
        key=lambda row: -row[0],
    )  # fmt: skip
    objects = {name: [box for c, box, _ in rows if c == class_id] for name, rows in truth.items()}
    total = sum(map(len, objects.values()))
    taken, hits = set(), []
    for _, name, box in ranked:
        overlaps = [
            (slow_iou(box, other), index)
            for index, other in enumerate(objects[name])
            if (name, index) not in taken
        ]
        best = max(overlaps, default=(0.0, -1))
        hits.append(best[0] >= threshold)
        if hits[-1]:
            taken.add((name, best[1]))
    points = [(sum(hits[:n]) / total, sum(hits[:n]) / n) for n in range(1, len(hits) + 1)]
    return np.mean(
        [max([p for r, p in points if r >= recall], default=0.0)
         for recall in np.linspace(0, 1, 101)]
    )  # fmt: skip


def random_scene(seed):
    """Objects, and detections that hit some of them more or less well."""
    random = np.random.default_rng(seed)
    pictures, found = {}, {}
    for index in range(6):
        name = f'{index}.jpg'
        pictures[name], found[name] = [], []
        for _ in range(random.integers(0, 6)):
            corner, extent = random.uniform(0, 60, 2), random.uniform(10, 40, 2)
            box = np.concatenate([corner, corner + extent])
            class_id = int(random.integers(0, 2))
            pictures[name].append((class_id, box.tolist(), False))
            for _ in range(random.integers(0, 3)):
                moved = (box + random.normal(0, 2.5, 4)).astype(np.float32)
                guess = class_id if random.random() < 0.85 else 1 - class_id
                found[name].append((guess, moved.tolist(), float(np.float32(random.random()))))
    return pictures, found


@pytest.mark.parametrize('seed', range(5))
def test_against_a_slow_computation(seed):
    pictures, found = random_scene(seed)
    result = measure(truth_of(pictures), found)
    thresholds = np.linspace(0.5, 0.95, 10)
    means = []
    for class_id, name in enumerate(NAMES[:2]):
        slow = [slow_ap(pictures, found, class_id, t) for t in thresholds]
        means.append((np.mean(slow), slow[0]))
        assert result['per_class'][name]['map50_95'] == pytest.approx(means[-1][0], abs=1e-9)
        assert result['per_class'][name]['map50'] == pytest.approx(means[-1][1], abs=1e-9)
    assert result['map50_95'] == pytest.approx(np.mean(means, axis=0)[0], abs=1e-9)
    assert result['map50'] == pytest.approx(np.mean(means, axis=0)[1], abs=1e-9)
    assert 0 < result['map50_95'] < result['map50'] < 1
    assert result['images'] == 6 and 'tram' not in result['per_class']


def test_a_perfect_detector():
    pictures, _ = random_scene(1)
    found = {
        name: [(class_id, box, 0.9) for class_id, box, _ in objects]
        for name, objects in pictures.items()
    }
    result = measure(truth_of(pictures), found)
    assert result['map50_95'] == pytest.approx(1) and result['map50'] == pytest.approx(1)
    counts = {name: c['instances'] for name, c in result['per_class'].items()}
    assert sum(counts.values()) == sum(map(len, pictures.values()))


def test_a_blind_detector():
    pictures, _ = random_scene(1)
    result = measure(truth_of(pictures), {name: [] for name in pictures})
    assert result['map50_95'] == 0 and set(result['per_class']) == {'car', 'bus'}


def test_nothing_to_find():
    box = [0, 0, 10, 10]
    result = measure(truth_of({'a.jpg': []}), {'a.jpg': [(0, box, 0.9)]})
    assert result == {'map50_95': None, 'map50': None, 'per_class': {}, 'images': 1}


def test_false_alarms_in_pictures_without_objects_count():
    box = [10.0, 10.0, 30.0, 30.0]
    truth = truth_of({'a.jpg': [(0, box, False)], 'b.jpg': []})
    quiet = measure(truth, {'a.jpg': [(0, box, 0.5)], 'b.jpg': []})
    loud = measure(truth, {'a.jpg': [(0, box, 0.5)], 'b.jpg': [(0, box, 0.9)]})
    assert quiet['map50'] == pytest.approx(1) and loud['map50'] == pytest.approx(0.5)


def test_crowds_are_neither_hit_nor_missed():
    box, crowd = [10.0, 10.0, 30.0, 30.0], [50.0, 0.0, 150.0, 90.0]
    truth = truth_of({'a.jpg': [(0, box, False), (0, crowd, True)]})
    inside = [(0, [60.0, 10.0, 80.0, 40.0], 0.9), (0, [90.0, 10.0, 99.0, 40.0], 0.8)]
    result = measure(truth, {'a.jpg': [(0, box, 0.5), *inside]})
    assert result['per_class']['car']['instances'] == 1
    assert result['map50_95'] == pytest.approx(1)


def test_detections_beyond_coco_s_hundred_count():
    assert MAX_DETECTIONS == 300
    box = [10.0, 10.0, 30.0, 30.0]
    noise = [(0, [100.0, 50.0, 110.0, 60.0], 0.9)]
    for before, expected in ((299, 1 / 300), (300, 0)):
        rows = noise * before + [(0, box, 0.5)]
        result = measure(truth_of({'a.jpg': [(0, box, False)]}), {'a.jpg': rows})
        assert result['map50'] == pytest.approx(expected)


def test_classes_that_the_model_lacks_are_left_out():
    box = [10.0, 10.0, 30.0, 30.0]
    objects = [(0, box, False), (1, box, False)]
    truth = truth_of({'a.jpg': objects}, names={0: 'bus', 1: 'bicycle'})
    result = measure(truth, {'a.jpg': [(1, box, 0.5)]})
    assert result['map50_95'] == pytest.approx(1) and set(result['per_class']) == {'bus'}


def test_classes_of_the_same_name_are_told_apart():
    box = [10.0, 10.0, 30.0, 30.0]
    truth = truth_of({'a.jpg': [(0, box, False), (1, box, False)]})
    result = measure(truth, {'a.jpg': [(1, box, 0.5)]}, names=['car', 'car'])
    assert set(result['per_class']) == {'car (0)', 'car (1)'}


def test_rescaled_pictures():
    truth = truth_of({'a.jpg': [(0, [10, 10, 30, 30], False)]}, size=(400, 200))
    result = measure(truth, {'a.jpg': [(0, [5, 5, 15, 15], 0.5)]})
    assert result['map50_95'] == pytest.approx(1)


def test_annotations_of_the_turned_picture():
    truth = truth_of({'a.jpg': [(0, [10, 10, 30, 30], False)]}, size=(100, 200))
    with pytest.raises(UserError, match='the picture is 200x100 pixels.*100x200.*EXIF'):
        measure(truth, {'a.jpg': []})


def test_reset_and_repetition(capfd):
    pictures, found = random_scene(2)
    truth = truth_of(pictures)
    ap = CocoAP(truth, NAMES, map_classes(NAMES, truth))
    results = []
    for _ in range(2):
        for name, rows in found.items():
            ap.process(name, detections_of(rows), SIZE)
        with pytest.raises(UserError, match='came twice'):
            ap.process('0.jpg', Detections.empty(), SIZE)
        results.append(ap.evaluate())
        ap.reset()
    assert results[0] == results[1]
    assert capfd.readouterr().out == ''


def test_real_labels_found_perfectly(data_dir):
    truth = read_yolo(data_dir / 'coco128')
    names = [f'class {number}' for number in range(80)]
    ap = CocoAP(truth, names, map_classes(names, truth))
    for name, picture in truth.pictures.items():
        rows = zip(picture.class_ids, picture.boxes_on(640, 480), strict=True)
        ap.process(name, detections_of([(c, box, 0.9) for c, box in rows]), (640, 480))
    result = ap.evaluate()
    assert result['images'] == 128 and result['map50_95'] == pytest.approx(1)
    assert len(result['per_class']) == len(truth.class_ids)


def detailed(truth, found, names=NAMES, size=(400, 300)):
    ap = CocoAP(truth, names, map_classes(names, truth))
    for name, rows in found.items():
        ap.process(name, detections_of(rows), size)
    return ap.evaluate(details=True)


def test_details_leave_the_rest_as_it_is():
    pictures, found = random_scene(3)
    truth = truth_of(pictures)
    plain, rich = measure(truth, found), detailed(truth, found, size=SIZE)
    assert {key: rich[key] for key in plain if key != 'per_class'} == {
        key: value for key, value in plain.items() if key != 'per_class'
    }
    for name, values in plain['per_class'].items():
        assert {key: rich['per_class'][name][key] for key in values} == values


def test_sizes():
    """Found are a car of 20x20, one of 50x50 and one of 200x200; not, one more of 20x20."""
    small, medium, large = [0, 0, 20, 20], [50, 0, 100, 50], [150, 50, 350, 250]
    lost = [0, 100, 20, 120]
    objects = [(0, box, False) for box in (small, medium, large, lost)]
    objects.append((1, large, False))
    rows = [(0, box, 0.9) for box in (small, medium, large)]
    result = detailed(truth_of({'a.jpg': objects}), {'a.jpg': rows})
    car, bus = result['per_class']['car'], result['per_class']['bus']
    # Of two objects one is found: precision 1 at the recalls 0, 0.01 … 0.50, of 101.
    half = pytest.approx(51 / 101)
    assert car['by_size'] == {
        'small': {'map50_95': half, 'map50': half, 'instances': 2},
        'medium': {'map50_95': pytest.approx(1), 'map50': pytest.approx(1), 'instances': 1},
        'large': {'map50_95': pytest.approx(1), 'map50': pytest.approx(1), 'instances': 1},
    }
    nothing = {'map50_95': None, 'map50': None, 'instances': 0}
    missed = {'map50_95': 0.0, 'map50': 0.0, 'instances': 1}
    assert bus['by_size'] == {'small': nothing, 'medium': nothing, 'large': missed}
    assert result['by_size']['small'] == car['by_size']['small']
    assert result['by_size']['large']['map50_95'] == pytest.approx(0.5)
    assert result['by_size']['large']['instances'] == 2
    assert car['mar50_95'] == pytest.approx(3 / 4) and bus['mar50_95'] == 0
    assert result['mar50_95'] == pytest.approx(3 / 8)


def test_curves_and_the_best_threshold():
    """In order of the score: hit, nothing, hit; of 4 cars."""
    boxes = [[x, 0, x + 40, 40] for x in (0, 60, 120, 180)]
    truth = truth_of({'a.jpg': [(0, box, False) for box in boxes]})
    rows = [(0, boxes[0], 0.875), (0, [0, 100, 40, 140], 0.75), (0, boxes[1], 0.5)]
    result = detailed(truth, {'a.jpg': rows})
    curves = result['curves']
    precision = np.array(curves['precision']['car'])
    assert len(curves['recall']) == 101 and curves['recall'][-1] == 1
    np.testing.assert_allclose(precision[:26], 1)
    np.testing.assert_allclose(precision[26:51], 2 / 3, atol=1e-4)
    np.testing.assert_allclose(precision[51:], 0)
    assert result['map50'] == pytest.approx(precision.mean(), abs=1e-4)
    assert result['per_class']['car']['best_f1'] == {
        'score': 0.5,
        'f1': pytest.approx(4 / 7),
        'precision': pytest.approx(2 / 3),
        'recall': 0.5,
    }
    assert result['best_f1']['score'] == pytest.approx(0.5)
    f1 = dict(zip(curves['score'], curves['f1']['car'], strict=True))
    assert f1[0.0] == f1[0.5] == pytest.approx(4 / 7, abs=1e-4)
    assert f1[0.51] == f1[0.75] == pytest.approx(2 / 6, abs=1e-4)
    assert f1[0.76] == pytest.approx(2 / 5, abs=1e-4) and f1[0.9] == 0


def test_the_confusion_matrix_names_what_occurs():
    box, far = [10.0, 10.0, 60.0, 60.0], [200.0, 10.0, 260.0, 60.0]
    truth = truth_of({'a.jpg': [(0, box, False)], 'b.jpg': []})
    found = {'a.jpg': [(2, box, 0.9), (1, far, 0.2)], 'b.jpg': [(2, far, 0.5)]}
    assert detailed(truth, found)['confusion'] == {
        'score': 0.25,
        'iou': 0.5,
        'classes': ['car', 'tram'],
        'matrix': [[0, 1, 0], [0, 0, 0], [0, 1, 0]],
    }


@pytest.mark.parametrize('box', [[], [[0, 0, 10, 10]]])
def test_details_of_nothing(box):
    """No object at all, and no detection of the only one."""
    truth = truth_of({'a.jpg': [(0, one, False) for one in box]})
    result = detailed(truth, {'a.jpg': []})
    assert result['best_f1'] is None and result['mar50_95'] == (0 if box else None)
    assert set(result['per_class']) == ({'car'} if box else set())
    assert result['by_size']['small']['map50'] == (0 if box else None)


def test_what_was_collected_can_be_looked_at():
    truth = truth_of({'a.jpg': [(0, [10, 10, 30, 40], False)]}, size=(400, 200))
    ap = CocoAP(truth, NAMES, map_classes(NAMES, truth))
    ap.process('a.jpg', detections_of([(1, [5, 5, 15, 15], 0.5)]), SIZE)
    (picture,) = ap.pictures.values()
    assert picture.name == 'a.jpg' and picture.truth_boxes.tolist() == [[5, 5, 10, 15]]
    assert picture.boxes.tolist() == [[5, 5, 10, 10]] and picture.classes.tolist() == [1]
    assert picture.scores.tolist() == [0.5] and picture.truth_classes.tolist() == [0]
