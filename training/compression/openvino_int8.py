# SPDX-License-Identifier: Apache-2.0
"""Static INT8 for OpenVINO, by NNCF on the ONNX graph.

On the IR, NNCF leaves each SiLU as separate nodes that OpenVINO does not fuse: slower.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from kd_yolo_ros.manifest import ModelFile

from .float_weights import shrink_float_weights
from .graph import float_nodes, is_quantized, layers
from .judge import Judge

# Accuracy control judges a network for each group of quantizers it ranks, on at most so many
# pictures, and then at most so many more networks on all pictures.
RANKING_PICTURES = 30
MAX_ITERATIONS = 12


@dataclass(frozen=True)
class Tried:
    """A network that accuracy control has judged on all pictures.

    Attributes:
        kept: convolutions in float.
        map50_95: on the pictures for choices.
    """

    kept: tuple[str, ...]
    map50_95: float


def quantize_openvino(
    model: onnx.ModelProto, target: Path, pictures: Collection[np.ndarray]
) -> None:
    """Write an INT8 IR (`target` and the `.bin` beside it) of a float ONNX graph.

    The head convolutions and the decode after them stay in float (`float_nodes`).

    Args:
        model: a float graph with one input of a fixed size, all nodes named.
        target: where the `.xml` goes.
        pictures: calibration tensors as the graph takes them.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    quantized = nncf.quantize(model, _dataset(model, pictures), **_options(model, pictures))
    _write_ir(quantized, target)


def quantize_with_accuracy_control(
    model: onnx.ModelProto,
    target: Path,
    pictures: Collection[np.ndarray],
    judge: Judge,
    fp32: ModelFile,
    max_drop: float,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[float, list[Tried], Tried]:
    """Write an INT8 IR in which NNCF has put layers back into float until AP is good enough.

    NNCF gives the last network that it tried. Here all are judged and noted, and the first that
    lost at most `max_drop` is written, else the one with the highest AP.

    Args:
        model: as in `quantize_openvino`.
        target: as there.
        pictures: as there.
        judge: on pictures for choices.
        fp32: the float file.
        max_drop: of AP50-95 that may be lost.
        say: shows a line for each network that is tried.

    Returns:
        AP50-95 of the float network, the networks tried, the one written.
    """
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedAccuracyRestorerParameters

    nncf.set_log_level(logging.ERROR)
    count = len(judge)
    with tempfile.TemporaryDirectory() as folder:
        validation = _Validation(model, judge, fp32, max_drop, Path(folder), say)
        try:
            nncf.quantize_with_accuracy_control(
                model,
                _dataset(model, pictures),
                nncf.Dataset(list(range(count))),
                validation,
                max_drop=max_drop,
                advanced_accuracy_restorer_parameters=AdvancedAccuracyRestorerParameters(
                    max_num_iterations=MAX_ITERATIONS,
                    ranking_subset_size=min(max(count // 2, 1), RANKING_PICTURES),
                    num_ranking_workers=1,
                ),
                **_options(model, pictures),
            )
        finally:  # NNCF's own error may only be what came of it
            if validation.error is not None:
                raise validation.error
        _write_ir(onnx.load(validation.best_path), target)
    return validation.float_ap, validation.tried, validation.best


class _Validation:
    """NNCF's validation function, which notes every network that is judged on all pictures.

    NNCF takes an exception of its first call, on one picture, for another way of judging, and goes
    on: it is kept here, to be raised by every other call and in the end.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        judge: Judge,
        fp32: ModelFile,
        max_drop: float,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self.judge = judge
        self.fp32 = fp32
        self.max_drop = max_drop
        self.count = len(judge)
        self.folder = folder
        self.say = say
        self.layers = layers(model, float_nodes(model))
        self.float_ap = 0.0
        self.tried: list[Tried] = []
        self.best = Tried((), -1.0)
        self.best_path = folder / 'best.onnx'
        self.error: Exception | None = None

    def __call__(self, model: onnx.ModelProto, items: Iterable[int]) -> tuple[float, list[float]]:
        """Return AP50-95 over the pictures with these indices, and that of each alone."""
        if self.error is not None:
            raise self.error
        wanted = sorted(items)
        try:
            ap, each = self._judge(model, wanted)
        except Exception as error:
            self.error = error
            raise
        if len(wanted) == self.count:
            self._note(model, ap)
        return ap, each

    def _judge(self, model: onnx.ModelProto, wanted: list[int]) -> tuple[float, list[float]]:
        path = self.folder / 'judged.xml'
        _write_ir(model, path)
        precision = 'int8' if is_quantized(model) else 'fp32'
        file = dataclasses.replace(self.fp32, runtimes=('openvino',), precision=precision)
        return self.judge.by_picture(path, file, set(wanted))

    def _note(self, model: onnx.ModelProto, ap: float) -> None:
        if not is_quantized(model):
            self.float_ap = ap
            return
        one = Tried(_float_layers(model, self.layers), ap)
        self.tried.append(one)
        self.say(f'  {len(one.kept)} layers in float: AP50-95 {ap:.4f}')
        reached = self.best.map50_95 >= self.float_ap - self.max_drop
        if not reached and ap > self.best.map50_95:
            self.best = one
            onnx.save(model, self.best_path)


def _float_layers(model: onnx.ModelProto, names: Collection[str]) -> tuple[str, ...]:
    """Return those of the convolutions whose weights are floats."""
    integer = {t for n in model.graph.node if n.op_type == 'DequantizeLinear' for t in n.output}
    return tuple(
        node.name
        for node in model.graph.node
        if node.name in names and node.input[1] not in integer
    )


def _dataset(model: onnx.ModelProto, pictures: Iterable[np.ndarray]) -> Any:
    import nncf

    name = model.graph.input[0].name

    class Named:
        """NNCF iterates several times and wants each picture by the input's name."""

        def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
            return ({name: picture} for picture in pictures)

    return nncf.Dataset(Named())


def _options(model: onnx.ModelProto, pictures: Collection[np.ndarray]) -> dict[str, Any]:
    import nncf

    return {
        'preset': nncf.QuantizationPreset.MIXED,
        'subset_size': len(pictures),
        'ignored_scope': nncf.IgnoredScope(names=float_nodes(model)),
    }


def _write_ir(model: onnx.ModelProto, target: Path) -> None:
    """Write an ONNX graph as an IR; of a quantized one the weights are stored as integers."""
    import openvino
    from nncf.onnx.graph.passes import compress_quantize_weights_transformation

    if is_quantized(model):
        model = onnx.ModelProto.FromString(model.SerializeToString())
        compress_quantize_weights_transformation(model)  # accuracy control leaves them float
        shrink_float_weights(model)
    converted = target.with_suffix('.onnx')
    onnx.save(model, converted)
    network = openvino.convert_model(converted)
    _share_bounds(network)
    _halve_float_weights(network)
    openvino.save_model(network, target, compress_to_fp16=False)
    converted.unlink()
    # A small network's XML is a sixth of its file, and a fifth of that is indentation.
    text = target.read_text(encoding='utf-8')
    target.write_text(re.sub(r'>\s+<', '><', text), encoding='utf-8')


def _halve_float_weights(network: Any) -> None:
    """Store the convolutions' float weights as float16, which the converter had made float32.

    `shrink_float_weights` has rounded them to float16 already, so nothing is lost. What is
    quantized is no constant of floats, and stays.
    """
    import openvino.opset13 as ops

    for operation in network.get_ops():
        if operation.get_type_name() not in ('Convolution', 'GroupConvolution'):
            continue
        weight = operation.input_value(1).get_node()
        if weight.get_type_name() != 'Constant':
            continue
        half = weight.data.astype(np.float16)
        if (half == weight.data).all():
            restored = ops.convert(ops.constant(half), 'f32')
            operation.input(1).replace_source_output(restored.output(0))


def _share_bounds(network: Any) -> None:
    """Let bounds before and after quantization be the same constants where they are equal."""
    for operation in network.get_ops():
        if operation.get_type_name() != 'FakeQuantize':
            continue
        for before, after in ((1, 3), (2, 4)):
            sources = [operation.input_value(port).get_node() for port in (before, after)]
            if all(source.get_type_name() == 'Constant' for source in sources):
                one, other = (source.data for source in sources)
                if one.shape == other.shape and (one == other).all():
                    operation.input(after).replace_source_output(operation.input_value(before))
