# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo select` and `compare` on arms of which it is known how good they are."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import pytest
from artifacts import tiny_manifest, write_dataset
from click.testing import CliRunner
from processes import kd_yolo
from reports import read_report
from shapes import write_shapes
from synthetic_runs import synthetic_found, write_run
from tiny_segmenter import write_squares_with_outlines, write_tiny_segmenter

from kd_yolo_ros.artifact import write_artifact
from kd_yolo_ros.errors import UserError
from kd_yolo_training.cli.compare import compare
from kd_yolo_training.cli.filter_result import named_paths
from kd_yolo_training.cli.select import select
from kd_yolo_training.data.read import read_dataset
from kd_yolo_training.filter.found import found_file, pictures_hash, write_found
from kd_yolo_training.filter.models import describe_model
from kd_yolo_training.models.open import open_checkpoint

TAUGHT = {'teachers': ['a hash'], 'distil_cwd': 1.0}
BLURS = {'plain-0': 3, 'plain-1': 3.1, 'good-0': 0.6, 'good-1': 0.5, 'bad-0': 5, 'bad-1': 5}


@pytest.fixture(scope='module')
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, runs by the names above, and in out/ what they would have found."""
    folder = tmp_path_factory.mktemp('filter')
    write_shapes(folder / 'shapes', 1, 30)
    data = read_dataset(folder / 'shapes', 'select')
    for number, (name, blur) in enumerate(BLURS.items()):
        recorded = {} if name.startswith('plain') else TAUGHT
        model = describe_model(write_run(folder / name, number, recorded=recorded))
        for out in ('out', 'compared'):
            file = found_file(folder / out, model, pictures_hash(data))
            write_found(file, synthetic_found(data, blur, number))
    write_run(folder / 'small', 50, imgsz=[32, 32])
    return folder


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a verb of this process in the place; return what it prints."""
    monkeypatch.chdir(place)

    def invoke(verb: click.Command, *words: object) -> str:
        words = ('--data', 'shapes', '--threads', 1, *words)
        return CliRunner().invoke(verb, [str(w) for w in words], catch_exceptions=False).output

    return invoke


PLAIN = ('--plain', 'plain-0', '--plain', 'plain-1')
GOOD = ('--distilled', 'good=good-0', '--distilled', 'good=good-1')
BAD = ('--distilled', 'bad=bad-0', '--distilled', 'bad=bad-1')


def check_pictures(folder: Path, *names: str) -> None:
    for name in names:
        assert cv2.imread(str(folder / name)).shape[1] > 800


def test_the_better_one_is_taken(place: Path) -> None:
    words = ('--data', 'shapes', '--resamples', 200, '--threads', 1, '--out', 'out')
    printed = kd_yolo('select', *words, *PLAIN, *BAD, *GOOD, cwd=place).succeeded()
    report = read_report(place / 'out' / 'select.json', 'select')
    sentence = report['decision']['sentence']
    assert sentence.startswith('distilled (good) is taken: +') and sentence in printed
    assert '97.5 % interval, corrected for 2 tried,' in sentence and '2 seeds each' in sentence
    assert report['resamples'] == 2000 and '97.5 % intervals of 2000 resamples' in printed
    assert report['level'] == 0.95 and report['differences']['good']['level'] == 0.975
    good, bad = (report['differences'][name]['map50_95'] for name in ('good', 'bad'))
    assert good['low'] > 0 > bad['high']
    assert [arm['name'] for arm in report['arms']] == ['plain', 'bad', 'good']
    assert all(arm['train_minutes'] == 3 and arm['gflops'] > 0 for arm in report['arms'])

    # The better of its runs, with the reason; no path of this machine anywhere.
    best = max(report['results'], key=lambda row: row['map50_95'])
    assert best['arm'] == 'good' and report['decision']['run']['sha256'] == best['sha256']
    chosen = open_checkpoint(place / 'out' / 'chosen.safetensors')
    selection = chosen.training['provenance']['selection']
    assert selection['sentence'] == sentence and selection['data_hash'] == report['data_hash']
    assert selection['differences'] == report['differences']
    assert [arm['seeds'] for arm in selection['arms']] == [[0, 1], [4, 5], [2, 3]]
    assert chosen.training['run']['seed'] == best['seed']
    for name in ('select.json', 'select.md', 'chosen.json'):
        assert str(place) not in (place / 'out' / name).read_text()
    page = (place / 'out' / 'select.md').read_text()
    assert sentence in page and 'select-runs.png' in page and 'AP50-95 by class' in printed
    check_pictures(place / 'out', 'select-differences.png', 'select-runs.png')
    with open(place / 'runs' / 'runs.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert {row['artifact'] for row in rows if row['kind'] == 'select'} == set(BLURS)


def test_plain_is_taken_where_nothing_is_surely_better(place: Path, run: Callable) -> None:
    one = ('--plain', 'plain-0', '--distilled', 'bad-0', '--out', 'out', '--json', 'd.json')
    printed = run(select, *one)
    report = read_report(place / 'd.json', 'select')
    assert report['decision']['arm'] == 'plain'
    assert 'plain is taken: distilled has ' in printed and 'One run says nothing' in printed
    chosen = open_checkpoint(place / 'out' / 'chosen.safetensors')
    assert chosen.training['run']['seed'] == 0


def test_compare(place: Path, run: Callable) -> None:
    """One arm is a real network that is run, on pictures of another size."""
    arms = [f'--arm={name}={name}-{seed}' for name in ('good', 'plain') for seed in (0, 1)]
    more = ('--baseline', 'plain', '--out', 'compared', '--resamples', 100)
    printed = run(compare, '--split', 'select', *arms, '--arm', 'small=small', *more)
    report = read_report(place / 'compared' / 'compare.json', 'compare')
    assert [arm['name'] for arm in report['arms']] == ['plain', 'good', 'small']
    assert report['differences']['good']['map50_95']['low'] > 0 and 'decision' not in report
    plain, _, small = report['arms']
    assert plain['map50_95_sd'] > 0 and small['map50_95_sd'] is None
    assert small['gflops'] == pytest.approx(plain['gflops'] / 4)
    page = (place / 'compared' / 'compare.md').read_text()
    assert ' ± ' in printed and 'M parameters' in page
    assert '| good | distil-cwd 1.0 instead of none, a teacher |' in page
    assert '| small | nothing |' in page  # its input's size is told elsewhere
    assert 'Arms have different numbers of runs' in page
    names = ('differences', 'runs', 'gflops')
    check_pictures(place / 'compared', *(f'compare-{name}.png' for name in names))


def test_what_was_not_judged_or_recorded_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_shapes(tmp_path / 'shapes', 1, 6) / 'select.json'
    labels = json.loads(file.read_text())
    (square,) = (one['id'] for one in labels['categories'] if one['name'] == 'square')
    labels['annotations'] = [a for a in labels['annotations'] if a['category_id'] != square]
    file.write_text(json.dumps(labels))
    data = read_dataset(tmp_path / 'shapes', 'select')
    for number, run in enumerate((None, {'seed': 1, 'epochs': 3, **TAUGHT})):
        model = describe_model(write_run(tmp_path / str(number), number, run=run))
        found = found_file(tmp_path / 'out', model, pictures_hash(data))
        write_found(found, synthetic_found(data, 2, number))
    words = ['--data', 'shapes', '--plain', '0', '--distilled', '1', '--threads', '1']
    CliRunner().invoke(select, [*words, '--out', 'out'], catch_exceptions=False)
    report = read_report(tmp_path / 'out' / 'select.json', 'select')
    assert report['unjudged_classes'] == ['square']
    page = (tmp_path / 'out' / 'select.md').read_text()
    assert 'Not judged, without a labelled object in these pictures: square.' in page
    assert 'different numbers of runs' not in page
    chosen = open_checkpoint(tmp_path / 'out' / 'chosen.safetensors')
    selection = chosen.training['provenance']['selection']
    assert selection['unjudged_classes'] == ['square']
    remark = 'Not recorded is how these were trained: plain 0.'
    assert selection['sentence'].endswith(remark) and remark in page


def test_of_many_arms_the_page_alone_has_the_classes(place: Path, run: Callable) -> None:
    arms = [f'--arm={name}={name}' for name in BLURS]
    words = (*arms, '--baseline=plain-0', '--split=select', '--out=compared', '--resamples=100')
    printed = run(compare, *words)
    page = (place / 'compared' / 'compare.md').read_text()
    assert 'AP50-95 by class' in page and 'AP50-95 by class' not in printed
    assert 'bad-1' in printed


def test_artifacts_run_in_the_precision_that_is_wished(
    tmp_path: Path, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fp32,) = tiny_manifest().files
    int8 = dataclasses.replace(fp32, path='int8.onnx', precision='int8')
    manifest = tiny_manifest(files=(fp32, int8))
    sources = dict.fromkeys(('model.onnx', 'int8.onnx'), tiny_artifact / 'model.onnx')
    write_artifact(tmp_path / 'both', manifest, sources)
    write_dataset(tmp_path / 'scenes')
    monkeypatch.chdir(tmp_path)
    words = ['--data', 'scenes', '--arm=a=both', '--arm=b=both', '--baseline=a', '--threads=1']
    for precision in ('fp32', 'int8'):
        out = ['--precision', precision, '--out', precision]
        done = CliRunner().invoke(compare, [*words, *out], catch_exceptions=False)
        report = read_report(tmp_path / precision / 'compare.json', 'compare')
        assert [row['precision'] for row in report['results']] == [precision] * 2
        assert done.output.count(f' {precision} ') == 2  # a row of the table for each arm
    with pytest.raises(UserError, match='nothing for .* precision fp16'):
        CliRunner().invoke(
            compare, [*words, '--precision=fp16', '--out=o'], catch_exceptions=False
        )


TWO = ('--arm=a=good-0', '--arm=b=bad-0')


@pytest.mark.parametrize(
    ('verb', 'words', 'sentence'),
    [
        (select, ('--plain', 'plain-0', '--distilled', 'small'), 'has to be of one size'),
        (select, ('--plain', 'shapes', '--distilled', 'good-0'), 'neither a training run nor'),
        (select, ('--plain', 'plain-0', '--distilled', 'gone'), 'gone does not exist'),
        (
            select,
            ('--plain', 'good-0', '--distilled', 'bad-0'),
            'good-0 was trained with a teacher',
        ),
        (select, ('--plain', 'plain-0', '--distilled', 'plain=bad-0'), 'with another NAME'),
        (compare, (*TWO, '--baseline=a'), "no split 'val'"),
        (compare, (*TWO, '--baseline=c'), 'no --arm is named c'),
        (compare, (*TWO[:1], '--baseline=a'), 'nothing to be compared with'),
    ],
)
def test_bad_input_is_one_sentence(
    place: Path, run: Callable, verb: click.Command, words: tuple, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        run(verb, *words, '--out', 'refused')
    assert not (place / 'refused').exists()


def test_names_of_arms(tmp_path: Path) -> None:
    odd = tmp_path / 'a=b'
    odd.mkdir()
    assert named_paths(['x=r1', 'r2', 'x=r3', str(odd)], 'distilled') == {
        'x': [Path('r1'), Path('r3')],
        'distilled': [Path('r2'), odd],
    }
    for values, default, taken in (
        (['r1'], None, []),
        (['=r1'], 'd', []),
        (['x='], 'd', []),
        (['plain=r'], 'd', ['plain']),
    ):
        with pytest.raises(UserError, match='give NAME=PATH'):
            named_paths(values, default, taken)


def test_networks_that_segment_are_compared_by_masks(
    tmp_path: Path, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_squares_with_outlines(tmp_path / 'outlined')
    write_dataset(tmp_path / 'boxes')
    write_tiny_segmenter(tmp_path / 'seg')
    words = ['--arm=a=seg', '--arm=b=seg', '--baseline=a', '--threads=1', '--out', 'out']

    def invoke(*more: str) -> str:
        return CliRunner().invoke(compare, [*words, *more], catch_exceptions=False).output

    for _ in range(2):  # the second time from what was found
        printed = invoke('--data', 'outlined')
        report = read_report(tmp_path / 'out' / 'compare.json', 'compare')
        assert report['differences']['b']['mask_map50_95'] == dict.fromkeys(
            ('difference', 'low', 'high'), 0
        )
        assert all(arm['mask_map50_95'] > 0.9 and arm['miou'] > 0.9 for arm in report['arms'])
        assert report['arms'][0]['mask_map50_95_sd'] is None
        assert 'mask AP50-95 by class' in printed
    page = (tmp_path / 'out' / 'compare.md').read_text()
    assert 'mask AP50-95 over a, points' in page and 'mIoU' in page
    assert 'Difference of mask AP50-95 to a' in page
    check_pictures(tmp_path / 'out', 'compare-differences.png', 'compare-runs.png')
    with pytest.raises(UserError, match='boxes has no outlines, by which networks that segment'):
        invoke('--data', 'boxes')
    with pytest.raises(UserError, match='c tiny is a detect network, but a tiny-seg is a segment'):
        invoke('--data', 'outlined', f'--arm=c={tiny_artifact}')


def test_of_networks_that_segment_the_better_masks_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boxes say the opposite."""
    monkeypatch.chdir(tmp_path)
    data = read_dataset(write_shapes(tmp_path / 'shapes', 1, 30), 'select')
    for number, (name, blur, mask_blur) in enumerate((('plain', 0.5, 4), ('other', 4, 0.5))):
        taught = TAUGHT if name == 'other' else {}
        model = describe_model(write_run(tmp_path / name, number, masks=32, recorded=taught))
        file = found_file(tmp_path / 'out', model, pictures_hash(data))
        write_found(file, synthetic_found(data, blur, number, mask_blur=mask_blur))
    words = ['--data', 'shapes', '--threads', '1', '--out', 'out']
    words += ['--plain', 'plain', '--distilled', 'other']
    printed = CliRunner().invoke(select, words, catch_exceptions=False).output
    report = read_report(tmp_path / 'out' / 'select.json', 'select')
    assert ' mask AP50-95 (95 % interval +' in report['decision']['sentence']
    assert report['decision']['sentence'].startswith('distilled is taken: +')
    assert report['differences']['distilled']['map50_95']['high'] < 0
    assert report['decision']['run']['mask_map50_95'] > 0.5
    assert 'mask AP50-95' in printed
    chosen = open_checkpoint(tmp_path / 'out' / 'chosen.safetensors')
    assert chosen.task == 'segment'
    arms = chosen.training['provenance']['selection']['arms']
    assert [arm['mask_map50_95'] for arm in arms] == [
        arm['mask_map50_95'] for arm in report['arms']
    ]
