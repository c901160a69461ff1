# SPDX-License-Identifier: Apache-2.0
"""`scripts/bundle_model.py` takes INT8 files of measured accuracy, and says what is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest
from artifacts import tiny_manifest, tiny_model
from processes import run_python

from kd_yolo_ros.artifact import load_artifact, sha256_of, write_artifact

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts' / 'bundle_model.py'
RUNTIMES = ('onnxruntime', 'openvino')


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """An artifact with an FP32 file and, by its manifest, an INT8 file of each runtime."""
    onnx.save(tiny_model(), tmp_path / 'tiny.onnx')
    (tmp_path / 'recipe.yaml').write_text('name: small\n')
    (tmp_path / 'report.md').write_text(
        '# Small\n\nA table.\n\n![Points (a)](differences.png)\n\n![Runs](runs.png)\n\nThe end.\n'
    )
    (fp32,) = tiny_manifest().files
    int8 = [
        dataclasses.replace(
            fp32,
            path=f'{runtime}.onnx',
            runtimes=(runtime,),
            precision='int8',
            accuracy=({'runtime': runtime, 'map50_95': 0.5},),
        )
        for runtime in RUNTIMES
    ]
    manifest = tiny_manifest(files=(fp32, *int8), provenance={'training': {'epochs': 1}})
    sources = {file.path: tmp_path / 'tiny.onnx' for file in manifest.files}
    return write_artifact(tmp_path / 'artifact', manifest, sources).folder


def bundle(artifact: Path, *more: str) -> tuple[int, str]:
    done = run_python(
        *(SCRIPT, artifact, '--recipe', 'recipe.yaml', '--report', 'report.md'),
        *('--out', 'models/small', *more),
        cwd=artifact.parent,
    )
    return done.returncode, done.stderr


def test_a_bundled_model_is_an_artifact_with_its_recipe_and_report(given: Path) -> None:
    assert bundle(given) == (0, '')
    folder = given.parent / 'models' / 'small'
    names = {'artifact.yaml', 'onnxruntime.onnx', 'openvino.onnx', 'recipe.yaml', 'report.md'}
    assert {path.name for path in folder.iterdir()} == names
    made = load_artifact(folder)
    assert made.manifest.name == 'small'
    assert [file.precision for file in made.manifest.files] == ['int8', 'int8']
    assert made.manifest.provenance == {
        'training': {'epochs': 1},
        'recipe': {'file': 'recipe.yaml', 'sha256': sha256_of(given.parent / 'recipe.yaml')},
    }
    assert (folder / 'report.md').read_text() == '# Small\n\nA table.\n\nThe end.\n'
    assert bundle(given) == (0, ''), 'one that is there is replaced'


def test_what_is_missing_is_named(given: Path) -> None:
    artifact = load_artifact(given)
    files = [
        dataclasses.replace(file, accuracy=()) if 'openvino' in file.path else file
        for file in artifact.manifest.files
    ]
    sources = {file.path: given / file.path for file in files}
    manifest = dataclasses.replace(artifact.manifest, files=tuple(files))
    unmeasured = write_artifact(given.with_name('unmeasured'), manifest, sources).folder
    status, said = bundle(unmeasured)
    assert status == 1 and 'no INT8 file of measured accuracy for openvino;' in said
    assert 'lost.md does not exist' in bundle(given, '--report', 'lost.md')[1]
    assert not (given.parent / 'models').exists()


def test_a_model_without_licence_is_refused(given: Path) -> None:
    artifact = load_artifact(given)
    manifest = dataclasses.replace(artifact.manifest, licence='unknown')
    sources = {file.path: given / file.path for file in manifest.files}
    folder = write_artifact(given.with_name('nobodys'), manifest, sources).folder
    status, said = bundle(folder)
    assert status == 1 and 'nobodys has no licence; export its checkpoint with --licence.' in said


def test_a_large_model_is_refused(given: Path) -> None:
    with open(given.parent / 'report.md', 'wb') as report:
        report.truncate(6_000_000)
    status, said = bundle(given)
    assert status == 1 and 'MB of at most 5.0' in said
