# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data annotate`, from teachers and pictures to a network that learnt from them."""

from __future__ import annotations

import ast
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from artifacts import CLASS_NAMES, Square, scene
from click.testing import CliRunner
from processes import kd_yolo
from shapes import write_shapes

from kd_yolo_ros.errors import UserError
from kd_yolo_training.cli.data import data as verbs
from kd_yolo_training.data.dataset import DataSet, Picture
from kd_yolo_training.data.fingerprint import fingerprint
from kd_yolo_training.data.prepared import write_prepared
from kd_yolo_training.data.read import read_dataset
from kd_yolo_training.distillation.soft_labels import overlaps
from kd_yolo_training.engine.distributed import World
from kd_yolo_training.engine.predict import module_predictor
from kd_yolo_training.engine.settings import Settings
from kd_yolo_training.engine.train import train
from kd_yolo_training.engine.validation import validate
from kd_yolo_training.models.yolov5 import YOLOv5

CPU = World(torch.device('cpu'))


def run(*args: object) -> str:
    words = ['annotate', *map(str, args)]
    result = CliRunner().invoke(verbs, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def write_scenes(folder: Path, count: int, seed: int = 0) -> list[Picture]:
    """Write pictures with a middle-sized and a large square that the tiny detector finds."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    pictures = []
    for number in range(count):
        names = [CLASS_NAMES[index] for index in random.integers(3, size=2)]
        squares = [
            Square(names[0], 16, int(random.integers(2)), int(random.integers(4))),
            Square(names[1], 32, 2, int(random.integers(2))),
        ]
        image, boxes = scene(squares, 2, int(random.integers(40, 200)))
        # Pale squares are what it is not certain of.
        image[image == 255] = random.integers(206, 214)
        file = folder / f'{number:02}.png'
        cv2.imwrite(str(file), image)
        height, width = image.shape[:2]
        class_ids = np.array([CLASS_NAMES.index(name) for name in names])
        relative = boxes / np.array((width, height) * 2, np.float32)
        none = np.zeros(2, bool)
        pictures.append(Picture(file, relative, class_ids, none, ((),) * 2, (width, height)))
    return pictures


def test_unlabelled_pictures_get_the_teachers_labels(tmp_path, tiny_artifact):
    truth = write_scenes(tmp_path / 'drive', 6)
    out = tmp_path / 'set'
    said = run(
        *(tmp_path / 'drive', '--teacher', tiny_artifact, '--out', out),
        *('--score', 0.3, '--json', tmp_path / 'r.json'),
    )
    assert 'soft labels: 12' in said and 'of them soft labels' in said
    found = read_dataset(out, 'fit')
    assert found.names == CLASS_NAMES and found.problems == ()
    for one, other in zip(found.pictures, truth, strict=True):
        assert sorted(one.class_ids.tolist()) == sorted(other.class_ids.tolist())
        assert overlaps(one.boxes, other.boxes).max(1).min() > 0.9
        assert one.soft.all() and one.weights.min() >= 0.3 and one.weights.max() < 0.9
    names = {file.name for file in out.iterdir()}
    assert names == {
        *('dataset.yaml', 'fit.json', 'instances.json', 'instances.png'),
        *('soft-labels.png', 'detections'),
    }
    report = json.loads((tmp_path / 'r.json').read_text())
    assert report['splits']['fit']['soft'] == report['soft_labels'] == 12
    assert report['source']['teachers'][0]['name'] == 'tiny'
    assert str(tmp_path) not in (tmp_path / 'r.json').read_text()


def test_other_thresholds_ask_the_teacher_nothing_again(tmp_path, tiny_artifact, monkeypatch):
    from kd_yolo_ros.predictor import Predictor

    write_scenes(tmp_path / 'drive', 3)
    words = (tmp_path / 'drive', '--teacher', tiny_artifact, '--out', tmp_path / 'set')
    run(*words, '--score', 0.3)
    before = fingerprint(read_dataset(tmp_path / 'set', 'fit'))
    monkeypatch.setattr(Predictor, 'predict', None)
    run(*words, '--score', 0.75)
    fewer = read_dataset(tmp_path / 'set', 'fit')
    assert 0 < sum(len(p.boxes) for p in fewer.pictures) < 6
    assert min(p.weights.min() for p in fewer.pictures if len(p.boxes)) >= 0.75
    run(*words, '--score', 0.3)
    assert fingerprint(read_dataset(tmp_path / 'set', 'fit')) == before


def test_labels_stay_and_only_fit_is_annotated(tmp_path, tiny_artifact):
    """Of every picture in fit only the first object was labelled."""
    pictures = write_scenes(tmp_path / 'images', 6)
    half = [
        Picture(p.file, p.boxes[:1], p.class_ids[:1], p.crowd[:1], ((),), p.size)
        for p in pictures[:3]
    ]
    splits = {'fit': half, 'select': pictures[3:5], 'val': pictures[5:]}
    write_prepared(tmp_path / 'set', CLASS_NAMES, tmp_path / 'images', splits, {})
    write_scenes(tmp_path / 'more', 2, seed=1)
    out = tmp_path / 'out'
    teachers = ('--teacher', tiny_artifact, '--teacher', tiny_artifact)
    run(tmp_path / 'set', tmp_path / 'more', tmp_path / 'images', *teachers, '--out', out)
    fit = read_dataset(out, 'fit')
    assert [p.soft.tolist() for p in fit.pictures] == [[False, True]] * 3 + [[True, True]] * 2
    for one, other in zip(fit.pictures[:3], half, strict=True):
        assert one.class_ids[0] == other.class_ids[0]
        np.testing.assert_allclose(one.boxes[0], other.boxes[0], atol=1e-4)
    for split in ('select', 'val'):
        same = fingerprint(read_dataset(tmp_path / 'set', split))
        assert fingerprint(read_dataset(out, split)) == same
    report = json.loads((out / 'instances.json').read_text())
    assert report['left_out_as_labelled_elsewhere'] == 6


def test_a_network_learns_from_soft_labels_alone(tmp_path, tiny_artifact):
    """Nobody labelled a picture that it is trained on; its AP is measured on true labels."""
    write_scenes(tmp_path / 'drive', 96)
    run(tmp_path / 'drive', '--teacher', tiny_artifact, '--out', tmp_path / 'set')
    fit = read_dataset(tmp_path / 'set', 'fit')
    judged = write_scenes(tmp_path / 'judged', 12, seed=7)
    truth = DataSet(tuple(judged), CLASS_NAMES, (), 'scenes')
    settings = {
        **{'model': 'n', 'imgsz': 96, 'batch': 8, 'nominal_batch': 8, 'objectness': 10.0},
        **{'epochs': 14, 'eval_every': 14, 'optimizer': 'adamw', 'lr': 0.004, 'ema_decay': 0.9},
        **{'warmup_epochs': 1.0, 'mosaic': 0.0, 'scale': 0.1, 'hsv_h': 0.0, 'hsv_s': 0.0},
    }
    untrained = validate(module_predictor(YOLOv5('n', 3), CLASS_NAMES, (96, 96)), truth)
    rows = train(Settings.from_dict(settings), fit, truth, tmp_path / 'run', CPU)
    assert untrained['map50'] < 0.1 and rows[-1]['map50'] > 0.5


def test_soft_labels_are_neither_chosen_by_nor_judged_by(tmp_path, tiny_artifact):
    write_scenes(tmp_path / 'drive', 4)
    run(tmp_path / 'drive', '--teacher', tiny_artifact, '--out', tmp_path / 'set')
    fit = tmp_path / 'set' / 'fit.json'
    said = kd_yolo('evaluate', tiny_artifact, '--data', fit, cwd=tmp_path).refused()
    assert 'no ground truth' in said
    words = ('--select-data', fit, '--out', tmp_path / 'run', '--model', 'n', '--device', 'cpu')
    said = kd_yolo('train', '--data', tmp_path / 'set', *words, cwd=tmp_path).refused()
    assert 'soft labels' in said and not (tmp_path / 'run').exists()


def test_other_verbs_keep_scores_or_refuse_them(tmp_path, tiny_artifact):
    write_scenes(tmp_path / 'drive', 4)
    run(tmp_path / 'drive', '--teacher', tiny_artifact, '--out', tmp_path / 'set')
    made = read_dataset(tmp_path / 'set', 'fit')

    def verb(*words: object) -> Exception | None:
        return CliRunner().invoke(verbs, [*map(str, words), '--split', 'fit']).exception

    words = ('--classes', 'blue', '--only-classes', '--out', tmp_path / 'blue')
    assert verb('subset', tmp_path / 'set', *words) is None
    blue = read_dataset(tmp_path / 'blue', 'fit').pictures
    assert sorted(np.concatenate([p.weights for p in blue])) == sorted(
        np.concatenate([p.weights[p.class_ids == 2] for p in made.pictures])
    )
    export = ('export', tmp_path / 'set', '--out')
    assert verb(*export, tmp_path / 'coco', '--format', 'coco') is None
    coco = read_dataset(tmp_path / 'coco' / 'instances.json')
    assert [p.weights.tolist() for p in coco.pictures] == [
        p.weights.tolist() for p in made.pictures
    ]
    refused = verb(*export, tmp_path / 'yolo', '--format', 'yolo')
    assert isinstance(refused, UserError) and 'as coco' in str(refused)
    refused = verb('bag', tmp_path / 'set', '--out', tmp_path / 'bag')
    assert isinstance(refused, UserError) and 'soft labels' in str(refused)
    assert not (tmp_path / 'yolo').exists() and not (tmp_path / 'bag').exists()


def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, tiny_artifact):
    write_scenes(tmp_path / 'drive', 2)
    shapes = write_shapes(tmp_path / 'shapes', fit=1, select=1)
    (tmp_path / 'map.yaml').write_text('disc: purple')
    out = tmp_path / 'out'
    drive, teacher = tmp_path / 'drive', ('--teacher', tiny_artifact)
    for words, sentence in (
        ((drive, '--teacher', tmp_path / 'nothing', '--out', out), 'nothing'),
        ((tmp_path / 'nothing', *teacher, '--out', out), 'does not exist'),
        ((shapes, *teacher, '--out', out), 'no class in common'),
        ((shapes, *teacher, '--out', out, '--class-map', tmp_path / 'map.yaml'), "'purple'"),
        ((shapes, *teacher, '--out', out, '--names', 'a,b'), 'leave it away'),
        ((drive, *teacher, '--out', out, '--runtime', 'abacus'), 'abacus'),
        ((shapes, *teacher, '--out', shapes), 'the data set itself'),
        ((drive, *teacher, '--out', drive / 'set'), 'among the pictures'),
        ((drive, *teacher, '--out', shapes / 'images'), 'holds other things'),
    ):
        with pytest.raises(UserError, match=sentence):
            run(*words)
    assert not out.exists()


def test_only_named_classes_are_annotated(tmp_path, tiny_artifact):
    write_scenes(tmp_path / 'drive', 4)
    words = ('--teacher', tiny_artifact, '--out', tmp_path / 'set', '--names', 'blue,red')
    run(tmp_path / 'drive', *words)
    found = read_dataset(tmp_path / 'set', 'fit')
    assert found.names == ('blue', 'red') and len(found.pictures) == 4
    assert 0 < sum(len(p.boxes) for p in found.pictures) < 8


def test_a_genuine_anchor_free_export_teaches(tmp_path, data_dir):
    """YOLOv8n as INT8, of which another tool made what it is; judged by the labels of people."""
    import openvino
    from openvino import opset8

    source = data_dir / 'weights' / 'yolov8n_int8.tflite'
    with zipfile.ZipFile(source) as archive:
        metadata = ast.literal_eval(archive.read('temp_meta.txt').decode())
    model = openvino.Core().read_model(source)
    # Its boxes are relative, where other exports have pixels.
    pixels = np.ones((1, 84, 1), np.float32)
    pixels[:, :4] = 320
    boxes = opset8.multiply(model.output(0).node.input_value(0), opset8.constant(pixels))
    teacher = tmp_path / 'teacher'
    teacher.mkdir()
    graph = openvino.Model([boxes], model.get_parameters())
    openvino.save_model(graph, teacher / 'yolov8n.xml', compress_to_fp16=False)
    (teacher / 'metadata.yaml').write_text(yaml.safe_dump(metadata))

    drive = tmp_path / 'drive'
    drive.mkdir()
    for file in sorted((data_dir / 'coco128' / 'images').rglob('*.jpg'))[:24]:
        (drive / file.name).symlink_to(file)
    run(drive, '--teacher', teacher, '--out', tmp_path / 'set', '--score', 0.5)
    labelled = read_dataset(data_dir / 'coco128' / 'instances.json').pictures
    truth = {picture.file.name: picture for picture in labelled}
    found = read_dataset(tmp_path / 'set', 'fit')
    right = []
    for picture in found.pictures:
        labels = truth[picture.file.name]
        same = picture.class_ids[:, None] == labels.class_ids  # both are COCO's, in its order
        overlap = overlaps(picture.boxes, labels.boxes) * same
        right += (overlap.max(1, initial=0) > 0.5).tolist()
    assert len(right) > 20 and np.mean(right) > 0.8
