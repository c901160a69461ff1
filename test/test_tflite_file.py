# SPDX-License-Identifier: Apache-2.0
"""What a .tflite file says of itself, with and without metadata in a zip at its end."""

from __future__ import annotations

import json
import zipfile

import pytest
from ai_edge_litert import schema_py_generated as schema
from tflite_model import CHANNELS, SIDE, Writer, write_convolutions, write_shift

from kd_yolo_ros.tflite_file import read_tflite

METADATA = {'names': {0: 'red', 1: 'green'}, 'imgsz': [SIDE, SIDE], 'license': 'Apache-2.0'}


@pytest.fixture
def path(tmp_path):
    return write_convolutions(tmp_path / 'model.tflite')


def append(path, **parts):
    with zipfile.ZipFile(path, 'a') as archive:
        for name, text in parts.items():
            archive.writestr(name.replace('_', '.'), text)


def test_shapes_and_types(path):
    graph = read_tflite(path)
    assert (graph.dtype, graph.input_shape) == ('float32', (1, SIDE, SIDE, 3))
    assert graph.output_shapes == [(1, SIDE // 2, SIDE // 2, CHANNELS)]
    assert list(graph.output_names) == ['output'] and list(graph.output_dtypes) == ['float32']
    assert graph.normalized_boxes and not graph.quantized and graph.metadata == {}


def test_integers_are_described_by_what_goes_in_and_comes_out(tmp_path):
    graph = read_tflite(write_shift(tmp_path / 'shift.tflite'))
    assert graph.quantized
    assert (graph.dtype, list(graph.output_dtypes)) == ('uint8', ['float32'])


@pytest.mark.parametrize(
    'part, text', [('metadata_json', json.dumps(METADATA)), ('temp_meta_txt', repr(METADATA))]
)
def test_metadata(path, part, text):
    append(path, **{part: text})
    metadata = read_tflite(path).metadata
    assert metadata['imgsz'] == [SIDE, SIDE] and metadata['license'] == 'Apache-2.0'
    assert list(metadata['names'].values()) == ['red', 'green']


@pytest.mark.parametrize(
    'text', ['', 'person\nbicycle\n', '[1, 2]', '{', '[' * 5000, "__import__('os')", '\udcff']
)
@pytest.mark.parametrize('part', ['labelmap_txt', 'labels_json', 'notes_md'])
def test_other_parts_are_no_metadata(path, part, text):
    append(path, **{part: text.encode('utf-8', 'surrogateescape')})
    assert read_tflite(path).metadata == {}


def test_metadata_beside_labels(path):
    append(path, labelmap_txt='red\ngreen\n', temp_meta_txt=repr(METADATA))
    assert read_tflite(path).metadata['license'] == 'Apache-2.0'


def test_metadata_that_is_damaged(path):
    append(path, metadata_json=json.dumps(METADATA))
    content = path.read_bytes().replace(b'Apache', b'apache', 1)  # its checksum is another
    path.write_bytes(content)
    assert read_tflite(path).metadata == {}


@pytest.mark.parametrize(('scale', 'quantized'), [(1 / 128, True), (None, False)])
def test_unsigned_integers_with_a_scale_are_quantized(tmp_path, scale, quantized):
    writer, shape, kind = Writer(), (1, SIDE, SIDE, 3), schema.TensorType.UINT8
    pixels = writer.tensor('pixels', shape, dtype=kind, scale=scale, zero=128)
    if quantized:
        output = writer.tensor('output', shape, dtype=kind, scale=1 / 64, zero=128)
        writer.operator('QUANTIZE', [pixels], output)
    else:
        output = writer.tensor('output', shape)
        writer.operator('CAST', [pixels], output, schema.CastOptionsT())
    graph = read_tflite(writer.write(tmp_path / 'unsigned.tflite', [pixels], [output]))
    assert graph.dtype == 'uint8' and graph.quantized == quantized


def test_a_huge_part_is_not_unpacked(path):
    with zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('meta.txt', ' ' * (2 << 20))
    assert read_tflite(path).metadata == {}
