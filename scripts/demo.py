# SPDX-License-Identifier: Apache-2.0
"""`make demo`: import a checkpoint, quantize it, replay a drive through the INT8 node.

Each step is a `kd-yolo` command, printed before it runs; finished steps are not repeated.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

OUT = Path('runs/demo')
CALIBRATION_PICTURES = '64'


def main() -> int:
    """Run the demo; the exit status is 0 only if every step succeeded."""
    data = Path(os.environ.get('KD_YOLO_DATA', ''))
    model = Path(os.environ.get('MODEL') or data / 'weights' / 'yolov5n.pt')
    drive = os.environ.get('DRIVE') or str(data / 'drives' / 'highway.mp4')
    pictures = data / 'vehicles' / 'train' / 'images'
    # Without pictures named, a model of one's own is calibrated on the drive it is shown.
    calibration = os.environ.get('CALIBRATION') or (
        str(pictures) if pictures.is_dir() and not os.environ.get('MODEL') else drive
    )
    for what, path in (('model', model), ('drive', Path(drive))):
        if not path.exists():
            print(
                f'There is no {what} for the demo ({path}): give your own with make demo '
                f'MODEL=yolov5n.pt DRIVE=drive.mp4 (a YOLOv5 checkpoint from the yolov5 '
                f'project and any video), or set KD_YOLO_DATA to a folder with '
                f'weights/yolov5n.pt and drives/highway.mp4.',
                file=sys.stderr,
            )
            return 1
    # What the artifacts are made from decides where they lie, so another model gets its own.
    made_of = hashlib.sha256(model.read_bytes() + calibration.encode()).hexdigest()[:12]
    fp32, int8 = OUT / f'{model.stem}-{made_of}-fp32', OUT / f'{model.stem}-{made_of}'
    if not (fp32 / 'artifact.yaml').is_file():
        kd_yolo('import', str(model), '--out', str(fp32))
    if not (int8 / 'artifact.yaml').is_file():
        kd_yolo(
            *('quantize', str(fp32), '--calibration', calibration),
            *('--limit', CALIBRATION_PICTURES, '--out', str(int8)),
        )
    kd_yolo(
        *('replay', drive, '--artifact', str(int8), '--mode', 'live'),
        *('--precision', 'int8', '--out', str(OUT / 'replay')),
    )
    return 0


def kd_yolo(*arguments: str) -> None:
    """Run a verb, or end with its status."""
    print(f'\n$ kd-yolo {shlex.join(arguments)}', flush=True)
    status = subprocess.run(
        [sys.executable, '-m', 'kd_yolo_ros.cli.main', *arguments], check=False
    ).returncode
    if status:
        sys.exit(status)


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the verb under way has said so itself
        sys.exit(130)
