# SPDX-License-Identifier: Apache-2.0
"""A drive as a rosbag2 recording: pictures, camera_info, and ground truth to be judged by.

Written through `rosbags`, without ROS.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.bag import COMPRESSED_IMAGE, DETECTIONS, IMAGE, message_types
from kd_yolo_ros.frames.frame import DEFAULT_FRAME_ID
from kd_yolo_ros.frames.pictures import read_picture

from .dataset import Picture, Problem
from .drive import Drive, DriveFrame, intrinsics

CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
TOPIC = '/camera'
TRUTH_TOPIC = '/ground_truth/detections'
START_NS = 1_700_000_000_000_000_000  # of no meaning, but not 0: that would be no stamp
_PAUSE_NS = 1_000_000_000  # between two pieces of a drive that do not follow each other
_KEPT_FORMATS = {'.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg'}


@dataclass
class Written:
    """What a bag holds.

    Attributes:
        frames: pictures.
        judged: those with ground truth, be it an empty one.
        objects: in the ground truth.
        crowds: regions left out of it: a Detection2DArray cannot say "ignore this".
        problems: pictures that could not be read, left out.
    """

    frames: int = 0
    judged: int = 0
    objects: int = 0
    crowds: int = 0
    problems: list[Problem] = field(default_factory=list)


def write_bag(
    out: Path,
    drive: Drive,
    fps: float = 17.0,
    size: tuple[int, int] | None = None,
    compressed: bool = False,
    storage: str = 'mcap',
    frame_id: str = DEFAULT_FRAME_ID,
    topic: str = TOPIC,
    progress: Callable[[Iterable, str, int], Iterable] | None = None,
) -> Written:
    """Write a bag: whole, or not at all.

    Topics are TOPIC/image_raw (Image, bgr8) or TOPIC/image_raw/compressed (CompressedImage),
    TOPIC/camera_info, and TRUTH_TOPIC (Detection2DArray) with a message for every labelled
    frame, an empty one where nothing is in it. Frames that nobody labelled have none, so
    `kd-yolo replay` does not judge them. Boxes are in pixels of the pictures in the bag.

    Args:
        out: the bag's folder; it must not be there yet.
        drive: what to write.
        fps: pictures per second of the header stamps; between two snippets lies one second.
        size: (width, height) to rescale to.
        compressed: PNG and JPEG files as they are, all else as PNG.
        storage: 'mcap' or 'sqlite3'.
        frame_id: of the camera's optical frame.
        topic: namespace of the camera.
        progress: as `kd_yolo_ros.cli.common.progress`.

    Raises:
        UserError: `out` exists or cannot be written, or no picture can be read.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer

    if out.exists():
        raise UserError(f'{out} exists already; delete it, or choose another name.')
    out = out.resolve()
    scratch = out.with_name(f'.{out.name}.{os.getpid()}')
    messages = _Messages(frame_id)
    written = Written()
    plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
    shown = drive.frames if progress is None else progress(drive.frames, 'bag', len(drive.frames))
    try:
        scratch.mkdir(parents=True)
        # The name of the bag is in its metadata, so the bag lies in the scratch folder.
        with Writer(scratch / out.name, version=9, storage_plugin=plugin) as writer:
            add = _Recorder(writer, messages, topic, compressed)
            stamp, last = START_NS, ''
            for number, frame in enumerate(shown):
                if number:
                    apart = frame.snippet != last
                    stamp += _PAUSE_NS if apart else round(1e9 / fps)
                last = frame.snippet
                try:
                    add.frame(frame, drive.names, size, stamp, written)
                except UserError as error:
                    written.problems.append(Problem(frame.file, f'{error}; left out'))
        if not written.frames:
            raise UserError(f'none of the {len(drive.frames)} pictures can be read.')
        os.replace(scratch / out.name, out)
    except OSError as error:
        raise UserError(f'{out} cannot be written: {error.strerror or error}.') from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return written


class _Recorder:
    """Puts the messages of each frame on their topics."""

    def __init__(self, writer: Any, messages: _Messages, topic: str, compressed: bool) -> None:
        def connect(name: str, kind: str) -> tuple[Any, str]:
            return writer.add_connection(name, kind, typestore=messages.store), kind

        self._writer, self._messages, self._compressed = writer, messages, compressed
        if compressed:
            self._images = connect(f'{topic}/image_raw/compressed', COMPRESSED_IMAGE)
        else:
            self._images = connect(f'{topic}/image_raw', IMAGE)
        self._info = connect(f'{topic}/camera_info', CAMERA_INFO)
        self._truth = connect(TRUTH_TOPIC, DETECTIONS)

    def frame(
        self,
        frame: DriveFrame,
        names: tuple[str, ...],
        size: tuple[int, int] | None,
        stamp: int,
        written: Written,
    ) -> None:
        """Write a frame; UserError where its picture cannot be read."""
        picture = read_picture(frame.file)
        matrix = intrinsics(frame.file, picture.shape[1::-1])
        if size is not None and picture.shape[1::-1] != size:
            factor = np.array(size) / picture.shape[1::-1]
            matrix = np.diag([*factor, 1]) @ matrix
            smaller = factor[0] < 1
            picture = cv2.resize(
                picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
            )
            untouched = False
        else:
            untouched = True
        make, (height, width) = self._messages, picture.shape[:2]
        if self._compressed:
            kind = _KEPT_FORMATS.get(frame.file.suffix.lower()) if untouched else None
            raw = frame.file.read_bytes() if kind else cv2.imencode('.png', picture)[1].tobytes()
            self._put(self._images, make.compressed(raw, kind or 'png', stamp), stamp)
        else:
            self._put(self._images, make.image(picture, stamp), stamp)
        self._put(self._info, make.camera_info((width, height), matrix, stamp), stamp)
        written.frames += 1
        if frame.labels is not None:
            objects = _objects(frame.labels, names, (width, height))
            self._put(self._truth, make.detections(objects, stamp), stamp)
            written.judged += 1
            written.objects += len(objects)
            written.crowds += int(frame.labels.crowd.sum())

    def _put(self, where: tuple[Any, str], message: Any, stamp: int) -> None:
        connection, kind = where
        data = self._messages.store.serialize_cdr(message, kind)
        self._writer.write(connection, stamp, bytes(data))


def _objects(
    labels: Picture, names: tuple[str, ...], size: tuple[int, int]
) -> list[tuple[str, np.ndarray]]:
    """Return (class, x1 y1 x2 y2 in pixels) of all but crowd regions."""
    boxes = labels.boxes.astype(np.float64) * (*size, *size)
    return [
        (names[class_id], box)
        for class_id, box, crowd in zip(labels.class_ids, boxes, labels.crowd, strict=True)
        if not crowd
    ]


class _Messages:
    """Makes the messages of one camera."""

    def __init__(self, frame_id: str) -> None:
        self.store = message_types()
        self._frame_id = frame_id

    def _type(self, name: str) -> Any:
        return self.store.types[name]

    def _header(self, stamp: int) -> Any:
        time = self._type('builtin_interfaces/msg/Time')(*divmod(stamp, 1_000_000_000))
        return self._type('std_msgs/msg/Header')(time, self._frame_id)

    def image(self, picture: np.ndarray, stamp: int) -> Any:
        """Return an Image of an (H, W, 3) uint8 BGR picture."""
        height, width = picture.shape[:2]
        data = np.ascontiguousarray(picture).reshape(-1)
        return self._type(IMAGE)(self._header(stamp), height, width, 'bgr8', 0, 3 * width, data)

    def compressed(self, data: bytes, kind: str, stamp: int) -> Any:
        """Return a CompressedImage of PNG or JPEG data."""
        raw = np.frombuffer(data, np.uint8)
        return self._type(COMPRESSED_IMAGE)(self._header(stamp), kind, raw)

    def camera_info(self, size: tuple[int, int], matrix: np.ndarray, stamp: int) -> Any:
        """Return the CameraInfo of a rectified camera with this matrix (3, 3)."""
        width, height = size
        return self._type(CAMERA_INFO)(
            header=self._header(stamp),
            height=height,
            width=width,
            distortion_model='plumb_bob',
            d=np.zeros(5),
            k=matrix.reshape(-1),
            r=np.eye(3).reshape(-1),
            p=np.hstack([matrix, np.zeros((3, 1))]).reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=self._type('sensor_msgs/msg/RegionOfInterest')(0, 0, 0, 0, False),
        )

    def detections(self, objects: list[tuple[str, np.ndarray]], stamp: int) -> Any:
        """Return a Detection2DArray of (class, x1 y1 x2 y2)."""
        made = [self._detection(name, box, stamp) for name, box in objects]
        return self._type(DETECTIONS)(self._header(stamp), made)

    def _detection(self, name: str, box: np.ndarray, stamp: int) -> Any:
        x1, y1, x2, y2 = box.tolist()
        pose = self._type('geometry_msgs/msg/PoseWithCovariance')(
            self._type('geometry_msgs/msg/Pose')(
                self._type('geometry_msgs/msg/Point')(0.0, 0.0, 0.0),
                self._type('geometry_msgs/msg/Quaternion')(0.0, 0.0, 0.0, 1.0),
            ),
            np.zeros(36),
        )
        hypothesis = self._type('vision_msgs/msg/ObjectHypothesis')(name, 1.0)
        result = self._type('vision_msgs/msg/ObjectHypothesisWithPose')(hypothesis, pose)
        middle = self._type('vision_msgs/msg/Point2D')((x1 + x2) / 2, (y1 + y2) / 2)
        bbox = self._type('vision_msgs/msg/BoundingBox2D')(
            self._type('vision_msgs/msg/Pose2D')(middle, 0.0), x2 - x1, y2 - y1
        )
        return self._type('vision_msgs/msg/Detection2D')(self._header(stamp), [result], bbox, '')
