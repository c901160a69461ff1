# SPDX-License-Identifier: Apache-2.0
"""Ultralytics' trainer on our labels: the trunk it takes over, what it leaves, how it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from random_yolov5 import random_yolov5

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.predictor import Predictor
from kd_yolo_training.data.dataset import DataSet, Picture
from kd_yolo_training.peers import ultralytics

PICTURES = 9
BATCH = 4


@pytest.fixture(scope='module')
def bright_boxes(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Nine dark pictures with one bright box each, the last without a label."""
    folder = tmp_path_factory.mktemp('pictures')
    random = np.random.default_rng(0)
    pictures = []
    for number in range(PICTURES):
        image = random.integers(0, 60, (64, 96, 3), np.uint8)
        file = folder / f'{number}.png'
        boxes = np.zeros((0, 4), np.float32)
        if number < PICTURES - 1:
            x, y = (int(v) for v in random.integers(4, 36, 2))
            image[y : y + 20, x : x + 30] = 230
            boxes = np.array([[x / 96, y / 64, (x + 30) / 96, (y + 20) / 64]], np.float32)
        assert cv2.imwrite(str(file), image)
        count = len(boxes)
        pictures.append(
            Picture(
                file,
                boxes,
                np.full(count, number % 2, np.int64),
                np.zeros(count, bool),
                ((),) * count,
                (96, 64),
            )
        )
    return DataSet(tuple(pictures), ('even', 'odd'), (), 'bright boxes')


@pytest.fixture(scope='module')
def trunk() -> dict[str, torch.Tensor]:
    return ultralytics.trunk_of(random_yolov5(2).state_dict())


@pytest.fixture(scope='module')
def finished(
    bright_boxes: DataSet,
    trunk: dict[str, torch.Tensor],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[ultralytics.PeerRun, list[tuple[int, int]]]:
    steps: list[tuple[int, int]] = []
    run = ultralytics.train_peer(
        'n',
        bright_boxes,
        tmp_path_factory.mktemp('peer'),
        **arguments(trunk),
        on_step=lambda done, total: steps.append((done, total)),
    )
    return run, steps


def arguments(trunk: dict[str, torch.Tensor]) -> dict:
    return {'imgsz': 64, 'epochs': 2, 'batch': BATCH, 'trunk': trunk, 'threads': 1, 'mosaic': 0.5}


def test_every_step_is_timed_and_reported(finished: tuple) -> None:
    run, steps = finished
    assert steps == [(n, 6) for n in range(1, 7)]  # 9 pictures in batches of 4: 3 an epoch
    assert run.step_epochs == (0, 0, 0, 1, 1, 1)
    assert len(run.images_per_s) == 6 and min(run.images_per_s) > 0
    sizes = [4, 4, 1, 4, 4, 1]
    seconds = [n / rate for n, rate in zip(sizes, run.images_per_s, strict=True)]
    assert sum(seconds[:3]) == pytest.approx(run.epoch_s[0], rel=0.05)
    assert sum(seconds[3:]) == pytest.approx(run.epoch_s[1], rel=0.05)


def test_it_ran_with_what_it_was_told(finished: tuple) -> None:
    run, _ = finished
    assert run.settings['mosaic'] == 0.5
    assert run.settings['threads'] == 1
    assert (run.settings['imgsz'], run.settings['batch'], run.settings['epochs']) == (64, 4, 2)


def test_our_predictor_reads_its_weights(finished: tuple, bright_boxes: DataSet) -> None:
    run, _ = finished
    predictor = Predictor(run.model, 'onnxruntime')
    assert tuple(predictor.class_names) == bright_boxes.names
    picture = cv2.imread(str(bright_boxes.pictures[0].file))
    detections = predictor.predict(picture)
    assert detections.boxes.shape[1] == 4


def test_nothing_that_would_be_unpickled_is_left(finished: tuple, bright_boxes: DataSet) -> None:
    run, _ = finished
    for folder in (run.model.parent, bright_boxes.pictures[0].file.parent):
        assert [f for f in folder.rglob('*') if f.suffix in ('.pt', '.cache', '.pkl')] == []


def test_a_finished_run_is_not_repeated(
    finished: tuple,
    bright_boxes: DataSet,
    trunk: dict[str, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, _ = finished

    def started(*_: object, **__: object) -> None:
        raise AssertionError('it trained again')

    monkeypatch.setattr(ultralytics, '_run', started)
    folder = run.model.parent
    again = ultralytics.train_peer('n', bright_boxes, folder, **arguments(trunk))
    assert again == run
    other = {**arguments(trunk), 'seed': 1}
    with pytest.raises(UserError, match='other options'):
        ultralytics.train_peer('n', bright_boxes, folder, **other)


def test_a_trunk_that_does_not_fit_is_refused(
    bright_boxes: DataSet, trunk: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match='of the trunk do not fit') as refusal:
        ultralytics.train_peer('s', bright_boxes, tmp_path, **arguments(trunk))
    assert 'train.log' in str(refusal.value)
    assert not (tmp_path / 'model.onnx').exists()


# Both networks' layers under the head, on the same picture with the same weights.
SAME_FEATURES = """
import sys, torch
from safetensors.torch import load_file
from ultralytics.nn.tasks import DetectionModel
from kd_yolo_training.models.yolov5 import YOLOv5
from kd_yolo_training.peers.ultralytics_process import load_trunk

trunk = load_file(sys.argv[1])
theirs = DetectionModel('yolov5n.yaml', nc=2, verbose=False)
print(load_trunk(theirs, trunk), len(trunk))
ours = YOLOv5('n', 2)
ours.load_state_dict(trunk, strict=False)
seen = {}
for number in (17, 20, 23):
    theirs.model[number].register_forward_hook(lambda m, i, o, n=number: seen.update({n: o}))
picture = torch.rand(1, 3, 64, 64)
with torch.no_grad():
    theirs.eval()(picture)
    features = ours.eval().features(picture)
for number, feature in seen.items():
    print(number, float((features[number] - feature).abs().max() / feature.abs().max()))
"""


def test_the_trunk_computes_the_same_in_both(
    trunk: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    save_file(trunk, tmp_path / 'trunk.safetensors')
    monkeypatch.setenv('YOLO_CONFIG_DIR', str(tmp_path))
    monkeypatch.setenv('YOLO_OFFLINE', 'true')
    done = subprocess.run(
        [sys.executable, '-c', SAME_FEATURES, str(tmp_path / 'trunk.safetensors')],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    counts, *layers = done.stdout.strip().splitlines()[-4:]
    loaded, given = map(int, counts.split())
    assert loaded == given == len(trunk) == 342
    assert [int(line.split()[0]) for line in layers] == [17, 20, 23]
    assert max(float(line.split()[1]) for line in layers) < 1e-4
