# SPDX-License-Identifier: Apache-2.0
"""The scripts behind the tables of docs/quantization.md: their sums, and the verbs they run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from artifacts import CLASS_NAMES, HEIGHT, STRIDES, WIDTH, write_tiny_artifact
from onnx import TensorProto, helper
from processes import run_python
from tiny_segmenter import write_tiny_segmenter

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model

SCRIPTS = Path(__file__).resolve().parents[2] / 'scripts'


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_multiplications_are_those_of_the_convolutions():
    value = helper.make_tensor_value_info
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, np.zeros(shape).ravel())
        for name, shape in (('a', (8, 4, 3, 3)), ('b', (8, 1, 5, 5)))
    ]
    graph = helper.make_graph(
        [
            helper.make_node('Conv', ['x', 'a'], ['y'], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node('Conv', ['y', 'b'], ['z'], group=8),
        ],
        'g',
        [value('x', TensorProto.FLOAT, [1, 4, 16, 12])],
        [value('z', TensorProto.FLOAT, None)],
        constants,
    )
    opset = helper.make_opsetid('', 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    expected = 8 * (8 * 6) * 4 * 9 + 8 * (4 * 2) * 25
    assert load('int8_floor').multiplications(model) == expected


def test_errors_count_only_where_there_is_an_object():
    module = load('int8_nearness')
    expected = np.zeros((4, 7), np.float32)
    expected[:, 4] = -20
    with pytest.raises(UserError, match='sees nothing in these pictures'):
        module.errors(expected, expected)
    expected[1, 4:6] = 20  # a score of 1
    got = expected.copy()
    got[0] += 5
    assert module.errors(got, expected) == (0, 0)
    got[1, 2], got[1, 5] = 0.4, 0  # a score of 0.5
    assert module.errors(got, expected) == pytest.approx((0.5, 0.2))


def test_coefficients_of_masks_are_no_classes(tmp_path):
    module = load('int8_nearness')
    artifact = open_model(write_tiny_segmenter(tmp_path / 'a'))
    (file,) = artifact.manifest.files
    path = artifact.model_path(file)
    pictures = [np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)]
    cells = module.cells('onnxruntime', path, file, pictures, artifact)
    assert cells.shape == (3 * sum(HEIGHT * WIDTH // s**2 for s in STRIDES), 5 + len(CLASS_NAMES))


def test_heads_without_objectness(tmp_path):
    folder = write_tiny_artifact(tmp_path / 'a')
    manifest = folder / 'artifact.yaml'
    content = yaml.safe_load(manifest.read_text())
    content['head'] = {'layout': 'anchor_free', 'strides': list(STRIDES)}
    content['files'][0]['decode_inside'] = True
    manifest.write_text(yaml.safe_dump(content))
    words = ('--calibration', 'x', '--pictures', 'x')
    done = run_python(str(SCRIPTS / 'int8_nearness.py'), str(folder), *words)
    assert done.returncode == 1 and done.stderr.count('\n') == 1, done.stderr
    assert 'in heads of layout anchor_grid, not anchor_free' in done.stderr


def test_no_artifact():
    for name, more in (('int8_floor', []), ('int8_nearness', ['--calibration', 'x'])):
        pictures = ['--pictures', 'x'] if more else []
        done = run_python(str(SCRIPTS / f'{name}.py'), 'nothing-there', *more, *pictures)
        assert done.returncode == 1 and done.stderr.startswith('Error: nothing-there')


def test_the_tables_are_made_by_verbs(tmp_path, monkeypatch):
    module = load('int8_tables')
    ran: list[list[str]] = []

    def kd_yolo(*arguments: str) -> None:
        ran.append([*arguments])
        if arguments[0] != 'report':
            out = Path(arguments[arguments.index('--out') + 1])
            out.mkdir(parents=True)
            (out / 'artifact.yaml').touch()

    monkeypatch.setattr(module, 'kd_yolo', kd_yolo)
    monkeypatch.setattr(module, 'find_spec', lambda name: name)
    out = tmp_path / 'out'
    sets = ('--calibration', 'c', '--select', 's=m.yaml', 't', '--data', 'd')

    def run(*arguments: str, sets: tuple[str, ...] = sets) -> list[str]:
        ran.clear()
        monkeypatch.setattr(sys, 'argv', ['int8_tables.py', *arguments, *sets, '--out', str(out)])
        module.main()
        return [words[0] for words in ran]

    assert run('methods', 'n.pt') == ['import', 'quantize', 'quantize', 'report']
    default, aware, report = ran[1:]
    assert default[default.index('--method') + 1] == 'default' and 'tflite' in default
    assert aware[aware.index('--method') + 1] == 'accuracy-aware' and 'tflite' not in aware
    assert [default[i + 1] for i, word in enumerate(default) if word == '--select'] == [
        *('s=m.yaml', 't'),
    ]
    assert report[1:3] == [str(out / 'n-640-default'), str(out / 'n-640-accuracy-aware')]
    excluded = [report[i + 1] for i, word in enumerate(report) if word == '--exclude']
    assert excluded == ['c', 's', 't'], 'the report leaves out what served otherwise'
    assert run('methods', 'n.pt') == ['report'], 'finished artifacts are not made again'
    assert run('dynamic', 'n.pt') == ['quantize', 'import', 'quantize', 'report']
    assert not [words for words in ran if 'dynamic' in words and '--calibration' in words]

    # What is there was made of other pictures, or of another file of the same name.
    assert run('methods', 'n.pt', sets=(*sets[:-1], 'e')) == ['report']
    for other in (('n.pt', '--calibration', 'c', 'more'), ('n.pt', '--names', 'n'), ('a/n.pt',)):
        with pytest.raises(SystemExit, match=r'Error: .*n-640.* was made with other options'):
            run('methods', other[0], sets=(*sets, *other[1:]))
        assert not ran
    with pytest.raises(SystemExit, match='Error: 2 checkpoints are called best'):
        run('methods', 'a/best.pt', 'b/best.pt')
    assert not ran
