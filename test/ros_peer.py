# SPDX-License-Identifier: Apache-2.0
"""The other side of a node under test: sends images, collects answers, calls services."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from kd_yolo_ros.nodes import qos
from kd_yolo_ros.nodes.image_messages import to_image
from kd_yolo_ros.nodes.process import use_large_image_transport
from kd_yolo_ros.nodes.spinner import Spinner

TIMEOUT_S = 60.0


class Peer:
    """A ROS node in the test's process, spun in a thread of its own."""

    def __init__(self, node: str = 'detector', namespace: str = '', compressed: bool = False):
        use_large_image_transport()
        self.node_name = f'{namespace}/{node}'
        self.detections: list[Detection2DArray] = []
        self.diagnostics: list[DiagnosticArray] = []
        self.labels: list[LabelInfo] = []
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node('peer', context=self._context, namespace=namespace)
        self._changed = threading.Condition()
        kind, topic = (CompressedImage, 'image/compressed') if compressed else (Image, 'image')
        self.images = self.node.create_publisher(kind, topic, qos.PUBLISHED_IMAGE)
        self.subscribe(Detection2DArray, 'detections', qos.DETECTIONS, self.detections)
        self.subscribe(LabelInfo, 'label_info', qos.LATCHED, self.labels)
        self.subscribe(DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS, self.diagnostics)
        self._spinner = Spinner(self.node)
        self._spinner.start()
        self._stamp_ns = 1_000_000_000

    def subscribe(self, kind: Any, topic: str, profile: Any, into: list) -> Any:
        def received(message: Any) -> None:
            with self._changed:
                into.append(message)
                self._changed.notify_all()

        return self.node.create_subscription(kind, topic, received, profile)

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + TIMEOUT_S
        with self._changed:
            while True:
                result = condition()
                if result:
                    return result
                assert time.monotonic() < deadline, f'timed out waiting for {what}'
                self._changed.wait(0.05)

    def wait_active(self) -> None:
        self.wait(
            lambda: self.labels and self.images.get_subscription_count() > 0, 'an active node'
        )

    def header(self, stamp_ns: int | None = None, frame_id: str = 'camera') -> Header:
        if stamp_ns is None:
            self._stamp_ns += 40_000_000
            stamp_ns = self._stamp_ns
        return Header(stamp=Time(nanoseconds=stamp_ns).to_msg(), frame_id=frame_id)

    def send(self, picture: np.ndarray, **header: Any) -> Header:
        message = to_image(picture, self.header(**header))
        self.images.publish(message)
        return message.header

    def answer_to(self, header: Header) -> Detection2DArray:
        return self.wait(
            lambda: next((d for d in self.detections if d.header == header), None), 'an answer'
        )

    def ask(self, picture: np.ndarray, **header: Any) -> Detection2DArray:
        return self.answer_to(self.send(picture, **header))

    def status(self, part: str) -> dict[str, Any]:
        """The newest diagnostics of 'images' or 'inference', {} before there are any."""
        for array in reversed(self.diagnostics):
            for status in array.status:
                if status.name.endswith(f': {part}'):
                    values = {item.key: item.value for item in status.values}
                    return {**values, 'level': status.level, 'message': status.message}
        return {}

    def wait_count(self, **counts: int) -> dict[str, Any]:
        """Wait until the node's own counters have these values."""

        def reached() -> dict[str, Any] | None:
            values = self.status('images')
            fits = values and all(int(values[key]) == count for key, count in counts.items())
            return values if fits else None

        return self.wait(reached, f'the counts {counts}, had {self.status("images")}')

    def call(self, kind: Any, service: str, request: Any) -> Any:
        client = self.node.create_client(kind, f'{self.node_name}/{service}')
        assert client.wait_for_service(TIMEOUT_S), service
        future = client.call_async(request)
        self.wait(future.done, f'the service {service}')
        self.node.destroy_client(client)
        return future.result()

    def change_state(self, transition: int) -> bool:
        request = ChangeState.Request()
        request.transition.id = transition
        return self.call(ChangeState, 'change_state', request).success

    def state(self) -> str:
        return self.call(GetState, 'get_state', GetState.Request()).current_state.label

    def set_parameter(self, name: str, value: Any) -> Any:
        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        return self.call(SetParameters, 'set_parameters', request).results[0]

    def get_parameter(self, name: str) -> Any:
        request = GetParameters.Request(names=[name])
        value = self.call(GetParameters, 'get_parameters', request).values[0]
        return Parameter.from_parameter_msg(
            type('P', (), {'name': name, 'value': value})  # the two fields that it reads
        ).value

    def close(self) -> None:
        self._spinner.stop()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
