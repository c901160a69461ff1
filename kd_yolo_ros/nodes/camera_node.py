# SPDX-License-Identifier: Apache-2.0
"""`camera_node`: any source of pictures (file, folder, video, bag, camera) as an image topic."""

from __future__ import annotations

import sys
import threading
import traceback
from pathlib import Path
from time import perf_counter
from typing import Any, Dict, Optional, Sequence

import yaml
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames import Source, open_source
from kd_yolo_ros.frames.prefetch import prefetch
from kd_yolo_ros.nodes import qos
from kd_yolo_ros.nodes.image_messages import to_image
from kd_yolo_ros.nodes.process import run_node

LOG_EVERY_S = 5.0


class CameraNode(Node):
    """Publishes `image` and `camera_info`, stamped with the time of publishing."""

    def __init__(self) -> None:
        super().__init__('camera')
        self._declare()
        value = {name: self.get_parameter(name).value for name in self._parameter_names}
        source = str(value['source'])  # `source:=0` is a number
        if not source:
            raise UserError(
                "the parameter 'source' is empty; give a video, folder, bag or device."
            )
        size = tuple(value['size']) if any(value['size']) else None
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise UserError(f"the parameter 'size' is {list(size)}; give [width, height].")
        self._source: Source = open_source(source, size=size, topic=value['topic'] or None)
        self._calibration = _read_calibration(value['camera_info_file'])
        self._fps: float = value['fps']
        self._loop: bool = value['loop']
        self._frame_id: str = value['frame_id']
        self._images = self._advertise(Image, 'image')
        self._camera_info = self._advertise(CameraInfo, 'camera_info')
        self._stopping = threading.Event()
        self._worker = threading.Thread(target=self._work, name='camera', daemon=True)
        self.skipped = 0

    def _declare(self) -> None:
        rows = (
            ('source', '', 'Picture, folder, video, bag, camera number or gst:PIPELINE'),
            ('topic', '', "A bag's image topic, where it has several"),
            ('fps', 0.0, 'Pictures a second; 0 for the rate of the source'),
            ('loop', False, 'Start again at the end'),
            ('frame_id', '', 'frame_id of the headers; empty for that of the source'),
            ('size', [0, 0], 'Rescale to [width, height]; [0, 0] for as they are'),
            ('camera_info_file', '', 'Calibration in the format of camera_calibration'),
        )
        for name, default, description in rows:
            descriptor = ParameterDescriptor(
                description=description, read_only=True, dynamic_typing=name == 'source'
            )
            if name == 'fps':
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=0.0, to_value=1000.0)
                ]
            self.declare_parameter(name, default, descriptor)
        self._parameter_names = [name for name, _, _ in rows]

    def _advertise(self, message_type: Any, topic: str) -> Any:
        return self.create_publisher(
            message_type,
            topic,
            qos.PUBLISHED_IMAGE,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def start(self) -> None:
        """Begin to publish."""
        self.get_logger().info(f'{self._source.description} -> {self._images.topic_name}')
        self._worker.start()

    def stop(self) -> None:
        """End publishing and release the source."""
        self._stopping.set()
        if self._worker.is_alive():
            self._worker.join()
        self._source.close()

    def _work(self) -> None:
        # A file's pictures are paced here; a camera paces itself, and ahead means late.
        paced = self._source.length is not None
        due, gap_s = perf_counter(), 0.0
        try:
            while not self._stopping.is_set():
                last_ns: Optional[int] = None
                frames = prefetch(self._source) if paced else self._source
                for frame in frames:
                    if paced:
                        if self._fps:
                            gap_s = 1 / self._fps
                        elif last_ns is not None:  # else a loop's seam: as long as the last gap
                            gap_s = max(0.0, (frame.stamp_ns - last_ns) / 1e9)
                        last_ns = frame.stamp_ns
                        due += gap_s
                        self._stopping.wait(max(0.0, due - perf_counter()))
                    if self._stopping.is_set():
                        return
                    self._publish(frame)
                if not self._loop:
                    self.get_logger().info(f'{self._source.description} has come to its end')
                    return
        except UserError as error:
            self.get_logger().error(str(error))
        except Exception:
            self.get_logger().fatal(traceback.format_exc())

    def _publish(self, frame: Any) -> None:
        try:
            picture = frame.image
        except UserError as error:
            self.skipped += 1
            self.get_logger().warning(f'frame skipped: {error}', throttle_duration_sec=LOG_EVERY_S)
            return
        header = Header(
            stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id or frame.frame_id
        )
        self._images.publish(to_image(picture, header))
        height, width = picture.shape[:2]
        self._camera_info.publish(_camera_info(self._calibration, header, width, height))


def _read_calibration(file: str) -> Dict[str, Any]:
    """Read the YAML that camera_calibration writes; nothing for an uncalibrated camera."""
    if not file:
        return {}
    try:
        data = yaml.safe_load(Path(file).read_text(encoding='utf-8'))
        calibration: Dict[str, Any] = {
            'width': int(data['image_width']),
            'height': int(data['image_height']),
            'distortion_model': str(data['distortion_model']),
            'd': [float(v) for v in data['distortion_coefficients']['data']],
            'k': [float(v) for v in data['camera_matrix']['data']],
            'r': [float(v) for v in data['rectification_matrix']['data']],
            'p': [float(v) for v in data['projection_matrix']['data']],
        }
        if min(calibration['width'], calibration['height']) < 1:
            raise ValueError('the image has no size')
        if [len(calibration[name]) for name in 'krp'] != [9, 9, 12]:
            raise ValueError('a matrix has not 9, or the projection not 12 numbers')
        return calibration
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{file} is no calibration as camera_calibration writes it '
            f'({type(error).__name__}: {str(error).splitlines()[0]}); write it again.'
        ) from None


def _camera_info(
    calibration: Dict[str, Any], header: Header, width: int, height: int
) -> CameraInfo:
    """Return the calibration, scaled to the picture's size; without one, the size alone."""
    message = CameraInfo(header=header, width=width, height=height)
    if not calibration:
        return message
    across, down = width / calibration['width'], height / calibration['height']
    message.distortion_model = calibration['distortion_model']
    message.d, message.r = calibration['d'], calibration['r']
    k, p = calibration['k'], calibration['p']
    message.k = [v * f for v, f in zip(k, [across] * 3 + [down] * 3 + [1.0] * 3)]
    message.p = [v * f for v, f in zip(p, [across] * 4 + [down] * 4 + [1.0] * 4)]
    return message


def main(args: Optional[Sequence[str]] = None) -> None:
    """Run the node until a signal ends it."""
    sys.exit(run_node(CameraNode, start=CameraNode.start, stop=CameraNode.stop, args=args))


if __name__ == '__main__':
    main()
