# SPDX-License-Identifier: Apache-2.0
"""Prints what the detector sees: python docs/subscriber.py."""

import contextlib

import rclpy
from rclpy.node import Node
from vision_msgs.msg import Detection2DArray


class Printer(Node):
    """Subscribes to the detections."""

    def __init__(self):
        super().__init__('printer')
        self.create_subscription(Detection2DArray, 'detections', self.show, 10)

    def show(self, message):
        """Print each object of one picture: class, score, centre and size in pixels."""
        for detection in message.detections:
            best = detection.results[0].hypothesis
            centre, box = detection.bbox.center.position, detection.bbox
            where = f'{centre.x:.0f},{centre.y:.0f} {box.size_x:.0f}x{box.size_y:.0f}'
            print(f'  {best.class_id} {best.score:.2f} at {where}', flush=True)


rclpy.init()
with contextlib.suppress(KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
    rclpy.spin(Printer())
