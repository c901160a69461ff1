# SPDX-License-Identifier: Apache-2.0
"""launch/detector.launch.py through the real launch system, where there is one."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import pytest
from artifacts import CLASS_NAMES, scene
from ros_peer import Peer

launch = pytest.importorskip('launch', reason='launch has no wheels: it needs a ROS distribution')
pytest.importorskip('launch_ros', reason='launch_ros has no wheels: it needs a ROS distribution')

FILE = Path(__file__).parents[2] / 'launch' / 'detector.launch.py'


def description() -> launch.LaunchDescription:
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    context = launch.LaunchContext()
    return PythonLaunchDescriptionSource(str(FILE)).get_launch_description(context)


def test_every_argument_is_described() -> None:
    arguments = description().get_launch_arguments()
    assert {'artifact', 'runtime', 'precision', 'image', 'source'} <= {a.name for a in arguments}
    assert all(argument.description for argument in arguments)
    assert all(argument.default_value is not None for argument in arguments)


def test_the_detector_and_the_camera_start_and_stop(tiny_artifact: Path, tmp_path: Path) -> None:
    """A camera on a folder of pictures, the detector behind it, in a namespace of their own."""
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    try:
        get_package_prefix('kd_yolo_ros')
    except PackageNotFoundError:
        pytest.skip('kd_yolo_ros is not in the ament index: build it with colcon and source that')
    for number in range(400):  # sixteen seconds, in which the detector starts
        cv2.imwrite(str(tmp_path / f'{number:03d}.png'), scene(scale=2)[0])
    arguments = {
        'artifact': str(tiny_artifact),
        'runtime': 'onnxruntime',
        'namespace': 'front',
        'image': 'picture',
        'source': str(tmp_path),
    }
    include = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(FILE)), launch_arguments=arguments.items()
    )
    exits: list[int] = []

    def ended(event: launch.Event, _: launch.LaunchContext) -> None:
        exits.append(event.returncode)

    handler = launch.event_handlers.OnProcessExit(on_exit=ended)
    service = launch.LaunchService(argv=[])
    service.include_launch_description(
        launch.LaunchDescription([include, launch.actions.RegisterEventHandler(handler)])
    )

    def watch() -> None:
        try:
            with Peer(namespace='/front') as peer:
                peer.wait(lambda: peer.detections, 'detections from the launched nodes')
                found = peer.detections[-1].detections
                seen.update(d.results[0].hypothesis.class_id for d in found)
        finally:
            service.shutdown()

    seen: set[str] = set()
    watcher = threading.Thread(target=watch)
    watcher.start()
    # launch insists on the main thread, for its signals.
    assert service.run() == 0
    watcher.join()
    assert seen == set(CLASS_NAMES)
    assert exits == [0, 0]
