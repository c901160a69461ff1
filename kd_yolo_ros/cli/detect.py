# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo detect`: pictures or a video with what was found drawn in, and a JSON of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

import click

from kd_yolo_ros.cli.common import (
    artifact_option,
    check_out,
    common_options,
    model_options,
    progress,
)
from kd_yolo_ros.errors import UserError

if TYPE_CHECKING:
    from kd_yolo_ros.detections import Detections

RESULT = 'detections.json'


@click.command()
@click.argument('source')
@artifact_option
@click.option('--out', required=True, type=click.Path(path_type=Path), help='Folder to write to.')
@click.option('--score', type=click.FloatRange(0, 1), help="Lowest score; the artifact's own.")
@click.option('--iou', type=click.FloatRange(0, 1), help='Overlap for one object; likewise.')
@model_options
@common_options
def detect(
    source: str,
    artifact: Path,
    out: Path,
    score: Optional[float],
    iou: Optional[float],
    runtime: str,
    provider: Optional[str],
    precision: str,
    threads: Optional[int],
    json_file: Optional[Path],
) -> None:
    """Detect objects in SOURCE: a picture, a folder, a data set, a video or a bag.

    A segmentation model's masks are drawn too, and stand in the JSON as COCO's compressed run
    lengths.
    """
    import dataclasses

    from kd_yolo_ros.cli.model_text import model_text
    from kd_yolo_ros.drawing import draw
    from kd_yolo_ros.frames import open_source
    from kd_yolo_ros.frames.pictures import Pictures
    from kd_yolo_ros.frames.writer import PictureWriter, VideoWriter
    from kd_yolo_ros.metrics.report import new_report, write_json
    from kd_yolo_ros.nodes import NODES
    from kd_yolo_ros.predictor import Predictor

    predictor = Predictor(artifact, runtime, precision, threads, provider=provider)
    own = predictor.thresholds
    predictor.thresholds = dataclasses.replace(
        own,
        score=own.score if score is None else score,
        iou=own.iou if iou is None else iou,
    )
    predictor.warm_up()
    click.echo(model_text(predictor.manifest))
    frames = open_source(source)
    if frames.length is None:
        raise UserError(
            f'{source} has no end; watch it with the camera_node and the '
            f'{NODES[predictor.manifest.task]}_node instead.'
        )
    video = out / 'annotated.mp4'
    read, written = (frames.folder, out) if isinstance(frames, Pictures) else (Path(source), video)
    if read.resolve() == written.resolve():
        raise UserError(
            f'{written} is what is read, and would be overwritten; give another --out.'
        )
    check_out(out, [RESULT])
    out.mkdir(parents=True, exist_ok=True)
    writer: Any = (
        PictureWriter(out) if isinstance(frames, Pictures) else VideoWriter(video, frames.fps)
    )
    found: List[Dict[str, Any]] = []
    skipped: List[List[str]] = []
    with writer:
        for frame in progress(frames, 'detect', len(frames)):
            try:
                picture = frame.image
            except UserError as error:
                skipped.append([frame.name, str(error)])
                continue
            detections = predictor.predict(picture)
            found.append(
                {
                    'name': frame.name,
                    'stamp_ns': frame.stamp_ns,
                    'objects': _objects(detections, predictor.class_names),
                }
            )
            writer.write(draw(picture, detections, predictor.class_names), frame.name)
    skipped += [list(item) for item in frames.skipped]  # after the pass, which may find more
    report = new_report(
        'detect',
        artifact=predictor.manifest.name,
        **asdict(predictor.running),
        frames=found,
        skipped=skipped,
    )
    write_json(out / RESULT, report)
    if json_file:
        write_json(json_file, report)
    objects = sum(len(item['objects']) for item in found)
    click.echo(f'{objects} objects in {len(found)} frames; {len(skipped)} frames skipped.')
    click.echo(f'Written: {out / "detections.json"} and {writer.description}')


def _objects(detections: Detections, names: Sequence[str]) -> List[Dict[str, Any]]:
    """Return what stands in the JSON for each object: a box in pixels, and maybe a mask."""
    from kd_yolo_ros.metrics.rle import encode

    objects: List[Dict[str, Any]] = [
        {'box': box.tolist(), 'score': score, 'class': names[class_id]}
        for box, score, class_id in detections
    ]
    if detections.masks is not None:
        for one, rle in zip(objects, encode(detections.masks).rles()):
            one['segmentation'] = {**rle, 'counts': rle['counts'].decode('ascii')}
    return objects
