# SPDX-License-Identifier: Apache-2.0
"""`make demo`: a drive through the INT8 node.

Without data: the bundled model on a generated drive, judged by its ground truth, without PyTorch.
With data: a checkpoint is imported and quantized, and a real drive is replayed through it.
Each step is a `kd-yolo` command, printed before it runs; finished steps are not repeated.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Iterator

from kd_yolo_ros.bundled import DEFAULT
from kd_yolo_ros.cli.child import child_environment, end_with_parent

OUT = Path('runs/demo')
REPLAYS = ('accuracy', 'live')  # folders of the generated drive's reports
INPUTS = ('KD_YOLO_DATA', 'MODEL', 'DRIVE', 'CALIBRATION')
CALIBRATION_PICTURES = '64'

# No model has seen this drive: the cities of drives are none of those in `train`, and no recipe
# uses the seed. It was picked for its busy street by day, and not by any result.
SEED, FRAMES = 1969, 136  # 8 seconds


def main() -> int:
    """Run the demo; the exit status is 0 only if every step succeeded."""
    with alone():
        return real_drive() if any(map(os.environ.get, INPUTS)) else generated_drive()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other demo is at work in the folder, and keep others waiting."""
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / '.lock', 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'Another demo is at work in {OUT}; this one waits for it to end.', flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def generated_drive(frames: int = FRAMES) -> int:
    """Draw a drive and replay it through the bundled model: for accuracy, then for latency."""
    from kd_yolo_training.data.scenes.write import RENDERING

    started = perf_counter()
    drive = OUT / f'drive-{RENDERING}-{SEED}-{frames}'
    bag = drive.with_name(f'{drive.name}-bag')
    if not bag.is_dir():
        kd_yolo(
            *('data', 'scenes', '--out', str(drive), '--train', '0', '--val', '0'),
            *('--sequences', '1', '--frames', str(frames), '--seed', str(SEED)),
        )
        kd_yolo('data', 'bag', str(drive), '--split', 'val', '--out', str(bag))
    replay = ('replay', str(bag), '--artifact', str(DEFAULT))
    accuracy, live = (str(OUT / name) for name in REPLAYS)
    # AP counts boxes of every score above 0.001: too many for a video, and for the times of use.
    print('\nAccuracy, by every picture. Times do not count here: AP takes boxes of any score.')
    kd_yolo(
        *(*replay, '--mode', 'lossless', '--ground-truth', '/ground_truth/detections'),
        *('--no-video', '--out', accuracy),
    )
    print('\nLatency, as a camera would send the pictures.')
    kd_yolo(*replay, '--mode', 'live', '--out', live)
    print(
        f'\nThe model has seen neither this drive (seed {SEED}) nor its city. '
        f'The demo took {perf_counter() - started:.0f} s.'
    )
    return 0


def real_drive() -> int:
    """Import a checkpoint, quantize it, and replay a drive through it."""
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
                f'project and any video), set KD_YOLO_DATA to a folder with '
                f'weights/yolov5n.pt and drives/highway.mp4, or give none of these for a '
                f'generated drive.',
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
        [sys.executable, '-m', 'kd_yolo_ros.cli.main', *arguments],
        env=child_environment(),
        preexec_fn=end_with_parent(),
        check=False,
    ).returncode
    if status:
        sys.exit(status)


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the verb under way has said so itself
        sys.exit(130)
