#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Put a quantized artifact into the package: its INT8 files, its recipe and its report.

    .venv/bin/python scripts/bundle_model.py runs/street/artifact \
        --recipe runs/street/recipe.yaml --report runs/street/compare/compare.md

The manifest notes the recipe; where the weights, the choice of them and the measured accuracy
come from stands there already. The FP32 file stays behind, and so do the report's plots: two
runtimes have to fit into 5 MB.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import tempfile
from pathlib import Path

from kd_yolo_ros.artifact import load_artifact, sha256_of, write_artifact
from kd_yolo_ros.bundled import DEFAULT
from kd_yolo_ros.errors import UserError

LIMIT_MB = 5.0
UNKNOWN = 'unknown'  # the licence of what was exported without --licence
RUNTIMES = {'onnxruntime', 'openvino'}


def main() -> None:
    """Bundle what the command line names, or leave with one sentence."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('artifact', type=Path, help='of `kd-yolo quantize --data`')
    parser.add_argument('--recipe', type=Path, required=True, help='of `kd-yolo recipe run`')
    parser.add_argument('--report', type=Path, required=True, help='of `kd-yolo compare`, .md')
    parser.add_argument('--out', type=Path, default=DEFAULT)
    given = parser.parse_args()
    try:
        bundle(given.artifact, given.recipe, given.report, given.out)
    except UserError as error:
        sys.exit(f'Error: {error}')


def bundle(artifact: Path, recipe: Path, report: Path, out: Path) -> None:
    """Write the folder of a bundled model, whole or not at all.

    Args:
        artifact: with INT8 files for all RUNTIMES, their accuracy measured.
        recipe: that made it.
        report: what came of the recipe, a page whose plots are left out.
        out: folder of the model; one that is there is replaced.

    Raises:
        UserError: something of that is missing, or the folder would get too large.
    """
    original = load_artifact(artifact)
    if original.manifest.licence == UNKNOWN:
        raise UserError(f'{artifact} has no licence; export its checkpoint with --licence.')
    files = tuple(file for file in original.manifest.files if file.precision == 'int8')
    measured = {entry['runtime'] for file in files for entry in file.accuracy}
    if RUNTIMES - measured:
        raise UserError(
            f'{artifact} has no INT8 file of measured accuracy for '
            f'{", ".join(sorted(RUNTIMES - measured))}; quantize it with --data.'
        )
    for file in (recipe, report):
        if not file.is_file():
            raise UserError(f'{file} does not exist.')
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / 'report.md'
        page.write_text(without_plots(report.read_text(encoding='utf-8')), encoding='utf-8')
        sources = {'recipe.yaml': recipe, page.name: page}
        for model in files:
            original.model_path(model)  # its parts are what the manifest says
            sources.update({name: original.folder / name for name in model.sha256})
        size_mb = sum(file.stat().st_size for file in sources.values()) / 1e6
        if size_mb > LIMIT_MB:
            raise UserError(f'The model would take {size_mb:.1f} MB of at most {LIMIT_MB}.')
        manifest = dataclasses.replace(
            original.manifest,
            name=out.name,
            files=files,
            provenance={
                **original.manifest.provenance,
                'recipe': {'file': 'recipe.yaml', 'sha256': sha256_of(recipe)},
            },
        )
        write_artifact(out, manifest, sources)
    print(f'{out}: {size_mb:.2f} MB')


def without_plots(page: str) -> str:
    """Return a Markdown page without the lines that show a picture from beside it."""
    return re.sub(r'^!\[.*\]\(.*\)\n\n?', '', page, flags=re.MULTILINE)


if __name__ == '__main__':
    main()
