# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures for a timing where no data set is named: generated street scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..data.cityscapes import NAMES, find_frames, read_frame
from ..data.prepared import is_prepared, write_prepared
from ..data.scenes.scene import SIZE
from ..data.scenes.write import plan, write


def timing_pictures(
    folder: Path,
    count: int,
    seed: int = 0,
    progress: Callable[[Iterable, str, int], Iterable] = lambda items, _, __: items,
) -> Path:
    """Write a prepared data set with a fit split, unless it is there; return its folder.

    Args:
        folder: of the data set.
        count: pictures, 1024x512 each.
        seed: of the scenes.
        progress: wraps an iterable, with its description and length.
    """
    if not is_prepared(folder):
        jobs = plan(folder, seed, {'train': count}, SIZE, sequences=0, frames=1, fps=17.0)
        for _ in progress(write(jobs, None), 'scenes', len(jobs)):
            pass
        read = (read_frame(frame)[0] for frame in find_frames(folder, 'train'))
        pictures = [picture for picture in read if picture is not None]
        write_prepared(folder, NAMES, folder, {'fit': pictures}, {'scenes': count, 'seed': seed})
    return folder
