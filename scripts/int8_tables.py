# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/quantization.md, from a checkpoint to what each way of quantizing is worth.

Each step is a `kd-yolo` command, printed before it runs and kept beside what it makes; finished
artifacts are not made again.
"""

from __future__ import annotations

import argparse
import collections
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import List, Tuple

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import MANIFEST

AWARE = ('onnxruntime-vnni', 'openvino')
EXPORTER = 'litert_torch'  # writes the float file for TFLite, in an environment of its own


def main() -> None:
    """Make the tables of what the command line names; ends with the status of what failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('table', choices=TABLES)
    parser.add_argument(
        'checkpoints', type=Path, nargs='+', help='of kd-yolo train, or public ones'
    )
    parser.add_argument('--names', type=Path, help='class names of a public checkpoint')
    parser.add_argument(
        '--imgsz', type=int, default=640, help='pixels; dynamic is made at half of it too'
    )
    parser.add_argument('--calibration', nargs='+', required=True)
    parser.add_argument('--select', nargs='+', required=True, metavar='DATA[=CLASS_MAP]')
    parser.add_argument('--data', nargs='+', required=True, metavar='DATA[=CLASS_MAP]')
    parser.add_argument('--threads', default='2')
    parser.add_argument('--rounds', default='20', help='0 leaves out times')
    parser.add_argument('--out', type=Path, default=Path('runs/int8'))
    given = parser.parse_args()
    try:
        make_table(given)
    except UserError as error:
        sys.exit(f'Error: {error}')


def make_table(given: argparse.Namespace) -> None:
    """Make the artifacts of a table and report on them.

    Raises:
        UserError: two artifacts would lie in one folder, or there lies one of another command.
    """
    named = collections.Counter(checkpoint.stem for checkpoint in given.checkpoints)
    (stem, times) = named.most_common(1)[0]
    if times > 1:
        raise UserError(
            f'{times} checkpoints are called {stem}, and artifacts are named after them; give '
            'copies of different names.'
        )
    models = TABLES[given.table](given)
    used = [one.partition('=')[0] for one in (*given.calibration, *given.select)]
    kd_yolo(
        *('report', *map(str, models), '--threads', given.threads, '--rounds', given.rounds),
        *repeated('--data', given.data),
        *repeated('--exclude', used),
        *('--out', str(given.out / given.table)),
    )


def methods(given: argparse.Namespace) -> List[Path]:
    """Make the default and the accuracy-aware artifact of each checkpoint."""
    tflite = tflite_exported()
    if not tflite:
        print(f'TFLite is left out: {EXPORTER} is not installed.', flush=True)
    made = []
    for checkpoint in given.checkpoints:
        model = imported(given, checkpoint, given.imgsz)
        made.append(quantized(given, model, 'default', (*AWARE, *tflite)))
        made.append(quantized(given, model, 'accuracy-aware', AWARE))
    return made


def dynamic(given: argparse.Namespace) -> List[Path]:
    """Make the dynamic artifact of each checkpoint at two sizes."""
    return [
        quantized(given, imported(given, checkpoint, size), 'dynamic', ('onnxruntime',))
        for checkpoint in given.checkpoints
        for size in (given.imgsz, given.imgsz // 2)
    ]


TABLES = {'methods': methods, 'dynamic': dynamic}


def imported(given: argparse.Namespace, checkpoint: Path, size: int) -> Path:
    """Return the FP32 artifact of a checkpoint at a size in pixels; tables share it."""
    out = given.out / f'{checkpoint.stem}-{size}'
    names = ('--names', str(given.names)) if given.names else ()
    more = tflite_exported() if size == given.imgsz else ()
    runtimes = repeated('--runtime', ('onnxruntime', 'openvino', *more))
    make(out, 'import', str(checkpoint), '--imgsz', str(size), *names, *runtimes)
    return out


def tflite_exported() -> Tuple[str, ...]:
    """Return TFLite's name where its float file can be written, of which the INT8 one is made."""
    return ('tflite',) if find_spec(EXPORTER) else ()


def quantized(given: argparse.Namespace, model: Path, method: str, runtimes: tuple) -> Path:
    """Return the INT8 artifact of a model; its report lies beside it."""
    out = model.with_name(f'{model.name}-{method}')
    pictures = (
        ()
        if method == 'dynamic'
        else (
            *repeated('--calibration', given.calibration),
            *repeated('--select', given.select),
            *('--report', f'{out}-report'),
        )
    )
    make(
        *(out, 'quantize', str(model), '--method', method),
        *(*repeated('--runtime', runtimes), *pictures),
    )
    return out


def make(out: Path, *arguments: str) -> None:
    """Run a verb that writes an artifact, unless it is there and this verb has written it."""
    record, line = out.with_name(f'{out.name}.command'), f'kd-yolo {shlex.join(arguments)}\n'
    if not (out / MANIFEST).is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(line, encoding='utf-8')
        kd_yolo(*arguments, '--out', str(out))
    elif not record.is_file() or record.read_text(encoding='utf-8') != line:
        raise UserError(
            f'{out} was made with other options than these; delete it, or give another --out.'
        )


def repeated(option: str, values: tuple) -> List[str]:
    """Return the option before each of its values."""
    return [word for value in values for word in (option, str(value))]


def kd_yolo(*arguments: str) -> None:
    """Run a verb, or end with its status."""
    print(f'\n$ kd-yolo {shlex.join(arguments)}', flush=True)
    command = [sys.executable, '-m', 'kd_yolo_ros.cli.main', *arguments]
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status)


if __name__ == '__main__':
    main()
