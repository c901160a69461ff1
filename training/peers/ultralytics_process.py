# SPDX-License-Identifier: Apache-2.0
"""The process in which ultralytics' trainer runs; `ultralytics.py` beside this starts it.

Reads spec.json of the folder it is given; leaves model.onnx and, last, result.json there.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import torch
import ultralytics
from safetensors.torch import load_file
from torch import Tensor, nn
from ultralytics.data.dataset import YOLODataset
from ultralytics.engine import trainer as engine
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import SETTINGS
from ultralytics.utils.torch_utils import unwrap_model

from kd_yolo_ros.metrics.report import write_json, write_whole

INTEGRATIONS = ('sync', 'clearml', 'comet', 'dvc', 'mlflow', 'raytune', 'tensorboard', 'wandb')
OPSET = 18

# Of its options, those that shape the training of a detector.
SETTINGS_REPORTED = (
    'epochs', 'batch', 'imgsz', 'seed', 'workers', 'amp', 'nbs',
    'lr0', 'lrf', 'momentum', 'weight_decay', 'cos_lr',
    'warmup_epochs', 'warmup_momentum', 'warmup_bias_lr', 'box', 'cls', 'dfl',
    'mosaic', 'close_mosaic', 'mixup', 'copy_paste', 'hsv_h', 'hsv_s', 'hsv_v', 'degrees',
    'translate', 'scale', 'shear', 'perspective', 'flipud', 'fliplr',
)  # fmt: skip


class Labels(YOLODataset):
    """Its data set with the labels handed over, so that no label cache is written or read."""

    def __init__(self, pictures: list[Mapping[str, Any]], **arguments: Any) -> None:
        self.pictures = pictures
        super().__init__(**arguments)

    def get_img_files(self, img_path: Any) -> list[str]:
        """Return the pictures' files."""
        return [picture['file'] for picture in self.pictures]

    def get_labels(self) -> list[dict[str, Any]]:
        """Return one label for each picture in the form that its scan of label files gives."""
        return [self._label(picture) for picture in self.pictures]

    @staticmethod
    def _label(picture: Mapping[str, Any]) -> dict[str, Any]:
        corners = np.asarray(picture['boxes'], np.float32).reshape(-1, 4)
        low, high = corners[:, :2], corners[:, 2:]
        return {
            'im_file': picture['file'],
            'shape': (1, 1),  # only rectangular batches look at it
            'cls': np.asarray(picture['class_ids'], np.float32).reshape(-1, 1),
            'bboxes': np.concatenate(((low + high) / 2, high - low), 1),
            'segments': [],
            'keypoints': None,
            'normalized': True,
            'bbox_format': 'xywh',
        }


class Trainer(DetectionTrainer):
    """Its trainer on given pictures and trunk, without its validator and its pickles."""

    def __init__(self, spec: Mapping[str, Any], folder: Path, reports: Any) -> None:
        self.spec = spec
        self.folder = folder
        self.reports = reports
        self.step_s: list[float] = []
        self.step_pictures: list[int] = []
        self.step_epochs: list[int] = []
        self.epoch_s: list[float] = []
        self.trunk_tensors = 0
        super().__init__(
            overrides={
                'model': f'yolov5{spec["size"]}.yaml',
                'data': 'given',
                'epochs': spec['epochs'],
                'batch': spec['batch'],
                'imgsz': spec['imgsz'],
                'seed': spec['seed'],
                'project': str(folder),
                'name': 'run',
                'exist_ok': True,
                'pretrained': False,
                'plots': False,
                'val': False,
                'save': False,
                'patience': 0,
                **spec['settings'],
            }
        )
        torch.set_num_threads(spec['threads'])  # its choice of a device sets one less than cores
        self.add_callback('on_train_epoch_start', Trainer.epoch_starts)
        self.add_callback('on_train_batch_end', Trainer.step_ends)
        self.add_callback('on_train_epoch_end', Trainer.epoch_ends)

    def get_dataset(self) -> dict[str, Any]:
        """Return its description of the data, which it would read from a YAML file."""
        names = dict(enumerate(self.spec['names']))
        return {'train': '', 'val': '', 'nc': len(names), 'names': names, 'channels': 3}

    def build_dataset(
        self, img_path: str, mode: str = 'train', batch: int | None = None
    ) -> Labels:
        """Build its data set as its trainer does, on the labels of the spec."""
        pictures = self.spec['pictures']
        return Labels(
            # It insists on a loader for validation, which is never asked for a picture.
            pictures if mode == 'train' else pictures[:1],
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=mode == 'train',
            hyp=self.args,
            cache=self.args.cache or None,
            stride=max(int(unwrap_model(self.model).stride.max()), 32),
            pad=0.0,
            task='detect',
            data=self.data,
        )

    def setup_model(self) -> None:
        """Build its network and load the trunk into it, whole or not at all."""
        super().setup_model()
        if self.spec['trunk']:
            trunk = load_file(self.folder / 'trunk.safetensors')
            self.trunk_tensors = load_trunk(self.model, trunk)

    def get_validator(self) -> SimpleNamespace:
        """Return what the trainer asks of a validator; its own imports torchvision."""
        return SimpleNamespace(metrics=SimpleNamespace(keys=[]))

    def validate(self) -> tuple[dict[str, float], float]:
        """Skip it: our evaluator measures the weights afterwards."""
        return {}, 0.0

    def save_model(self) -> bool:
        """Write no checkpoint, which would be a pickle."""
        return False

    def final_eval(self) -> None:
        """Skip it, as `validate`."""

    def epoch_starts(self) -> None:
        """Start the clocks of an epoch and of its first step."""
        self.epoch_started = self.step_started = time.perf_counter()

    def step_ends(self) -> None:
        """Note how long a step took since the one before it ended, and report it."""
        now = time.perf_counter()
        steps = len(self.train_loader)
        done = len(self.step_s)
        in_epoch = done - self.epoch * steps
        rest = len(self.spec['pictures']) - in_epoch * self.spec['batch']
        self.step_s.append(now - self.step_started)
        self.step_pictures.append(min(self.spec['batch'], rest))
        self.step_epochs.append(self.epoch)
        self.step_started = now
        print(done + 1, steps * self.epochs, file=self.reports, flush=True)

    def epoch_ends(self) -> None:
        """Note how long the epoch took, what a GPU still has to do included."""
        if self.device.type == 'cuda':
            torch.cuda.synchronize()
        self.epoch_s.append(time.perf_counter() - self.epoch_started)


def load_trunk(model: nn.Module, trunk: Mapping[str, Tensor]) -> int:
    """Copy every tensor before the head by name; return how many.

    Raises:
        ValueError: the two trunks differ in a name or a shape.
    """
    head = f'model.{len(model.model) - 1}.'
    own = {name: t for name, t in model.state_dict().items() if not name.startswith(head)}
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in trunk.items()}:
        differing = sorted(
            name
            for name in {*own, *trunk}
            if name not in own or name not in trunk or own[name].shape != trunk[name].shape
        )
        raise ValueError(f'{len(differing)} tensors of the trunk do not fit: {differing[:3]}')
    for name, tensor in own.items():
        tensor.copy_(trunk[name])  # shares its memory with the network
    return len(own)


def export(model: nn.Module, path: Path, names: list[str], imgsz: int) -> None:
    """Write the network as its own exporter lays it out: (1, 4 + classes, boxes), decoded."""
    model = copy.deepcopy(model).float().cpu().eval().fuse(verbose=False)
    head = model.model[-1]
    head.export, head.format = True, 'onnx'
    with torch.no_grad():
        picture = torch.zeros(1, 3, imgsz, imgsz)
        model(picture)  # makes the grid of its cells
        program = torch.onnx.export(
            model,
            (picture,),
            input_names=['images'],
            output_names=['output0'],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    graph = program.model_proto
    metadata = {
        'names': dict(enumerate(names)),
        'imgsz': [imgsz, imgsz],
        'stride': int(max(model.stride)),
        'task': 'detect',
        'license': 'AGPL-3.0',
    }
    onnx.helper.set_model_props(graph, {key: str(value) for key, value in metadata.items()})
    write_whole(path, graph.SerializeToString(deterministic=True))


def main() -> None:
    """Train as spec.json of a folder says; arguments: the folder, a descriptor for reports."""
    folder = Path(sys.argv[1]).resolve()
    spec = json.loads((folder / 'spec.json').read_text(encoding='utf-8'))
    SETTINGS.update(dict.fromkeys(INTEGRATIONS, False))
    engine.check_amp = lambda model: True  # it would fetch another model to try AMP with
    with open(int(sys.argv[2]), 'w', encoding='ascii') as reports:
        trainer = Trainer(spec, folder, reports)
        trainer.train()
    export(trainer.ema.ema, folder / 'model.onnx', spec['names'], spec['imgsz'])
    write_json(
        folder / 'result.json',
        {
            'images_per_s': [
                n / s for n, s in zip(trainer.step_pictures, trainer.step_s, strict=True)
            ],
            'step_epochs': trainer.step_epochs,
            'epoch_s': trainer.epoch_s,
            'trunk_tensors': trainer.trunk_tensors,
            'parameters': sum(p.numel() for p in trainer.ema.ema.parameters()),
            'settings': {
                **{name: getattr(trainer.args, name) for name in SETTINGS_REPORTED},
                'optimizer': type(trainer.optimizer).__name__,
                'threads': torch.get_num_threads(),
                'device': trainer.device.type,
                'version': ultralytics.__version__,
            },
        },
    )


if __name__ == '__main__':
    main()
