# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data bag`: labelled pictures as a rosbag2 recording with ground truth."""

from __future__ import annotations

from pathlib import Path

import click

from kd_yolo_ros.cli.common import EXISTING, common_options, print_table, progress

from .picture_size import PictureSize

SHOWN = 10


@click.command()
@click.argument('data', type=EXISTING)
@click.option('--split', help='Of a prepared data set, or of leftImg8bit_sequence.')
@click.option('--out', type=EXISTING, required=True, help='Folder of the bag.')
@click.option('--fps', type=click.FloatRange(min=0.1), default=17.0, show_default=True)
@click.option('--size', type=PictureSize(), help='Rescale to WIDTHxHEIGHT.')
@click.option('--compressed', is_flag=True, help='CompressedImage; PNG and JPEG as they are.')
@click.option(
    '--storage', type=click.Choice(['mcap', 'sqlite3']), default='mcap', show_default=True
)
@click.option('--frame-id', help='Of the camera.  [default: camera_optical_frame]')
@common_options
def bag(
    data: Path,
    split: str | None,
    out: Path,
    fps: float,
    size: tuple[int, int] | None,
    compressed: bool,
    storage: str,
    frame_id: str | None,
    json_file: Path | None,
) -> None:
    """Write DATA as a bag that `kd-yolo replay` and `evaluate` judge a model by.

    DATA is a prepared data set, a COCO json, a YOLO folder, or a Cityscapes root with
    leftImg8bit_sequence. Labelled frames get a vision_msgs/Detection2DArray; crowd regions are
    left out of it, so what a model finds in them counts against it. An unlabelled frame gets no
    message and is not judged; a labelled one without objects gets an empty one.
    """
    from kd_yolo_ros.frames.frame import DEFAULT_FRAME_ID
    from kd_yolo_ros.metrics.report import new_report, write_json

    from ..data.bag import TRUTH_TOPIC, write_bag
    from ..data.drive import read_drive

    drive = read_drive(data, split)
    written = write_bag(
        out, drive, fps, size, compressed, storage, frame_id or DEFAULT_FRAME_ID, progress=progress
    )
    problems = [*drive.problems, *written.problems]
    size_mb = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    if json_file:
        write_json(
            json_file,
            new_report(
                'data bag',
                data=drive.description,
                frames=written.frames,
                judged=written.judged,
                objects=written.objects,
                crowd_regions_left_out=written.crowds,
                size_mb=size_mb,
                problems=[{'file': str(one.file), 'what': one.what} for one in problems],
            ),
        )
    print_table(
        f'{drive.description} in {out}',
        ['frames', 'with ground truth', 'objects', 'crowd regions left out', 'MB'],
        [[written.frames, written.judged, written.objects, written.crowds, size_mb]],
    )
    click.echo(
        f'kd-yolo replay {out} --ground-truth {TRUTH_TOPIC} --artifact … judges a model by it.'
    )
    if problems:
        click.echo(f'{len(problems)} problems:')
        for problem in problems[:SHOWN]:
            click.echo(f'  {problem.file}: {problem.what}')
