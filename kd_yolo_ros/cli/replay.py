# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo replay`: a recorded drive through the real inference node, judged and drawn."""

from __future__ import annotations

import math
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import click

from kd_yolo_ros.cli.accuracy import print_accuracy
from kd_yolo_ros.cli.common import (
    EXISTING,
    artifact_option,
    check_out,
    common_options,
    csv_option,
    model_options,
    print_table,
    progress,
)
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import MAX_SIDE

if TYPE_CHECKING:
    from kd_yolo_ros.detections import Detections
    from kd_yolo_ros.metrics.coco_ap import CocoAP

VIDEO = 'annotated.mp4'


def _check_rate(_: click.Context, __: click.Parameter, rate: float) -> float:
    if not math.isfinite(rate):  # what no range of click's refuses
        raise click.BadParameter(f'{rate} is not a finite number.')
    return rate


@click.command()
@click.argument('source')
@artifact_option
@click.option(
    '--mode',
    type=click.Choice(['live', 'lossless']),
    default='live',
    show_default=True,
    help='live: at the recorded rate; lossless: each picture after the answer to the last.',
)
@click.option(
    '--rate',
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    callback=_check_rate,
    help='Of live.',
)
@click.option('--topic', help="A bag's image topic, where it has several.")
@click.option(
    '--size',
    nargs=2,
    type=click.IntRange(1, MAX_SIDE),
    metavar='WIDTH HEIGHT',
    help='Rescale the pictures.',
)
@click.option(
    '--ground-truth',
    help="COCO json, YOLO folder, or a bag's Detection2DArray topic; a data set brings its own.",
)
@click.option('--class-map', type=EXISTING, help="YAML: data set's class to the model's.")
@click.option(
    '--out',
    type=click.Path(path_type=Path),
    default='runs/replay',
    show_default=True,
    help='Folder for the report and the video.',
)
@click.option('--video/--no-video', default=True, show_default=True, help='Write the video.')
@model_options
@csv_option
@common_options
def replay(
    source: str,
    artifact: Path,
    mode: str,
    rate: float,
    topic: Optional[str],
    size: Optional[Tuple[int, int]],
    ground_truth: Optional[str],
    class_map: Optional[Path],
    out: Path,
    video: bool,
    runtime: str,
    provider: Optional[str],
    precision: str,
    threads: Optional[int],
    csv_file: Path,
    json_file: Optional[Path],
) -> None:
    """Play SOURCE (bag, video, pictures or data set) into the inference node over DDS."""
    from kd_yolo_ros.exports import open_model
    from kd_yolo_ros.frames import open_source
    from kd_yolo_ros.metrics.class_map import knows_masks, map_classes
    from kd_yolo_ros.metrics.coco_ap import CocoAP
    from kd_yolo_ros.metrics.latency import percentiles
    from kd_yolo_ros.metrics.report import append_csv, new_report, write_json, write_report
    from kd_yolo_ros.nodes import NODES
    from kd_yolo_ros.selection import select

    # Everything that can be refused is refused before a node is started.
    loaded = open_model(artifact)
    names, task = loaded.manifest.class_names, loaded.manifest.task
    loaded.model_path(select(loaded.manifest, runtime, precision, provider).file)
    frames = open_source(source, size=size, topic=topic)
    if frames.length is None:
        raise UserError(f'{source} has no end; start the camera_node and the {NODES[task]}_node.')
    if video and Path(source).resolve() == (out / VIDEO).resolve():
        raise UserError(
            f'{out / VIDEO} is what is read, and would be overwritten; give another --out.'
        )
    check_out(out, ['report.json', VIDEO])
    truth = _ground_truth(source, ground_truth)
    ap = None
    wants_masks = task == 'segment' and video
    if truth:
        mapping = map_classes(names, truth, class_map)
        ap = CocoAP(truth, names, mapping, loaded.manifest.thresholds.score)
        if task == 'segment' and knows_masks(truth.pictures.values(), mapping):
            truth.check_masks()
            wants_masks = True

    parameters: Dict[str, Any] = {
        'artifact': str(artifact.resolve()),
        'runtime': runtime,
        'provider': provider or '',
        'precision': precision,
        'threads': threads or 0,
        'autostart': True,
        'use_sim_time': True,
    }
    if truth and mode == 'lossless':
        parameters.update(_ap_parameters())
    played, process = _play(frames, names, task, wants_masks, parameters, mode, rate)
    values = played.diagnostics
    report = new_report(
        'replay',
        artifact=loaded.manifest.name,
        source=frames.description,
        mode=mode,
        rate=rate if mode == 'live' else None,
        runtime=values['runtime'].split()[0],
        provider=values['provider'],
        precision=values['precision'],
        threads=int(values['threads']),
        frames=played.frames,
        foreign_answers=played.foreign,
        latency_ms=percentiles(played.latencies_ms),
        latency_series={'time_s': played.sent_s, 'latency_ms': played.latencies_ms},
        stages_ms={
            stage: percentiles(samples) for stage, samples in played.stages_ms.items() if samples
        },
        **process,
    )
    if ap or video:
        _look_back(frames, played, names, ap, wants_masks, out if video else None)
    if ap:
        report['ap'] = ap.evaluate(details=True)
        report['missing_classes'] = ap.class_map.missing
    report_path = write_report(out, report)
    if json_file:
        write_json(json_file, report)
    _print(report)
    click.echo(f'Report: {report_path}')
    if video:
        click.echo(f'Video:  {out / VIDEO}')
    append_csv(csv_file, report)


def _ground_truth(source: str, given: Optional[str]) -> Any:
    """Read the ground truth that is named, or that a data set brings along."""
    from kd_yolo_ros.metrics.ground_truth import read_bag, read_ground_truth

    path = Path(source)
    if given is not None:
        if not Path(given).exists() and given.startswith('/') and path.exists():
            return read_bag(path, given)
        return read_ground_truth(given)
    if (path / 'images').is_dir() and (path / 'labels').is_dir():
        return read_ground_truth(path)
    return None


def _ap_parameters() -> Dict[str, Any]:
    """Return the node's parameters for measuring AP."""
    from kd_yolo_ros.manifest import AP_THRESHOLDS

    return {
        'score_threshold': AP_THRESHOLDS.score,
        'iou_threshold': AP_THRESHOLDS.iou,
        'max_detections': AP_THRESHOLDS.max_detections,
        'multi_label': AP_THRESHOLDS.multi_label,
    }


def _play(
    frames: Any,
    names: Any,
    task: str,
    masks: bool,
    parameters: Dict[str, Any],
    mode: str,
    rate: float,
) -> Tuple[Any, Dict[str, Any]]:
    """Start the node, play everything into it, end it; return what came back and its process."""
    try:
        from kd_yolo_ros.nodes.player import NAMESPACE, Player
    except ImportError as error:
        raise UserError(
            f'replay needs ROS 2, and {error.name} is not there; source a ROS distribution with '
            f'vision_msgs, or use the environment that make setup builds.'
        ) from None
    from kd_yolo_ros.cli.node_process import NodeProcess
    from kd_yolo_ros.nodes import NODES

    compressed = next(iter(frames)).message_type == 'sensor_msgs/msg/CompressedImage'
    parameters['image_transport'] = 'compressed' if compressed else 'raw'
    with NodeProcess(f'{NODES[task]}_node', parameters, NAMESPACE) as node, Player(
        names, compressed, node.alive, task, masks
    ) as player:
        player.wait_until_active()
        node.measure()
        cpu_before, started = node.cpu_s, perf_counter()
        playing = (
            player.play_live(frames, rate) if mode == 'live' else player.play_lossless(frames)
        )
        for _ in progress(playing, f'replay {mode}', len(frames)):
            pass
        node.measure()
        seconds = perf_counter() - started
        process = {
            'start_s': player.played.start_s,
            'peak_rss_mb': node.peak_rss_mb,
            'cpu_share': (node.cpu_s - cpu_before) / seconds,
        }
        return player.played, process


def _look_back(
    frames: Any,
    played: Any,
    names: Any,
    ap: Optional[CocoAP],
    masks: bool,
    out: Optional[Path],
) -> None:
    """Go through the source again with the answers: judge them, draw the video."""
    import contextlib

    from kd_yolo_ros.drawing import draw
    from kd_yolo_ros.frames.writer import VideoWriter

    with contextlib.ExitStack() as stack:
        writer = None
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            writer = stack.enter_context(VideoWriter(out / VIDEO, frames.fps))
        for frame in progress(frames, 'draw and judge', len(frames)):
            try:
                picture = frame.image
            except UserError:
                continue  # the node has skipped it too, and counted it
            height, width = picture.shape[:2]
            answer = _answer(played, frame.name, (height, width) if masks else None)
            key = ap.truth.find(frame) if ap else None
            if ap and key is not None:
                ap.process(key, answer, (width, height))
            if writer is not None:
                writer.write(draw(picture, answer, names))


def _answer(played: Any, name: str, size: Optional[Tuple[int, int]]) -> Detections:
    """Return a frame's detections, with their masks where these were collected.

    Args:
        played: what came back.
        name: of the frame; nothing was found where no answer came to it.
        size: (height, width) of the frame, where masks were collected.
    """
    import dataclasses
    import zlib

    import numpy as np

    from kd_yolo_ros.detections import Detections
    from kd_yolo_ros.masks import Masks
    from kd_yolo_ros.packed_masks import unpack_masks

    answer = played.answers.get(name)
    if answer is None:
        masks = Masks(size, np.zeros((0, 2), np.int64), ()) if size else None
        return dataclasses.replace(Detections.empty(), masks=masks)
    packed = played.masks.get(name)
    if packed is None:
        return answer
    return dataclasses.replace(answer, masks=unpack_masks(zlib.decompress(packed)))


def _print(report: Dict[str, Any]) -> None:
    frames = report['frames']
    print_table(
        f'{report["artifact"]}, {report["runtime"]} {report["precision"]}, {report["mode"]}',
        list(frames),
        [list(frames.values())],
    )
    rows: List[List[Any]] = [['send to answer', *_row(report['latency_ms'])]]
    rows += [[stage, *_row(summary)] for stage, summary in report['stages_ms'].items()]
    print_table('latency (ms)', ['stage', 'p50', 'p95', 'p99'], rows)
    rss = report['peak_rss_mb']
    click.echo(
        f'Node: active after {report["start_s"]:.2f} s, peak memory {rss:.0f} MB, '
        f'{100 * report["cpu_share"]:.0f} % of a core.'
    )
    if 'ap' in report:
        print_accuracy(f'accuracy on {report["ap"]["images"]} pictures', report['ap'])


def _row(summary: Dict[str, Any]) -> List[Any]:
    return [summary['p50'], summary['p95'], summary['p99']]
