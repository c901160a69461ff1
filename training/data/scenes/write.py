# SPDX-License-Identifier: Apache-2.0
"""Generated scenes on disk, in the official layout of Cityscapes.

A run that was interrupted goes on where it stopped: files are whole or not there.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.report import write_whole

from .scene import SIZE, Scene, city_of, drive, render

RENDERING = 2  # counts up when the same seed gives other pictures
# Nothing in noise repeats: looking for it costs time and gains nothing.
_PNG = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
)
_PART = 10  # frames of a drive that are drawn at a time
_FRAME = 19  # of its snippet of 30, the one that Cityscapes annotates


@dataclass(frozen=True)
class Job:
    """One picture, or `part` of a drive of so many `frames`, to be written below `root`."""

    root: Path
    seed: int
    split: str
    index: int
    size: tuple[int, int]
    frames: int = 0
    fps: float = 17.0
    part: range = range(1)

    @property
    def pictures(self) -> int:
        """How many pictures it makes."""
        return len(self.part)


def plan(
    root: Path,
    seed: int,
    counts: dict[str, int],
    size: tuple[int, int] = SIZE,
    sequences: int = 0,
    frames: int = 30,
    fps: float = 17.0,
) -> list[Job]:
    """Return what is to be written, and note seed and size in root/scenes.json.

    Args:
        root: the folder, as of Cityscapes.
        seed: of all pictures.
        counts: number of pictures by split ('train', 'val').
        size: (width, height) px.
        sequences: number of drives, which are in 'val'.
        frames: pictures of a drive.
        fps: pictures per second of a drive.

    Raises:
        UserError: the folder holds scenes of another seed, size or version, or more of them.
    """
    record = {'seed': seed, 'size': list(size), 'rendering': RENDERING}
    if sequences:
        record['fps'] = fps
    file = root / 'scenes.json'
    if file.exists():
        try:
            old = json.loads(file.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            raise UserError(f'{file} cannot be read; delete it, or take another folder.') from None
        if not isinstance(old, dict) or any(old.get(k, v) != v for k, v in record.items()):
            raise UserError(
                f'{root} holds scenes of another seed, size or version ({json.dumps(old)}); '
                f'take another folder.'
            )
        record = {**old, **record}
    jobs = [Job(root, seed, split, k, size) for split in counts for k in range(counts[split])]
    parts = [range(start, min(start + _PART, frames)) for start in range(0, frames, _PART)]
    drives = [
        Job(root, seed, 'val', k, size, frames, fps, part)
        for k in range(sequences)
        for part in parts
    ]
    _check_room(root, counts, drives + jobs)
    write_whole(file, (json.dumps(record, indent=2) + '\n').encode())
    return drives + jobs


def _check_room(root: Path, counts: dict[str, int], jobs: list[Job]) -> None:
    """Refuse to make fewer pictures than are there: what reads the folder would take them all."""
    wanted: dict[Path, set[str]] = {}  # names of pictures, by the folder of their split
    if any(counts.values()):  # where drives alone are made, the rest does not matter
        wanted = {root / 'leftImg8bit' / split: set() for split in counts}
    for job in jobs:
        for name in (_name(job, frame) for frame in job.part):
            picture = _files(job, name)[0]
            wanted.setdefault(picture.parents[1], set()).add(picture.name)
    for folder, names in wanted.items():
        there = {file.name for file in folder.glob('*/[!.]*.png')}
        if there - names:
            raise UserError(
                f'{folder} holds {len(there - names)} pictures more than the {len(names)} wished '
                f'for; ask for as many as there are, or take another folder.'
            )


def write(jobs: list[Job], processes: int | None = None) -> Iterator[tuple[Job, Counter[str]]]:
    """Make what is missing of the jobs; yield each with the count of its labels as it is done.

    Args:
        jobs: as from `plan`.
        processes: how many work at the same time; the number of cores without.
    """
    processes = processes or len(os.sched_getaffinity(0))
    if processes == 1 or len(jobs) == 1:
        for job in jobs:
            yield job, work(job)
        return
    context = multiprocessing.get_context('spawn')  # OpenCV's threads do not survive a fork
    with ProcessPoolExecutor(processes, context, _start_worker) as pool:
        try:
            yield from zip(jobs, pool.map(work, jobs), strict=True)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends the workers
    cv2.setNumThreads(1)


def work(job: Job) -> Counter[str]:
    """Write the missing files of one job; return the count of its labels."""
    names = [_name(job, frame) for frame in job.part]
    if all(file.is_file() for name in names for file in _files(job, name)):
        return sum((_labels(_files(job, name)[1]) for name in names), Counter())
    if job.frames:
        scenes = drive(
            job.seed, job.frames, job.fps, job.size, job.split, job.index, only=job.part
        )
    else:
        scenes = iter([render(job.seed, job.split, job.index, job.size)])
    counts: Counter[str] = Counter()
    for name, scene in zip(names, scenes, strict=True):
        picture, polygons, camera = _files(job, name)
        counts.update(one.label for one in scene.objects)
        write_whole(polygons, json.dumps(_annotation(scene)).encode())
        write_whole(camera, json.dumps(_camera(scene)).encode())
        _, png = cv2.imencode('.png', scene.picture, _PNG)
        write_whole(picture, png.tobytes())
    return counts


def _name(job: Job, frame: int) -> str:
    city = city_of(job.split, job.index).name
    if job.frames:
        return f'{city}_{job.index:06d}_{frame:06d}'
    return f'{city}_{job.index:06d}_{_FRAME:06d}'


def _files(job: Job, name: str) -> tuple[Path, Path, Path]:
    """Return the files of the picture, its polygons and its camera."""
    below = Path(job.split) / name.split('_')[0]
    # Apart from the single pictures, whose readers know nothing of sequences.
    kind = '_sequence' if job.frames else ''
    return (
        job.root / f'leftImg8bit{kind}' / below / f'{name}_leftImg8bit.png',
        job.root / f'gtFine{kind}' / below / f'{name}_gtFine_polygons.json',
        job.root / f'camera{kind}' / below / f'{name}_camera.json',
    )


def _annotation(scene: Scene) -> dict:
    height, width = scene.picture.shape[:2]
    objects = [
        {'label': one.label, 'polygon': np.rint(one.polygon).astype(int).tolist()}
        for one in scene.objects
    ]
    return {'imgHeight': height, 'imgWidth': width, 'objects': objects}


def _camera(scene: Scene) -> dict:
    camera = scene.camera
    u0, v0 = camera.centre
    return {'intrinsic': {'fx': camera.focal, 'fy': camera.focal, 'u0': u0, 'v0': v0}}


def _labels(file: Path) -> Counter[str]:
    try:
        objects = json.loads(file.read_text(encoding='utf-8'))['objects']
        return Counter(one['label'] for one in objects)
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f'{file} is broken; delete it, and run again.') from None
