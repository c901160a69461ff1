# SPDX-License-Identifier: Apache-2.0
"""AP of resampled pictures against `CocoAP` itself, and differences where the truth is known."""

from __future__ import annotations

import mask_scenes
import numpy as np
import pytest

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.bootstrap import (
    Interval,
    ResampledAP,
    enough_resamples,
    paired_differences,
)
from kd_yolo_ros.metrics.class_map import map_classes
from kd_yolo_ros.metrics.coco_ap import CocoAP
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth

NAMES = ['car', 'bus', 'tram']
SIDE = 200
PICTURES = 30


def random_truth(seed, crowds=True, pictures=PICTURES):
    """Objects of two of the three classes, a fifth of them crowds; some pictures have none."""
    random = np.random.default_rng(seed)
    content = {}
    for number in range(pictures):
        count = int(random.integers(0, 5))
        corner = random.uniform(0, 120, (count, 2))
        boxes = np.hstack([corner, corner + random.uniform(15, 70, (count, 2))])
        crowd = crowds & (random.random(count) < 0.2)
        content[f'{number}.png'] = Truth(boxes, random.integers(0, 2, count), crowd, None)
    return GroundTruth(content, None, 'a test')


def random_found(truth, seed, blur=4.0):
    """Each object about twice, more or less well, and things that are not there."""
    random = np.random.default_rng(seed)
    found = {}
    for name, one in truth.pictures.items():
        boxes = np.repeat(one.boxes, 2, axis=0)
        ids = np.repeat(one.class_ids, 2)
        wrong = random.uniform(0, 100, (3, 2))
        boxes = np.vstack([boxes + random.normal(0, blur, boxes.shape), np.hstack([wrong] * 2)])
        boxes[-3:, 2:] += random.uniform(10, 90, (3, 2))
        ids = np.concatenate([ids, random.integers(0, 3, 3)])
        order = np.argsort(-(scores := random.random(len(ids))))
        scores = scores[order].astype(np.float32)
        found[name] = Detections(boxes[order].astype(np.float32), scores, ids[order])
    return found


def filled(truth, found):
    ap = CocoAP(truth, NAMES, map_classes(NAMES, truth))
    for name, detections in found.items():
        ap.process(name, detections, (SIDE, SIDE))
    return ap


def repeated(truth, found, weights):
    """The same with every picture there as often as its weight says, under another name."""
    names = [
        (f'{name}-{copy}', name)
        for name, weight in zip(truth.pictures, weights, strict=True)
        for copy in range(weight)
    ]
    copied = GroundTruth({new: truth.pictures[old] for new, old in names}, None, 'copies')
    return filled(copied, {new: found[old] for new, old in names})


def as_table(result, names=NAMES):
    """AP50-95 and AP50 by class from `CocoAP.evaluate`; NaN for classes without objects."""
    none = {'map50_95': np.nan, 'map50': np.nan}
    rows = [result['per_class'].get(name, none) for name in names]
    return np.array([[row['map50_95'], row['map50']] for row in rows])


@pytest.mark.parametrize('crowds', [False, True])
@pytest.mark.parametrize('seed', range(3))
def test_every_picture_once_is_coco_ap(seed, crowds):
    truth = random_truth(seed, crowds)
    ap = filled(truth, random_found(truth, seed))
    result, resampled = ap.evaluate(), ResampledAP(ap)
    assert resampled.names == list(result['per_class']) == NAMES[:2]
    assert resampled.pictures == list(truth.pictures)
    per_class = resampled.per_class(np.ones(PICTURES))
    np.testing.assert_allclose(per_class, as_table(result, NAMES[:2]), rtol=0, atol=1e-12)
    assert per_class.mean(0) == pytest.approx([result['map50_95'], result['map50']], abs=1e-12)
    instances = [one['instances'] for one in result['per_class'].values()]
    assert resampled.instances.tolist() == instances
    assert 0.05 < result['map50_95'] < result['map50'] < 0.95


@pytest.mark.parametrize('crowds', [False, True])
@pytest.mark.parametrize('seed', range(4))
def test_whole_weights_are_copies_of_pictures(seed, crowds):
    truth = random_truth(seed, crowds)
    found = random_found(truth, seed)
    weights = np.random.default_rng(seed).multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES))
    assert 0 in weights and weights.max() > 1
    expected = as_table(repeated(truth, found, weights).evaluate(), NAMES[:2])
    resampled = ResampledAP(filled(truth, found))
    np.testing.assert_allclose(resampled.per_class(weights), expected, rtol=0, atol=1e-9)


def test_a_class_without_objects_in_the_resample_has_no_ap():
    box = np.array([[10.0, 10, 60, 60]])
    truth = GroundTruth(
        {name: Truth(box, np.array([c]), np.zeros(1, bool)) for c, name in enumerate('ab')},
        None,
        'a test',
    )
    found = {
        name: Detections(box.astype(np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
        for name in 'ab'
    }
    resampled = ResampledAP(filled(truth, found))
    np.testing.assert_allclose(resampled.per_class(np.array([2, 0])), [[1, 1], [np.nan] * 2])
    np.testing.assert_allclose(resampled.per_class(np.array([0, 1])), [[np.nan] * 2, [0, 0]])


def test_nothing_found_and_everything_found():
    truth = random_truth(1, crowds=False)
    weights = np.arange(PICTURES)
    blind = ResampledAP(filled(truth, dict.fromkeys(truth.pictures, Detections.empty())))
    assert (blind.per_class(weights) == 0).all()
    exact = {
        name: Detections(
            one.boxes.astype(np.float32), np.full(len(one.boxes), 0.5, np.float32), one.class_ids
        )
        for name, one in truth.pictures.items()
    }
    perfect = ResampledAP(filled(truth, exact)).per_class(weights)
    np.testing.assert_allclose(perfect, 1)


@pytest.fixture(scope='module')
def models():
    """Two good models, two that place boxes badly; of one truth with many pictures."""
    truth = random_truth(5, pictures=120)
    blurs = {'good': (2.0, 2.0), 'bad': (6.0, 6.0)}
    return {
        name: [
            ResampledAP(filled(truth, random_found(truth, 10 * number + seed, blur)))
            for seed, blur in enumerate(pair)
        ]
        for number, (name, pair) in enumerate(blurs.items())
    }


def difference(baseline, other, *more, **settings):
    return paired_differences(baseline, {'other': other}, *more, **settings)['other']


def test_a_sure_difference(models):
    found = difference(models['bad'], models['good'], 200)
    ones = np.ones(120)
    means = {
        name: np.mean([model.per_class(ones).mean(0) for model in pair], axis=0)
        for name, pair in models.items()
    }
    expected = means['good'] - means['bad']
    for interval, mean in zip((found.map50_95, found.map50), expected, strict=True):
        assert interval.difference == pytest.approx(mean)
        assert 0 < interval.low < interval.difference < interval.high
    assert set(found.per_class) == {'car', 'bus'}
    reverse = difference(models['good'], models['bad'], 200)
    assert reverse.map50_95 == pytest.approx(
        Interval(-found.map50_95.difference, -found.map50_95.high, -found.map50_95.low)
    )


def test_no_difference(models):
    same = difference(models['good'], models['good'], 100)
    zero = Interval(0, 0, 0)
    assert (same.map50_95, same.map50) == (zero, zero)
    assert set(same.per_class.values()) == {zero}
    one, other = models['good']  # differ by chance alone
    found = difference([one], [other], 400).map50_95
    assert found.low < 0 < found.high


def test_the_baseline_is_drawn_once_for_all(models, monkeypatch):
    baseline, *others = [models['bad'][:1], models['good'][:1], models['good'][1:]]
    alone = [difference(baseline, other, 50) for other in others]
    drawn = []
    per_class = ResampledAP.per_class
    monkeypatch.setattr(
        ResampledAP,
        'per_class',
        lambda self, weights: drawn.append(self) or per_class(self, weights),
    )
    together = paired_differences(baseline, dict(zip('ab', others, strict=True)), 50)
    assert [together['a'], together['b']] == alone
    assert drawn.count(baseline[0]) == drawn.count(others[0][0]) == 51


@pytest.mark.parametrize(
    ('level', 'resamples'), [(0.5, 100), (0.95, 1000), (0.975, 2000), (1 - 0.05 / 3, 3000)]
)
def test_25_resamples_lie_beyond_each_end(level, resamples):
    assert enough_resamples(level) == resamples


def test_the_interval_is_that_of_real_resamples():
    """Each resample's AP computed anew by `CocoAP` over copies of the pictures drawn."""
    truth = random_truth(7)
    founds = [random_found(truth, 1), random_found(truth, 2, 2.0)]
    random = np.random.default_rng(3)
    values = []
    for _ in range(8):
        weights = random.multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES))
        first, second = (repeated(truth, found, weights).evaluate() for found in founds)
        values.append(second['map50_95'] - first['map50_95'])
    models = [[ResampledAP(filled(truth, found))] for found in founds]
    found = difference(*models, resamples=8, level=0.8, seed=3)
    assert found.level == 0.8
    assert (found.map50_95.low, found.map50_95.high) == pytest.approx(
        tuple(np.quantile(values, [0.1, 0.9])), abs=1e-9
    )


def test_seed_level_and_progress(models):
    sides = models['bad'], models['good']
    seen = []

    def progress(items, title, count):
        seen.append((title, count))
        return items

    narrow = difference(*sides, 150, 0.8, 1, progress)
    assert seen == [('bootstrap', 150)]
    assert narrow == difference(*sides, 150, 0.8, 1)
    other, wide = difference(*sides, 150, 0.8, 2), difference(*sides, 150, 0.99, 1)
    assert narrow.map50_95.low != other.map50_95.low
    assert wide.map50_95.low < narrow.map50_95.low < narrow.map50_95.high < wide.map50_95.high


def test_what_cannot_be_compared_is_refused(models):
    truth = random_truth(6)
    fewer = ResampledAP(filled(truth, random_found(truth, 1)))
    with pytest.raises(UserError, match='the same pictures'):
        difference(models['good'], [fewer])
    nothing = random_truth(0, pictures=1)
    nothing.pictures['0.png'] = Truth(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool))
    empty = ResampledAP(filled(nothing, {'0.png': Detections.empty()}))
    assert empty.per_class(np.ones(1)).shape == (0, 2)
    with pytest.raises(UserError, match='without objects'):
        difference([empty], [empty])


def with_masks(truth, seed, blur=4.0):
    ap = CocoAP(truth, NAMES, map_classes(NAMES, truth))
    for name, detections in mask_scenes.random_found(truth, seed, blur).items():
        ap.process(name, detections, (mask_scenes.WIDTH, mask_scenes.HEIGHT))
    return ap


def test_masks_are_resampled_beside_boxes():
    truth = mask_scenes.random_truth(0, pictures=40)
    ap = with_masks(truth, 0)
    result, resampled = ap.evaluate(), ResampledAP(ap)
    assert resampled.figures == ('map50_95', 'map50', 'mask_map50_95', 'mask_map50')
    again = resampled.evaluate()
    assert list(again) == list(result)
    for key in (*resampled.figures, 'miou'):
        assert again[key] == pytest.approx(result[key], abs=1e-12)
    for name, one in result['per_class'].items():
        assert again['per_class'][name] == pytest.approx(one, abs=1e-12)
        assert list(again['per_class'][name]) == list(one)


def test_a_difference_of_masks():
    truth = mask_scenes.random_truth(1, pictures=60)
    good, bad = ([ResampledAP(with_masks(truth, seed, seed))] for seed in (2, 8))
    found = difference(bad, good, 100)
    expected = good[0].evaluate()['mask_map50_95'] - bad[0].evaluate()['mask_map50_95']
    assert found.mask_map50_95.difference == pytest.approx(expected)
    assert found.judged is found.mask_map50_95 and found.judged.low > 0
    assert set(found.mask_per_class) == {'car', 'bus'} and found.map50_95 != found.judged
    assert set(found.to_dict()) >= {'mask_map50_95', 'mask_map50', 'mask_per_class'}
    assert good[0].evaluate()['miou'] > bad[0].evaluate()['miou']


def test_a_class_without_masks_has_no_difference_of_them(recwarn):
    truth = mask_scenes.random_truth(1, pictures=20)
    for name, one in truth.pictures.items():
        kept = tuple(
            outlines if class_id == 0 else []
            for outlines, class_id in zip(one.segmentations, one.class_ids, strict=True)
        )
        truth.pictures[name] = Truth(one.boxes, one.class_ids, one.crowd, one.size, kept)
    first, second = ([ResampledAP(with_masks(truth, seed, seed))] for seed in (2, 8))
    found = difference(first, second, 100)
    assert set(found.per_class) == {'car', 'bus'} and set(found.mask_per_class) == {'car'}
    assert found.mask_map50_95 == found.mask_per_class['car']
    assert not [warning for warning in recwarn if warning.category is RuntimeWarning]


def test_masks_and_none_are_not_compared():
    truth = mask_scenes.random_truth(1)
    boxes = GroundTruth(
        {n: Truth(t.boxes, t.class_ids, t.crowd, t.size) for n, t in truth.pictures.items()},
        None,
        'a test',
    )
    sides = ([ResampledAP(with_masks(one, 2))] for one in (truth, boxes))
    with pytest.raises(UserError, match='with masks and models without'):
        difference(*sides)
