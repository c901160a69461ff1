# SPDX-License-Identifier: Apache-2.0
"""What every test shares: the real data, and a ROS graph of its own for each test process."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from artifacts import write_tiny_artifact

REPOSITORY = Path(__file__).resolve().parent.parent


def _isolate_ros() -> None:
    """Keep this process and its children apart from every other ROS graph.

    Runs at import, because rclpy reads the environment once. A pytest-xdist worker imports
    this file in its own process and so gets its own domain. 0-101 are the domains whose ports
    lie outside Linux' ephemeral range (docs.ros.org, "The ROS_DOMAIN_ID").
    """
    os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)  # where the ROS wheels have their index
    os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 101)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    # Fast DDS reads it for the first node of a process and never again.
    profile = REPOSITORY / 'kd_yolo_ros' / 'nodes' / 'fastdds_large_images.xml'
    os.environ['FASTRTPS_DEFAULT_PROFILES_FILE'] = str(profile)
    logs = tempfile.mkdtemp(prefix='kd_yolo_ros_log_')
    atexit.register(shutil.rmtree, logs, ignore_errors=True)
    os.environ['ROS_LOG_DIR'] = logs


def _hear_ctrl_c() -> None:
    """Let what the tests start be interrupted.

    A script that starts the tests in the background (`make test &`) has them ignore SIGINT, and
    every process takes that over from the one that starts it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _share_cores() -> None:
    """Give each pytest-xdist worker its part of the cores, before a runtime asks for all of them.

    Threads that spin while they wait would take the other workers' time.
    """
    workers = int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', '1'))
    if workers > 1:
        threads = max(1, len(os.sched_getaffinity(0)) // workers)
        os.environ.setdefault('OMP_NUM_THREADS', str(threads))
        os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


_isolate_ros()
_hear_ctrl_c()
_share_cores()


@pytest.fixture(scope='session')
def data_dir() -> Path:
    """The folder with real weights, drives and data sets; skips the test where there is none."""
    named = os.environ.get('KD_YOLO_DATA')
    folder = Path(named) if named else REPOSITORY.parent / 'shared' / 'data'
    if not folder.is_dir():
        pytest.skip(f'no real data: {folder} does not exist (set KD_YOLO_DATA)')
    return folder.resolve()


@pytest.fixture(scope='session')
def tiny_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that needs no data, with known answers (see artifacts.py); not to be changed."""
    return write_tiny_artifact(tmp_path_factory.mktemp('tiny') / 'tiny')


@pytest.fixture(scope='session')
def yolov5n_artifact(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The genuine YOLOv5n as an FP32 artifact at 640x640; not to be changed."""
    from kd_yolo_ros.artifact import write_artifact
    from kd_yolo_ros.manifest import Head, InputSpec, Manifest, ModelFile
    from kd_yolo_training.compression.export import export_onnx
    from kd_yolo_training.models.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(data_dir / 'weights' / 'yolov5n.pt')
    folder = tmp_path_factory.mktemp('yolov5n')
    export_onnx(checkpoint.build(), folder / 'model.onnx', 640, 640)
    anchors = tuple(
        tuple(tuple(anchor) for anchor in level) for level in checkpoint.anchors.tolist()
    )
    file = ModelFile('model.onnx', ('openvino', 'onnxruntime'), 'fp32', InputSpec(640, 640))
    manifest = Manifest(
        name='yolov5n',
        task='detect',
        class_names=tuple(checkpoint.names),
        head=Head('anchor_grid', tuple(checkpoint.strides), anchors),
        files=(file,),
    )
    sources = {'model.onnx': folder / 'model.onnx'}
    return write_artifact(folder / 'yolov5n', manifest, sources).folder
