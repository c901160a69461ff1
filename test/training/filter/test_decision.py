# SPDX-License-Identifier: Apache-2.0
"""The rule: surely above zero, then the largest; and the sentence that says so."""

from __future__ import annotations

import pytest

from kd_yolo_ros.metrics.bootstrap import Difference, Interval
from kd_yolo_training.filter.decision import corrected_level, decide, in_points, percent


def difference(mean, low, high, level=0.95):
    interval = Interval(mean, low, high)
    return Difference(level, interval, interval, {})


def test_a_sure_gain_is_taken():
    found = decide({'cwd': difference(0.014, 0.006, 0.021)}, {'plain': 3, 'cwd': 3})
    assert found.arm == 'cwd'
    assert found.sentence == (
        'distilled (cwd) is taken: +1.4 AP50-95 (95 % interval +0.6 to +2.1) over plain, '
        '3 seeds each.'
    )


def test_of_networks_that_segment_the_masks_decide():
    sure, unsure = Interval(0.014, 0.006, 0.021), Interval(0.03, -0.01, 0.05)
    found = Difference(0.95, sure, sure, {}, unsure, unsure)
    decision = decide({'cwd': found}, {'plain': 3, 'cwd': 3})
    assert decision.arm == 'plain'
    assert 'distilled (cwd) has +3.0 mask AP50-95 (95 % interval -1.0 to +5.0)' in (
        decision.sentence
    )
    found = Difference(0.95, unsure, unsure, {}, sure, sure)
    assert decide({'cwd': found}, {'plain': 3, 'cwd': 3}).arm == 'cwd'


def test_remarks_follow_the_sentence():
    found = {'cwd': difference(0.014, 0.006, 0.021)}
    sentence = decide(found, {'plain': 3, 'cwd': 3}, ['Not recorded is one.', 'And two.']).sentence
    assert sentence.endswith('over plain, 3 seeds each. Not recorded is one. And two.')


@pytest.mark.parametrize(
    'values', [(0.02, -0.001, 0.05), (0.02, 0.0, 0.05), (-0.02, -0.03, -0.01)]
)
def test_what_may_be_no_gain_is_not(values):
    found = decide({'distilled': difference(*values)}, {'plain': 2, 'distilled': 1})
    assert found.arm == 'plain'
    assert found.sentence.startswith('plain is taken: distilled has ')
    assert found.sentence.endswith('which may be no gain, 1 against 2 seeds.')


def test_of_several_sure_ones_the_largest():
    level = corrected_level(0.95, 3)
    assert level == pytest.approx(1 - 0.05 / 3)
    differences = {
        'unsure': difference(0.05, -0.01, 0.1, level),
        'small': difference(0.01, 0.005, 0.02, level),
        'large': difference(0.02, 0.001, 0.04, level),
    }
    found = decide(differences, dict.fromkeys([*differences, 'plain'], 1))
    assert found.arm == 'large'
    assert '98.3 % interval, corrected for 3 tried, +0.1 to +4.0' in found.sentence
    assert found.sentence.endswith('1 seed each.')
    del differences['small'], differences['large']
    assert decide(differences, {'unsure': 1, 'plain': 1}).arm == 'plain'


def test_points():
    assert [in_points(v) for v in (0.0136, -0.002, 0.0, -0.0001)] == [
        *('+1.4', '-0.2', '+0.0', '+0.0')
    ]


@pytest.mark.parametrize(
    ('level', 'text'),
    [(0.5, '50 %'), (0.95, '95 %'), (0.975, '97.5 %'), (1 - 0.05 / 3, '98.3 %'), (0.99, '99 %'),
     (1 - 0.05 / 16, '99.69 %'), (0.9995, '99.95 %'), (1 - 1e-7, '99.99999 %')],
)  # fmt: skip
def test_no_level_is_shown_as_all(level, text):
    assert percent(level) == text
