# SPDX-License-Identifier: Apache-2.0
"""Writes small rosbag2 recordings for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from kd_yolo_ros.frames.bag import _VISION_MSGS

START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 40_000_000
FRAME_ID = 'front_camera_optical_frame'


def typestore() -> Any:
    """Return the definitions of ROS 2 and of vision_msgs."""
    store = get_typestore(Stores.LATEST)
    for name, text in _VISION_MSGS.items():
        store.register(get_types_from_msg(text, f'vision_msgs/msg/{name}'))
    return store


STORE = typestore()
TYPES = STORE.types


def header(stamp_ns: int, frame_id: str = FRAME_ID) -> Any:
    """Return a std_msgs/Header."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    time = TYPES['builtin_interfaces/msg/Time'](seconds, nanoseconds)
    return TYPES['std_msgs/msg/Header'](time, frame_id)


def image(picture: np.ndarray, stamp_ns: int) -> Any:
    """Return a bgr8 sensor_msgs/Image."""
    height, width = picture.shape[:2]
    data = np.ascontiguousarray(picture).reshape(-1)
    return TYPES['sensor_msgs/msg/Image'](
        header(stamp_ns), height, width, 'bgr8', 0, 3 * width, data
    )


def compressed(data: bytes, stamp_ns: int) -> Any:
    """Return a sensor_msgs/CompressedImage of JPEG data."""
    return TYPES['sensor_msgs/msg/CompressedImage'](
        header(stamp_ns), 'jpeg', np.frombuffer(data, np.uint8)
    )


def detections(objects: Sequence[Any], stamp_ns: int) -> Any:
    """Return a vision_msgs/Detection2DArray of (class, (x1, y1, x2, y2))."""

    def of(name: str) -> Any:
        return TYPES[f'vision_msgs/msg/{name}']

    geometry = TYPES['geometry_msgs/msg/PoseWithCovariance'](
        TYPES['geometry_msgs/msg/Pose'](
            TYPES['geometry_msgs/msg/Point'](0.0, 0.0, 0.0),
            TYPES['geometry_msgs/msg/Quaternion'](0.0, 0.0, 0.0, 1.0),
        ),
        np.zeros(36),
    )
    listed = []
    for class_id, (x1, y1, x2, y2) in objects:
        hypothesis = of('ObjectHypothesisWithPose')(
            of('ObjectHypothesis')(class_id, 1.0), geometry
        )
        centre = of('Pose2D')(of('Point2D')((x1 + x2) / 2, (y1 + y2) / 2), 0.0)
        box = of('BoundingBox2D')(centre, float(x2 - x1), float(y2 - y1))
        listed.append(of('Detection2D')(header(stamp_ns), [hypothesis], box, ''))
    return of('Detection2DArray')(header(stamp_ns), listed)


def write_bag(path: Path, topics: Any, storage: str = 'sqlite3') -> Path:
    """Write {topic: (message type, [(time in ns, message or CDR bytes)])} to a bag folder."""
    plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        rows = []
        for topic, (message_type, messages) in topics.items():
            connection = writer.add_connection(topic, message_type, typestore=STORE)
            for time_ns, message in messages:
                raw = message if isinstance(message, bytes) else None
                raw = STORE.serialize_cdr(message, message_type) if raw is None else raw
                rows.append((time_ns, connection, bytes(raw)))
        for time_ns, connection, raw in sorted(rows, key=lambda row: row[0]):
            writer.write(connection, time_ns, raw)
    return path
