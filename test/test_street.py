# SPDX-License-Identifier: Apache-2.0
"""The model that comes along: small, whole, documented, and as good as its manifest says."""

from __future__ import annotations

import importlib.util

import cv2
import numpy as np
import pytest
import yaml
from processes import kd_yolo
from reports import read_report

from kd_yolo_ros.artifact import sha256_of
from kd_yolo_ros.bundled import DEFAULT, MODELS, NOTE
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model
from kd_yolo_ros.frames import Frame
from kd_yolo_ros.frames.frame import keep
from kd_yolo_ros.manifest import AP_THRESHOLDS
from kd_yolo_ros.metrics.evaluation import evaluate
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth
from kd_yolo_ros.predictor import Predictor
from kd_yolo_training.data.cityscapes import NAMES
from kd_yolo_training.data.scenes import render
from kd_yolo_training.recipes.recipe import open_recipe

LIMIT_BYTES = 5_000_000
RUNTIMES = ('onnxruntime', 'openvino')
SEED, PICTURES = 4711, 24


@pytest.fixture(scope='module')
def street():
    return open_model('street')


def test_the_bundled_models_are_small():
    files = [file for file in MODELS.rglob('*') if file.is_file()]
    assert files and sum(file.stat().st_size for file in files) <= LIMIT_BYTES


def test_the_folder_is_whole_and_holds_nothing_else(street):
    parts = {name for file in street.manifest.files for name in file.sha256}
    described = {'artifact.yaml', 'recipe.yaml', 'report.md'}
    assert {path.name for path in DEFAULT.iterdir()} == parts | described
    for file in street.manifest.files:
        street.model_path(file)  # compares the hashes
    assert {file.precision for file in street.manifest.files} == {'int8'}
    assert {name for file in street.manifest.files for name in file.runtimes} == set(RUNTIMES)


def test_the_manifest_says_where_it_comes_from(street):
    manifest = street.manifest
    assert (manifest.name, manifest.licence) == ('street', 'Apache-2.0')
    assert manifest.class_names == NAMES
    recipe = manifest.provenance['recipe']
    assert recipe['sha256'] == sha256_of(DEFAULT / recipe['file'])
    training = manifest.provenance['training']
    assert isinstance(training['run']['seed'], int)
    assert training['run']['start'] in (None, *training['run']['teachers']), 'whose weights?'
    selection = training['provenance']['selection']
    assert selection['sentence'] and all(arm['seeds'] for arm in selection['arms'])
    for file in manifest.files:
        (entry,) = file.accuracy
        assert entry['runtime'] in file.runtimes
        assert 0 < entry['map50_95'] < entry['map50'] <= 1 and entry['images'] >= 100


def test_nobody_elses_weights_are_in_it(street):
    recipe = DEFAULT / street.manifest.provenance['recipe']['file']
    steps = yaml.safe_load(recipe.read_text())['steps']
    start = {s['name']: s['options'].get('weights') for s in steps if s['verb'] == 'train'}
    assert start.pop('teacher') is None
    assert set(start.values()) <= {None, '{out}/teacher'}


def test_the_demo_shows_a_drive_that_no_recipe_draws():
    path = MODELS.parents[1] / 'scripts' / 'demo.py'
    spec = importlib.util.spec_from_file_location('demo', path)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    drawn = [
        step.words for step in open_recipe(str(DEFAULT / 'recipe.yaml')).steps
        if step.verb == 'data scenes'
    ]  # fmt: skip
    assert drawn
    seeds = {int(dict(zip(w, w[1:], strict=False)).get('--seed', 0)) for w in drawn}
    assert not seeds & {demo.SEED, SEED}


@pytest.fixture(scope='module')
def scenes():
    """New pictures of the cities that no training sees, and what is in them."""
    frames, truths = [], {}
    for index in range(PICTURES):
        scene = render(SEED, 'val', index)
        labels = [one.label for one in scene.objects]
        frames.append(Frame(str(index), index, 'camera', keep(scene.picture)))
        truths[str(index)] = Truth(
            np.reshape([one.box for one in scene.objects], (-1, 4)),
            np.array([NAMES.index(one.removesuffix('group')) for one in labels], np.int64),
            np.array([one.endswith('group') for one in labels], bool),
        )
    return frames, GroundTruth(truths, dict(enumerate(NAMES)), 'scenes')


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_it_finds_what_its_manifest_says(street, scenes, runtime):
    predictor = Predictor(street, runtime, threads=1, thresholds=AP_THRESHOLDS)
    assert predictor.running.precision == 'int8'
    (claimed,) = predictor.file.accuracy
    found = evaluate(predictor, *scenes, None)
    # So few pictures spread by some points, and have hardly any of the rare classes.
    assert found['map50'] > 0.6 * claimed['map50']


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_it_has_no_float_file(precision):
    with pytest.raises(UserError) as raised:
        Predictor('street', precision=precision)
    sentence = str(raised.value)
    assert sentence.endswith('it offers onnxruntime int8, openvino int8.')


def test_verbs_run_it_where_no_model_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / 'one.png'), render(SEED, 'val', 0).picture)
    done = kd_yolo('detect', 'one.png', '--out', 'out', cwd=tmp_path)
    done.succeeded()
    assert NOTE in done.stderr
    report = read_report(tmp_path / 'out' / 'detections.json', 'detect')
    assert (report['artifact'], report['precision']) == ('street', 'int8')
    done = kd_yolo('bench', '--rounds', 1, '--json', 'bench.json', cwd=tmp_path)
    assert 'street' in done.succeeded()
    results = read_report(tmp_path / 'bench.json', 'bench')['results']
    assert {(one['artifact'], one['runtime']) for one in results} >= {
        ('street', runtime) for runtime in RUNTIMES
    }
    assert NOTE in done.stderr


def test_a_node_runs_it_where_no_model_is_named():
    from ros_peer import Peer

    from kd_yolo_ros.cli.node_process import NodeProcess

    with Peer() as peer, NodeProcess('detector_node', {}, '/') as node:
        peer.wait_active()
        answer = peer.ask(render(SEED, 'val', 0).picture)
        assert {d.results[0].hypothesis.class_id for d in answer.detections} <= set(NAMES)
        peer.wait(lambda: peer.status('inference').get('model') == 'street', 'its name')
        assert NOTE in node.output()
