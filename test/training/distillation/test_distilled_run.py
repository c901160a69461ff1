# SPDX-License-Identifier: Apache-2.0
"""A student's run as a whole: the teacher it really had, resume, anchors, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from processes import kd_yolo
from shapes import write_shapes

from kd_yolo_ros.errors import UserError
from kd_yolo_training.data.read import read_dataset
from kd_yolo_training.distillation.teacher import Teacher
from kd_yolo_training.engine.distributed import World
from kd_yolo_training.engine.outlets import Outlets
from kd_yolo_training.engine.predict import module_predictor
from kd_yolo_training.engine.run_folder import LAST, RESUME
from kd_yolo_training.engine.settings import Settings
from kd_yolo_training.engine.train import train
from kd_yolo_training.engine.validation import validate
from kd_yolo_training.models.open import open_checkpoint
from kd_yolo_training.models.tensor_file import read_tensors

CPU = World(torch.device('cpu'))
QUICK = {'model': 'n', 'imgsz': 64, 'batch': 8, 'epochs': 4, 'close_mosaic': 1}
TAUGHT = {**QUICK, 'distil_cwd': 1.0, 'distil_output': 1.0, 'distil_schedule': 'cosine'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A data set and a teacher that has learnt it."""
    folder = tmp_path_factory.mktemp('teacher')
    data = write_shapes(folder / 'set', size=(128, 128))
    settings = Settings.from_dict(
        {
            **{'model': 's', 'epochs': 40, 'imgsz': 64, 'batch': 4, 'nominal_batch': 4},
            **{'optimizer': 'adamw', 'lr': 0.002, 'warmup_epochs': 2.0, 'mosaic': 0.0},
        }
    )
    train(settings, read_dataset(data, 'fit'), None, folder / 'run', CPU)
    return folder


@pytest.fixture(scope='module')
def data(folder):
    return read_dataset(folder / 'set', 'fit'), read_dataset(folder / 'set', 'select')


@pytest.fixture(scope='module')
def teacher(folder):
    return open_checkpoint(folder / 'run' / LAST)


def test_the_teacher_has_its_own_ap_on_the_path_to_the_student(data, teacher):
    """As it is loaded, frozen and fused for a student, it finds what it finds alone."""
    fit, _ = data
    alone = validate(module_predictor(teacher.build(), fit.names, (64, 64)), fit)
    inside = Teacher(teacher.build().to(memory_format=torch.channels_last))
    path = teacher.build()
    path.forward = lambda images: inside(images, (17,))[1]
    taught = validate(module_predictor(path, fit.names, (64, 64)), fit)
    assert alone['map50'] > 0.1
    assert taught['map50_95'] == pytest.approx(alone['map50_95'], abs=2e-3)


def test_a_student_that_was_stopped_ends_as_if_it_had_not_been(data, teacher, tmp_path):
    fit, select = data
    settings = Settings.from_dict(TAUGHT)
    train(settings, fit, select, tmp_path / 'whole', CPU, teachers=[teacher])

    class Stopped(Exception):
        pass

    def stop(row):
        if row['epoch'] == 1:
            raise Stopped

    def run(**outlets):
        return train(
            settings, fit, select, tmp_path / 'stopped', CPU, teachers=[teacher], **outlets
        )

    with pytest.raises(Stopped):
        run(outlets=Outlets(row=stop))
    rows = run()
    assert [row['distil_cwd'] > 0 for row in rows] == [True, True, True, False]
    expected, _ = read_tensors(tmp_path / 'whole' / RESUME)
    found, _ = read_tensors(tmp_path / 'stopped' / RESUME)
    assert 'task.adapters.0.layers.17.weight' in expected
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_what_the_student_leaves_is_the_student_alone(data, teacher, tmp_path):
    settings = Settings.from_dict(TAUGHT)
    train(settings, data[0], None, tmp_path, CPU, teachers=[teacher])
    student = open_checkpoint(tmp_path / LAST)
    assert student.size == 'n'
    assert torch.equal(student.anchors, teacher.anchors)
    assert student.training['run']['distil_cwd'] == 1.0
    assert len(student.training['run']['teachers']) == 1


def test_channels_of_the_teacher_are_a_lead_and_recorded_as_its(data, teacher, tmp_path):
    settings = Settings.from_dict(QUICK)
    random = train(settings, data[0], None, tmp_path / 'random', CPU, anchors=teacher)
    taught = Settings.from_dict({**settings.to_dict(), 'distil_imitation': 0.01})
    channels = train(taught, data[0], None, tmp_path / 'run', CPU, teacher, [teacher], teacher)
    assert all(row['box'] < other['box'] for row, other in zip(channels, random, strict=True))
    run = open_checkpoint(tmp_path / 'run' / LAST).training['run']
    assert run['teachers'] == [run['start']] and run['narrowed_from'] == 's'


def test_another_teacher_is_another_run(data, teacher, tmp_path):
    settings = Settings.from_dict({**TAUGHT, 'epochs': 1, 'distil_close': 0})
    train(settings, data[0], None, tmp_path, CPU, teachers=[teacher])
    with pytest.raises(UserError, match="another 'teachers'"):
        train(settings, data[0], None, tmp_path, CPU, teachers=[teacher, teacher])


def test_anchors_of_another_run_are_taken_as_they_are(data, teacher, tmp_path):
    settings = Settings.from_dict({**QUICK, 'epochs': 1})
    train(settings, data[0], None, tmp_path, CPU, anchors=teacher)
    assert torch.equal(open_checkpoint(tmp_path / LAST).anchors, teacher.anchors)


def test_learning_from_nothing_or_nobody_is_refused(data, teacher, tmp_path):
    with pytest.raises(UserError, match='no teacher'):
        train(Settings.from_dict(TAUGHT), data[0], None, tmp_path, CPU)
    with pytest.raises(UserError, match='nothing to learn'):
        train(Settings.from_dict(QUICK), data[0], None, tmp_path, CPU, teachers=[teacher])
    with pytest.raises(UserError, match='no epoch is left'):
        never = Settings.from_dict({**TAUGHT, 'distil_close': 4})
        train(never, data[0], None, tmp_path, CPU, teachers=[teacher])
    assert not list(tmp_path.iterdir())


def test_a_teacher_of_other_classes_teaches_features_only(data, teacher, tmp_path):
    teacher = dataclasses.replace(teacher, names=('a', 'b', 'c'))
    with pytest.raises(UserError, match='other classes'):
        train(Settings.from_dict(TAUGHT), data[0], None, tmp_path, CPU, teachers=[teacher])
    settings = Settings.from_dict({**QUICK, 'epochs': 1, 'distil_pkd': 1.0, 'distil_close': 0})
    (row,) = train(settings, data[0], None, tmp_path, CPU, teachers=[teacher])
    assert row['distil_pkd'] > 0


@pytest.mark.parametrize('change', [{'distil_boxes': 1.0}, {'teacher_choice': 'best'}])
def test_answers_need_the_students_anchors(data, teacher, tmp_path, change):
    other = dataclasses.replace(teacher, anchors=teacher.anchors * 2)
    settings = Settings.from_dict({**QUICK, 'distil_cwd': 1.0, **change})
    with pytest.raises(UserError, match='different anchors'):
        train(settings, data[0], None, tmp_path, CPU, teachers=[teacher], anchors=other)


def test_a_teacher_of_features_leaves_the_anchors_alone(data, teacher, tmp_path):
    """A plain run and one that learns features have the same anchors without being told."""
    strange = dataclasses.replace(teacher, anchors=teacher.anchors * 9)
    quick = {**QUICK, 'epochs': 1}
    train(Settings.from_dict(quick), data[0], None, tmp_path / 'plain', CPU)
    taught = Settings.from_dict({**quick, 'distil_cwd': 1.0, 'distil_close': 0})
    train(taught, data[0], None, tmp_path / 'taught', CPU, teachers=[strange])
    plain, student = (open_checkpoint(tmp_path / name / LAST) for name in ('plain', 'taught'))
    assert torch.equal(plain.anchors, student.anchors)


def test_too_few_boxes_for_the_anchors_of_imitation(data, teacher, tmp_path):
    settings = Settings.from_dict({**QUICK, 'distil_imitation': 0.01, 'imitation_anchors': 500})
    with pytest.raises(UserError, match='smaller --imitation-anchors'):
        train(settings, data[0], None, tmp_path, CPU, teachers=[teacher])


def test_the_verb_takes_teachers_and_its_settings_repeat_the_run(folder, tmp_path):
    kd_yolo(
        *('train', '--data', folder / 'set', '--model', 'n', '--imgsz', 64, '--epochs', 2),
        *('--batch', 8, '--workers', 0, '--threads', 1, '--no-eval', '--out', tmp_path / 'a'),
        *('--teacher', folder / 'run', '--teacher', folder / 'run' / LAST, '--distil-pkd', 0.5),
        *('--distil-close', 0, '--precision', 'bf16', '--teacher-choice', 'best'),
        cwd=tmp_path,
    ).succeeded()
    kd_yolo(
        *('train', '--config', tmp_path / 'a' / 'settings.yaml', '--out', tmp_path / 'b'),
        cwd=tmp_path,
    ).succeeded()
    first, second = (read_tensors(tmp_path / run / LAST)[0] for run in 'ab')
    assert all(torch.equal(first[name], second[name]) for name in first)
    with open(tmp_path / 'a' / 'results.csv') as file:
        assert [float(row['distil_pkd']) > 0 for row in csv.DictReader(file)] == [True, True]
    info = json.loads((tmp_path / 'a' / 'weights' / 'last.json').read_text())
    assert len(info['run']['teachers']) == 2
    assert np.isfinite(info['anchors_px']).all()
