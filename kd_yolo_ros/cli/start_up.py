# SPDX-License-Identifier: Apache-2.0
"""What a model costs at the start: a process of its own, to its first detections."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any, Dict, Optional

from kd_yolo_ros.artifact import Artifact
from kd_yolo_ros.cli.child import child_environment, end_with_parent
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import MANIFEST, Manifest
from kd_yolo_ros.metrics.host import peak_rss_mb
from kd_yolo_ros.predictor import Predictor
from kd_yolo_ros.variants import Variant

PICTURES = 10  # after which memory does not grow any more
PICTURE_SIZE = (720, 1280, 3)


def start_up(variant: Variant, threads: Optional[int]) -> Dict[str, Any]:
    """Start a process that runs the model on grey pictures, and loads no other runtime.

    Returns:
        start_s: seconds from starting the process to the first picture's detections.
        peak_rss_mb: the most memory it held, in MB of 10^6 bytes; None where nobody tells.

    Raises:
        UserError: it failed; with its last words.
    """
    wish = {
        'folder': str(variant.artifact.folder),
        # A plain export would be described anew, by whichever runtime reads it.
        'manifest': variant.artifact.manifest.to_dict(),
        'runtime': variant.runtime,
        'precision': variant.precision,
        'provider': variant.provider,
        'threads': threads,
    }
    started = monotonic()
    done = subprocess.run(
        [sys.executable, '-m', 'kd_yolo_ros.cli.start_up'],
        input=json.dumps(wish, default=str),
        capture_output=True,
        text=True,
        env=child_environment(),
        preexec_fn=end_with_parent(),
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise UserError(
            f'{variant.file.path} on {variant.runtime} failed in a process of its own: '
            f'{lines[-1] if lines else f"status {done.returncode}"}'
        )
    answer = json.loads(done.stdout.splitlines()[-1])  # a runtime may have printed before
    return {'start_s': answer['first'] - started, 'peak_rss_mb': answer['peak_rss_mb']}


def main() -> None:
    """Be the process that `start_up` starts."""
    import numpy as np

    wish = json.load(sys.stdin)
    artifact = Artifact(Path(wish['folder']), Manifest.from_dict(wish['manifest'], MANIFEST))
    predictor = Predictor(
        artifact,
        wish['runtime'],
        wish['precision'],
        wish['threads'],
        provider=wish['provider'],
    )
    picture = np.full(PICTURE_SIZE, 114, np.uint8)
    predictor.predict(picture)
    first = monotonic()  # of one clock with the parent's, which counts from the machine's start
    for _ in range(PICTURES - 1):
        predictor.predict(picture)
    print(json.dumps({'first': first, 'peak_rss_mb': peak_rss_mb()}))


if __name__ == '__main__':
    main()
