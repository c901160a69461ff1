# SPDX-License-Identifier: Apache-2.0
"""Artifacts are written whole, read back as they were, and refused when anything is off."""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat

import pytest
import yaml
from artifacts import tiny_manifest

from kd_yolo_ros.artifact import load_artifact, sha256_of, write_artifact
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import MANIFEST
from kd_yolo_ros.predictor import Predictor


@pytest.fixture
def artifact(tiny_artifact, tmp_path):
    """A copy of the tiny artifact that a test may spoil."""
    return shutil.copytree(tiny_artifact, tmp_path / 'artifact')


def edit(folder, change):
    """Change the manifest's plain data with a function."""
    path = folder / MANIFEST
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data))


def refusal(folder):
    """The one sentence with which a predictor refuses an artifact."""
    with pytest.raises(UserError) as raised:
        Predictor(folder)
    sentence = str(raised.value)
    assert '\n' not in sentence and str(folder) in sentence
    return sentence


def test_what_was_written_is_loaded(artifact):
    loaded = load_artifact(artifact)
    assert loaded.folder == artifact
    assert loaded.manifest.name == 'tiny' and loaded.manifest.class_names[2] == 'blue'
    (file,) = loaded.manifest.files
    assert file.sha256 == {'model.onnx': sha256_of(artifact / 'model.onnx')}
    assert loaded.model_path(file) == artifact / 'model.onnx'
    assert load_artifact(str(artifact)) == loaded


def test_home_is_found(artifact, monkeypatch):
    monkeypatch.setenv('HOME', str(artifact.parent))
    assert load_artifact('~/artifact').folder == artifact


def test_changed_file(artifact):
    with open(artifact / 'model.onnx', 'ab') as file:
        file.write(b'\0')
    sentence = refusal(artifact)
    assert 'model.onnx is not the file that' in sentence and 'sha256' in sentence


def test_missing_file(artifact):
    (artifact / 'model.onnx').unlink()
    assert 'model.onnx is missing' in refusal(artifact)


def test_missing_part(artifact):
    edit(artifact, lambda data: data['files'][0]['sha256'].update({'weights.bin': 'ab'}))
    assert 'weights.bin is missing' in refusal(artifact)


def test_a_folder_is_no_part(artifact):
    (artifact / 'model.onnx').unlink()
    (artifact / 'model.onnx').mkdir()
    assert 'model.onnx is missing' in refusal(artifact)


def test_no_hash(artifact):
    edit(artifact, lambda data: data['files'][0].update(sha256={}))
    assert "'model.onnx' has no sha256" in refusal(artifact)


def test_unknown_schema(artifact):
    edit(artifact, lambda data: data.update(schema=99))
    sentence = refusal(artifact)
    assert 'schema 99' in sentence and 'update kd_yolo_ros' in sentence


def test_unknown_field(artifact):
    edit(artifact, lambda data: data.update(speed='fast'))
    assert "'speed' is not a known field" in refusal(artifact)


def test_wrong_class_count(artifact):
    edit(artifact, lambda data: data['class_names'].append('yellow'))
    sentence = refusal(artifact)
    assert '4 classes' in sentence and '(1, 24, 8, 12)' in sentence


@pytest.mark.parametrize('path', ['../other/model.onnx', '{outside}', 'sub/model.onnx'])
def test_path_outside_the_folder(artifact, path):
    outside = artifact.parent / 'other' / 'model.onnx'
    outside.parent.mkdir()
    shutil.move(artifact / 'model.onnx', outside)
    path = path.format(outside=outside)

    def move(data):
        file = data['files'][0]
        file['path'], file['sha256'] = path, {path: file['sha256']['model.onnx']}

    edit(artifact, move)
    assert f"'{path}' is not a file name inside the artifact's folder" in refusal(artifact)


def test_a_link_counts_as_what_it_leads_to(artifact):
    """Caches and `colcon build --symlink-install` link files; the hash says what they must be."""
    outside = artifact.parent / 'elsewhere.onnx'
    shutil.move(artifact / 'model.onnx', outside)
    (artifact / 'model.onnx').symlink_to(outside)
    assert Predictor(artifact, 'onnxruntime').manifest.name == 'tiny'
    outside.write_bytes(b'something else')
    assert 'model.onnx is not the file that' in refusal(artifact)


@pytest.mark.parametrize(
    'text',
    [
        *(b'a: [1', b'\xff\xfe\xfa', b'- !!python/object/apply:os.system [false]'),
        *(b'a: 2024-99-99', b'[' * 5000, b'{[]: 1}', b'a: \0'),
    ],
    ids=['cut off', 'no text', 'a call', 'no date', 'deeply nested', 'odd key', 'a nought'],
)
def test_unreadable_manifest(artifact, text):
    (artifact / MANIFEST).write_bytes(text)
    assert 'not readable YAML' in refusal(artifact)


@pytest.mark.parametrize('text', ['', '[]', 'tiny', 'null'])
def test_no_manifest(artifact, text):
    (artifact / MANIFEST).write_text(text)
    assert 'not an artifact manifest' in refusal(artifact)


def test_nothing_there(tmp_path):
    assert 'does not exist' in refusal(tmp_path / 'none')


def test_a_folder_without_a_model(tmp_path):
    assert 'holds 0 model files' in refusal(tmp_path)


def test_the_manifest_itself_is_no_model(artifact):
    assert 'neither an artifact folder nor' in refusal(artifact / MANIFEST)


def written(folder):
    """The names below a folder, hidden ones included."""
    return sorted(path.name for path in folder.rglob('*'))


def test_writing_replaces_an_artifact(artifact, tiny_artifact, tmp_path):
    (artifact / 'of_the_old_one.bin').write_bytes(b'')
    source = tiny_artifact / 'model.onnx'
    write_artifact(artifact, tiny_manifest(name='newer'), {'model.onnx': source})
    assert load_artifact(artifact).manifest.name == 'newer'
    assert written(tmp_path) == ['artifact', MANIFEST, 'model.onnx']
    assert stat.S_IMODE(artifact.stat().st_mode) == 0o755, 'readable for the user of the node'


def test_writing_into_an_empty_folder_and_a_new_one(tiny_artifact, tmp_path):
    source = tiny_artifact / 'model.onnx'
    (tmp_path / 'empty').mkdir()
    for name in ('empty', 'new/deeper'):
        folder = write_artifact(tmp_path / name, tiny_manifest(), {'model.onnx': source}).folder
        assert load_artifact(folder).manifest == load_artifact(tiny_artifact).manifest


def test_writing_through_a_link(artifact, tiny_artifact, tmp_path):
    (tmp_path / 'link').symlink_to(artifact)
    source = tiny_artifact / 'model.onnx'
    write_artifact(tmp_path / 'link', tiny_manifest(name='newer'), {'model.onnx': source})
    assert (tmp_path / 'link').is_symlink()
    assert load_artifact(artifact).manifest.name == 'newer'


def test_several_files_and_parts(tiny_artifact, tmp_path):
    (file,) = tiny_manifest().files
    sources = {}
    for name in ('model.onnx', 'openvino.xml', 'openvino.bin'):
        sources[name] = tmp_path / f'source {name}'
        sources[name].write_text(name)
    ir = dataclasses.replace(
        file, path='openvino.xml', sha256={'openvino.xml': '', 'openvino.bin': ''}
    )
    manifest = tiny_manifest(files=(file, ir))
    artifact = write_artifact(tmp_path / 'out', manifest, sources)
    assert artifact == load_artifact(tmp_path / 'out')
    assert list(artifact.manifest.files[1].sha256) == ['openvino.xml', 'openvino.bin']
    assert artifact.model_path(artifact.manifest.files[1]).read_text() == 'openvino.xml'
    (tmp_path / 'out' / 'openvino.bin').write_text('other weights')
    with pytest.raises(UserError, match=r'openvino\.bin is not the file'):
        artifact.model_path(artifact.manifest.files[1])


def test_nothing_else_is_overwritten(tiny_artifact, tmp_path):
    folder = tmp_path / 'precious'
    folder.mkdir()
    (folder / 'thesis.tex').write_text('years of work')
    with pytest.raises(UserError, match='precious is there and is no artifact'):
        write_artifact(folder, tiny_manifest(), {'model.onnx': tiny_artifact / 'model.onnx'})
    with pytest.raises(UserError, match='thesis.tex is there and is no artifact'):
        write_artifact(
            folder / 'thesis.tex', tiny_manifest(), {'model.onnx': tiny_artifact / 'model.onnx'}
        )
    assert written(tmp_path) == ['precious', 'thesis.tex']


def test_an_absurd_manifest_is_not_written(artifact, tiny_artifact, tmp_path):
    before = (artifact / MANIFEST).read_text()
    with pytest.raises(UserError, match='classify'):
        write_artifact(
            artifact, tiny_manifest(task='classify'), {'model.onnx': tiny_artifact / 'model.onnx'}
        )
    assert (artifact / MANIFEST).read_text() == before
    assert written(tmp_path) == ['artifact', MANIFEST, 'model.onnx']


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_that_cannot_be_written(tiny_artifact, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match='cannot be written'):
        write_artifact(
            tmp_path / 'out', tiny_manifest(), {'model.onnx': tiny_artifact / 'model.onnx'}
        )


def test_a_folder_below_a_file(tiny_artifact, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file/out cannot be written: '):
        write_artifact(
            tmp_path / 'file' / 'out',
            tiny_manifest(),
            {'model.onnx': tiny_artifact / 'model.onnx'},
        )
