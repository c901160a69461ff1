# SPDX-License-Identifier: Apache-2.0
"""A split as a folder of its own, in YOLO or COCO form, with its pictures in it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.pictures import list_pictures

from .coco import write_coco
from .dataset import Picture
from .subset import common_folder
from .yolo import LABEL_SUFFIX, write_yolo_labels, write_yolo_names

FORMATS = ('yolo', 'coco')
PICTURES = ('symlink', 'hardlink', 'copy')


def export(
    pictures: Sequence[Picture],
    names: Sequence[str],
    out: Path,
    form: str,
    how: str,
    progress: Callable[[Iterable, str, int], Iterable],
) -> None:
    """Write images/ and labels/ with data.yaml, or images/ and instances.json.

    Pictures that are there already are kept, so a run that was interrupted can go on.

    Args:
        pictures: with sizes, where the form is coco.
        names: class names by class id.
        out: the new folder.
        form: one of FORMATS.
        how: one of PICTURES, how they get into images/.
        progress: as `kd_yolo_ros.cli.common.progress`.

    Raises:
        UserError: two pictures want one label file, soft labels want a form that has none, the
            folder holds other pictures, or it cannot be written.
    """
    root = common_folder(pictures)
    relative = [Path(os.path.abspath(p.file)).relative_to(root) for p in pictures]
    if form == 'yolo':
        _refuse_shared_labels(relative)
        if any(picture.soft.any() for picture in pictures):
            raise UserError('YOLO labels have no scores for soft labels; export them as coco.')
    others = {*list_pictures(out / 'images')} - {out / 'images' / name for name in relative}
    if others:
        raise UserError(f'{out} holds other pictures, as {min(others)}; name another folder.')
    placed = []
    for picture, name in progress(zip(pictures, relative, strict=True), 'export', len(pictures)):
        target = out / 'images' / name
        _place(picture.file, target, how)
        placed.append(dataclasses.replace(picture, file=target))
        if form == 'yolo':
            write_yolo_labels((out / 'labels' / name).with_suffix(LABEL_SUFFIX), picture)
    if form == 'yolo':
        write_yolo_names(out, names)
    else:
        write_coco(out / 'instances.json', placed, names, out / 'images')


def _refuse_shared_labels(names: Iterable[Path]) -> None:
    seen: dict[Path, Path] = {}
    for name in names:
        other = seen.setdefault(name.with_suffix(''), name)
        if other != name:
            raise UserError(
                f'{other} and {name} would share a label file in YOLO form; rename one of them.'
            )


def _place(source: Path, target: Path, how: str) -> None:
    """Bring a picture to its place; one that is there already stays."""
    if os.path.lexists(target):
        return
    scratch = target.with_name(f'.{target.name}.{os.getpid()}')
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if how == 'symlink':
                scratch.symlink_to(os.path.abspath(source))
            elif how == 'hardlink':
                os.link(source, scratch)
            else:
                shutil.copyfile(source, scratch)
            os.replace(scratch, target)
        finally:
            # Of two hard links to one file, replace leaves both.
            with contextlib.suppress(FileNotFoundError):
                scratch.unlink()
    except OSError as error:
        raise UserError(f'{target} cannot be made by {how}: {error.strerror}.') from error
