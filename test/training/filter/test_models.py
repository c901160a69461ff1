# SPDX-License-Identifier: Apache-2.0
"""What is compared: runs, checkpoints and artifacts as they are found, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from shapes import NAMES, write_shapes
from synthetic_runs import IMGSZ, write_run

from kd_yolo_ros.errors import UserError
from kd_yolo_training.data.read import read_dataset
from kd_yolo_training.engine.run_folder import BEST, LAST
from kd_yolo_training.filter.cost import network_cost, training_minutes
from kd_yolo_training.filter.models import check_alike, describe_model


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return read_dataset(write_shapes(tmp_path_factory.mktemp('shapes'), 1, 2), 'select')


def test_a_run_and_its_weights(tmp_path):
    run = write_run(tmp_path / 'run', 7)
    found = describe_model(run)
    assert (found.path, found.name, found.seed, found.epoch) == (run / BEST, 'run', 7, 2)
    assert (found.class_names, found.imgsz, found.size) == (NAMES, (IMGSZ, IMGSZ), 'n')
    assert found.train_minutes == pytest.approx(3)
    assert describe_model(run / BEST) == found
    with pytest.raises(UserError, match='last.safetensors'):
        describe_model(run, 'last')
    write_run(run, 8, LAST)
    assert (describe_model(run).seed, describe_model(run, 'last').seed) == (7, 8)
    assert describe_model(write_run(tmp_path / 'other', 9, LAST)).path == tmp_path / 'other' / LAST


def test_a_file_alone_tells_no_minutes(tmp_path):
    file = write_run(tmp_path / 'run', 0) / BEST
    alone = file.rename(tmp_path / 'student.safetensors')
    alone.with_suffix('.json').unlink(missing_ok=True)
    found = describe_model(alone)
    assert (found.name, found.train_minutes) == ('student', None)


def test_an_artifact(tiny_artifact):
    found = describe_model(tiny_artifact)
    assert found.size is None and found.runtime != 'torch' and len(found.sha256) == 64


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match='does not exist'):
        describe_model(tmp_path / 'nothing')


def test_tasks_are_not_mixed(tmp_path, data):
    boxes = describe_model(write_run(tmp_path / 'boxes', 0))
    masks = describe_model(write_run(tmp_path / 'masks', 1, masks=32))
    assert (boxes.task, masks.task, masks.masks) == ('detect', 'segment', 32)
    check_alike({'a': [masks], 'b': [masks]}, data)
    with pytest.raises(UserError, match='b boxes is a detect network, but a masks is a segment'):
        check_alike({'a': [masks], 'b': [boxes]}, data)
    outlined = [dataclasses.replace(p, polygons=((),) * len(p.boxes)) for p in data.pictures]
    alone = dataclasses.replace(data, pictures=tuple(outlined))
    with pytest.raises(UserError, match='has no outlines, by which networks that segment'):
        check_alike({'a': [masks]}, alone)
    crowds = [dataclasses.replace(p, crowd=np.ones_like(p.crowd)) for p in data.pictures]
    with pytest.raises(UserError, match='has no outlines, by which networks that segment'):
        check_alike({'a': [masks]}, dataclasses.replace(data, pictures=tuple(crowds)))
    check_alike({'a': [boxes]}, alone)


def test_what_is_not_alike_is_refused(tmp_path, data):
    one = describe_model(write_run(tmp_path / 'one', 0))
    two = describe_model(write_run(tmp_path / 'two', 1))
    check_alike({'a': [one, two], 'b': [one]}, data, across_arms=True)
    with pytest.raises(UserError, match='the same weights'):
        check_alike({'a': [one, two, one]}, data)
    wide = describe_model(write_run(tmp_path / 'wide', 2, imgsz=[64, 96]))
    with pytest.raises(UserError, match='a wide is a yolov5n for 64x96 pixels, but a one is'):
        check_alike({'a': [one, wide]}, data)
    check_alike({'a': [one], 'b': [wide]}, data)
    with pytest.raises(UserError, match='b wide is .* but a one is'):
        check_alike({'a': [one], 'b': [wide]}, data, across_arms=True)
    names = describe_model(write_run(tmp_path / 'names', 3, names=['disc', 'triangle', 'square']))
    with pytest.raises(UserError, match='other classes than'):
        check_alike({'a': [one], 'b': [names]}, data)


def test_published_costs():
    """The public YOLOv5n and s: 1.9 and 7.2 million parameters, 4.5 and 16.5 GFLOPs."""
    for size, parameters, gflops in (('n', 1.9, 4.5), ('s', 7.2, 16.5)):
        found = network_cost(size, 80, (640, 640))
        assert found.parameters / 1e6 == pytest.approx(parameters, abs=0.05)
        assert found.gflops == pytest.approx(gflops, abs=0.1)
    # With 32 prototypes and coefficients: 2.0 million, 7.1 GFLOPs.
    masks = network_cost('n', 80, (640, 640), 32)
    assert masks.parameters / 1e6 == pytest.approx(2.0, abs=0.05)
    assert masks.gflops == pytest.approx(7.1, abs=0.1)
    half, whole = (network_cost('n', 80, (side, 640)).gflops for side in (320, 640))
    assert half == pytest.approx(whole / 2)


def test_minutes_of_a_broken_table(tmp_path):
    assert training_minutes(tmp_path) is None
    head = 'train_s,evaluate_s\n'
    for text in ('', head, 'epoch,train_s\n0,1\n', f'{head}1,x\n', f'{head}1\n'):
        (tmp_path / 'results.csv').write_text(text)
        assert training_minutes(tmp_path) is None
