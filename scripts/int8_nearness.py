# SPDX-License-Identifier: Apache-2.0
"""How near each calibrator's INT8 file comes to the float network, where that sees an object.

Of scores and of the sides of boxes, the mean absolute error over all cells whose objectness is
above a threshold in float. It needs no labels, and few pictures: it is no matter of single boxes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import List, Tuple

import numpy as np

from kd_yolo_ros.artifact import Artifact
from kd_yolo_ros.backends import backend_class
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model
from kd_yolo_ros.frames import open_source
from kd_yolo_ros.manifest import ModelFile
from kd_yolo_training.compression.calibration import Calibration
from kd_yolo_training.compression.candidates import Candidate
from kd_yolo_training.compression.onnxruntime_int8 import VNNI, X64, OnnxRuntimeQuantizer
from kd_yolo_training.compression.openvino_int8 import OpenVinoQuantizer
from kd_yolo_training.compression.prepare import prepare
from kd_yolo_training.compression.ranges import CALIBRATORS
from kd_yolo_training.compression.simplify import simplify
from kd_yolo_training.compression.sources import float_onnx

OBJECTNESS = 0.27  # above it, a cell says that something is there


def main() -> None:
    """Print the table for what the command line names, or leave with one sentence."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('artifact', type=Path, help='with an FP32 ONNX file of raw outputs')
    parser.add_argument('--calibration', type=Path, nargs='+', required=True)
    parser.add_argument('--pictures', type=Path, required=True, help='other ones, to compare on')
    parser.add_argument('--limit', type=int, default=300, help='calibration pictures')
    parser.add_argument('--compared', type=int, default=24, help='pictures to compare on')
    parser.add_argument('--runtime', choices=QUANTIZERS, default='onnxruntime-vnni')
    given = parser.parse_args()
    try:
        artifact = open_model(given.artifact)
        if artifact.manifest.head.layout != 'anchor_grid':
            raise UserError(
                f'{given.artifact}: nearness is measured where a network has an objectness, so in '
                f'heads of layout anchor_grid, not {artifact.manifest.head.layout}.'
            )
        file = float_onnx(artifact)
        if file.decode_inside:
            raise UserError(f'{file.path} decodes its boxes itself; export it without.')
        sources = [open_source(path) for path in given.calibration]
        calibration = Calibration(sources, file.input, given.limit)
        compared = Calibration([open_source(given.pictures)], file.input, given.compared)
        table(artifact, file, calibration, list(compared), given.runtime)
    except UserError as error:
        sys.exit(f'Error: {error}')


QUANTIZERS = {
    'onnxruntime-vnni': lambda model, pictures: OnnxRuntimeQuantizer(model, pictures, VNNI),
    'onnxruntime': lambda model, pictures: OnnxRuntimeQuantizer(model, pictures, X64),
    'openvino': OpenVinoQuantizer,
}


def table(
    artifact: Artifact,
    file: ModelFile,
    calibration: Calibration,
    compared: List[np.ndarray],
    target: str,
) -> None:
    """Print a row for each calibrator, and for the first one with other floors under SiLU."""
    runtime = target.partition('-')[0]
    path = artifact.model_path(file)
    quantizer = QUANTIZERS[target](simplify(prepare(path, file.input)), calibration)
    expected = cells(runtime, path, file, compared, artifact)
    candidates = [Candidate.usual(name, quantizer.silu_floors) for name in CALIBRATORS]
    others = [Candidate(candidates[0].calibrator, floor) for floor in quantizer.silu_floors[1:]]
    print("| calibrator | floor under SiLU | mean error of the score | of the side's logit |")
    print('|---|---|---:|---:|')
    with tempfile.TemporaryDirectory() as folder:
        name = 'int8.xml' if runtime == 'openvino' else 'int8.onnx'
        int8 = replace(file, path=name, precision='int8')
        for one in [*others, *candidates]:
            quantizer.write(Path(folder) / name, one.calibrator, one.silu_floor)
            got = cells(runtime, Path(folder) / name, int8, compared, artifact)
            score, side = errors(got, expected)
            print(
                f'| {one.calibrator} | {one.silu_floor} | {score:.4f} | {side:.4f} |', flush=True
            )


def errors(got: np.ndarray, expected: np.ndarray) -> Tuple[float, float]:
    """Return the mean absolute error of scores and of sides' logits where there is an object.

    Args:
        got: logits (cells, 5 + classes) of all cells of all pictures.
        expected: the same of the float network.
    """
    there = _sigmoid(expected[:, 4]) > OBJECTNESS
    if not there.any():
        raise UserError('The float network sees nothing in these pictures; compare on others.')
    got, expected = got[there], expected[there]
    scores = [_sigmoid(e[:, 4:5]) * _sigmoid(e[:, 5:]) for e in (got, expected)]
    best = scores[1].argmax(1)
    rows = np.arange(len(best))
    score = np.abs(scores[0][rows, best] - scores[1][rows, best]).mean()
    return float(score), float(np.abs(got[:, 2:4] - expected[:, 2:4]).mean())


def cells(
    runtime: str, path: Path, file: ModelFile, pictures: List[np.ndarray], artifact: Artifact
) -> np.ndarray:
    """Return the logits (cells, 5 + classes) of a model file; coefficients of masks are left."""
    backend = backend_class(runtime)(path, file, file.precision, None)
    wanted = 5 + len(artifact.manifest.class_names)
    anchors = [len(level) for level in artifact.manifest.head.anchors]
    found = []
    for picture in pictures:
        for output, count in zip(backend.infer(picture), anchors):
            channels = output.shape[1] // count
            grid = output.reshape(count, channels, -1)[:, :wanted].transpose(0, 2, 1)
            found.append(grid.reshape(-1, wanted).copy())
    return np.concatenate(found)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(logits / 2)


if __name__ == '__main__':
    main()
