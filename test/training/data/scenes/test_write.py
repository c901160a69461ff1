# SPDX-License-Identifier: Apache-2.0
"""Scenes on disk: the layout of Cityscapes, and interrupted runs that go on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from kd_yolo_ros.errors import UserError
from kd_yolo_training.cli.data_scenes import scenes as command
from kd_yolo_training.data.cityscapes import NAMES, find_frames, read_frame
from kd_yolo_training.data.scenes import render
from kd_yolo_training.data.scenes.write import plan, write

SIZE = (256, 128)


def files(root: Path) -> dict[str, bytes]:
    return {
        file.relative_to(root).as_posix(): file.read_bytes()
        for file in sorted(root.rglob('*'))
        if file.is_file()
    }


def test_writes_what_the_cityscapes_reader_reads(tmp_path: Path) -> None:
    jobs = plan(tmp_path, 3, {'train': 9, 'val': 2}, SIZE)
    counted = sum((labels for _, labels in write(jobs, processes=1)), Counter())
    read = 0
    for split, count in (('train', 9), ('val', 2)):
        frames = find_frames(tmp_path, split)
        assert len(frames) == count
        for frame in frames:
            city, number, _ = frame.image.stem.split('_')[:3]
            picture, problems = read_frame(frame)
            assert picture is not None and problems == []
            scene = render(3, split, int(number), SIZE)
            assert scene.city == city == frame.city
            np.testing.assert_array_equal(cv2.imread(str(frame.image)), scene.picture)
            boxes = [one.box / (*SIZE, *SIZE) for one in scene.objects]
            np.testing.assert_allclose(picture.boxes, np.reshape(boxes, (-1, 4)), atol=1e-6)
            labels = [one.label for one in scene.objects]
            assert [NAMES[k] for k in picture.class_ids] == [
                one.removesuffix('group') for one in labels
            ]
            assert picture.crowd.tolist() == [one.endswith('group') for one in labels]
            read += len(labels)
    assert read == counted.total() > 50


def test_the_camera_file_holds_the_intrinsics(tmp_path: Path) -> None:
    list(write(plan(tmp_path, 3, {'val': 1}, SIZE), processes=1))
    (file,) = (tmp_path / 'camera' / 'val').glob('*/*_camera.json')
    camera = render(3, 'val', 0, SIZE).camera
    intrinsic = json.loads(file.read_text())['intrinsic']
    assert intrinsic == {
        'fx': camera.focal, 'fy': camera.focal, 'u0': camera.centre[0], 'v0': camera.centre[1]
    }  # fmt: skip


def test_a_resumed_run_equals_an_undisturbed_one(tmp_path: Path) -> None:
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    counts = {'train': 6, 'val': 2}
    undisturbed = list(write(plan(whole, 0, counts, SIZE, sequences=1, frames=3), processes=1))
    running = write(plan(cut, 0, counts, SIZE, sequences=1, frames=3), processes=1)
    for _ in range(3):
        next(running)
    running.close()
    assert 0 < len(files(cut)) < len(files(whole))
    # A picture that was lost alone is made again too.
    next((cut / 'leftImg8bit' / 'train').rglob('*.png')).unlink()
    resumed = list(write(plan(cut, 0, counts, SIZE, sequences=1, frames=3), processes=2))
    assert files(cut) == files(whole)
    assert [labels for _, labels in resumed] == [labels for _, labels in undisturbed]


def test_finished_pictures_are_not_touched(tmp_path: Path) -> None:
    jobs = plan(tmp_path, 0, {'train': 2}, SIZE)
    list(write(jobs, processes=1))
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob('*.png')}
    list(write(plan(tmp_path, 0, {'train': 3}, SIZE), processes=1))
    after = {file: file.stat().st_mtime_ns for file in tmp_path.rglob('*.png')}
    assert len(after) == 3 and before.items() <= after.items()


def test_another_seed_needs_another_folder(tmp_path: Path) -> None:
    plan(tmp_path, 0, {'train': 1}, SIZE)
    with pytest.raises(UserError, match='take another folder'):
        plan(tmp_path, 1, {'train': 1}, SIZE)
    with pytest.raises(UserError, match='take another folder'):
        plan(tmp_path, 0, {'train': 1}, (512, 256))


def test_fewer_pictures_than_there_are_need_another_folder(tmp_path: Path) -> None:
    list(write(plan(tmp_path, 0, {'train': 3, 'val': 1}, SIZE), processes=1))
    for counts, said in (
        ({'train': 2, 'val': 1}, 'train holds 1 pictures more than the 2 wished for'),
        ({'train': 3, 'val': 0}, 'val holds 1 pictures more than the 0'),
    ):
        with pytest.raises(UserError, match=said):
            plan(tmp_path, 0, counts, SIZE)
    # A drive beside them, longer later, and never shorter.
    alone = {'train': 0, 'val': 0}
    list(write(plan(tmp_path, 0, alone, SIZE, sequences=1, frames=2), processes=1))
    assert plan(tmp_path, 0, {'train': 4, 'val': 1}, SIZE)
    assert plan(tmp_path, 0, alone, SIZE, sequences=1, frames=3)
    with pytest.raises(UserError, match='leftImg8bit_sequence.val holds 1 pictures more'):
        plan(tmp_path, 0, alone, SIZE, sequences=1, frames=1)


def test_a_sequence_has_labels_on_every_frame(tmp_path: Path) -> None:
    list(write(plan(tmp_path, 0, {}, SIZE, sequences=1, frames=3, fps=5), processes=1))
    pictures = sorted((tmp_path / 'leftImg8bit_sequence' / 'val').glob('*/*_leftImg8bit.png'))
    labels = sorted((tmp_path / 'gtFine_sequence' / 'val').glob('*/*_polygons.json'))
    assert [p.name.rsplit('_', 1)[0] for p in pictures] == [
        p.name.rsplit('_', 2)[0] for p in labels
    ]
    assert [p.stem.split('_')[2] for p in pictures] == ['000000', '000001', '000002']
    assert json.loads((tmp_path / 'scenes.json').read_text())['fps'] == 5


def test_the_verb_reports_counts_and_speed(tmp_path: Path) -> None:
    report = tmp_path / 'report.json'
    arguments = ['--out', str(tmp_path / 'out'), '--train', '2', '--val', '1', '--size', '256x128']
    done = CliRunner().invoke(command, [*arguments, '--processes', '1', '--json', str(report)])
    assert done.exit_code == 0, done.output
    content = json.loads(report.read_text())
    assert content['pictures'] == {'train': 2, 'val': 1}
    assert content['pictures_per_second'] > 0
    assert '3 pictures' in done.output and 'per second' in done.output
    assert (tmp_path / 'out' / 'scenes.png').is_file()


@pytest.mark.parametrize('size', ['256', '256x', 'x', '10x10', '99999x64'])
def test_a_bad_size_is_refused(tmp_path: Path, size: str) -> None:
    done = CliRunner().invoke(command, ['--out', str(tmp_path), '--size', size])
    assert done.exit_code == 2
    assert size in done.output
