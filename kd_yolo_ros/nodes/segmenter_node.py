# SPDX-License-Identifier: Apache-2.0
"""`segmenter_node`: camera topic in, detections and the masks of their objects out."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.masks import UNLABELLED
from kd_yolo_ros.nodes import qos
from kd_yolo_ros.nodes.image_messages import to_image
from kd_yolo_ros.nodes.inference_node import InferenceNode, run
from kd_yolo_ros.packed_masks import FORMAT, pack_masks


class SegmenterNode(InferenceNode):
    """Runs a segmentation model on every picture of the topic `image`.

    Masks are computed only while somebody subscribes to a topic that shows them, and after the
    detections are published.
    """

    task = 'segment'

    def __init__(self) -> None:
        super().__init__('segmenter')
        self._mask_publishers: Dict[str, Any] = {}
        self.declare_parameter(
            'mask_scale',
            1.0,
            ParameterDescriptor(
                description='Size of the masks, as a share of the picture',
                floating_point_range=[FloatingPointRange(from_value=0.05, to_value=1.0)],
            ),
        )

    def _configure(self) -> None:
        if not self.get_parameter('artifact').value:
            raise UserError(
                'artifact has to be given: no segmentation model comes with kd_yolo_ros.'
            )
        super()._configure()
        assert self._predictor is not None
        if len(self._predictor.class_names) > UNLABELLED:
            raise UserError(
                f'{self._predictor.manifest.name} has {len(self._predictor.class_names)} classes, '
                f'but semantic_mask (mono8) has room for {UNLABELLED}; give another artifact.'
            )
        self._predictor.mask_scale = self.get_parameter('mask_scale').value
        self._mask_publishers = {
            'instance': self._advertise(Image, 'instance_mask', qos.PUBLISHED_IMAGE),
            'semantic': self._advertise(Image, 'semantic_mask', qos.PUBLISHED_IMAGE),
            'debug': self._advertise(CompressedImage, '~/debug/masks', qos.DETECTIONS),
        }

    def _apply_parameters(self, changes: List[Parameter]) -> None:
        super()._apply_parameters(changes)
        for change in changes:
            if change.name == 'mask_scale' and self._predictor is not None:
                self._predictor.mask_scale = change.value

    def _subscribed(self) -> List[str]:
        """Return which of the masks' topics have subscribers."""
        return [n for n, one in self._mask_publishers.items() if one.get_subscription_count()]

    def _wants_masks(self) -> bool:
        return bool(self._subscribed() or self._annotated_publisher.get_subscription_count())

    def _publish_masks(self, detections: Detections, header: Header) -> None:
        masks, wanted = detections.masks, self._subscribed()
        assert masks is not None
        if 'instance' in wanted:
            message = to_image(masks.instance_map(), header, 'mono16')
            self._mask_publishers['instance'].publish(message)
        if 'semantic' in wanted:
            message = to_image(masks.semantic_map(detections.class_ids), header, 'mono8')
            self._mask_publishers['semantic'].publish(message)
        if 'debug' in wanted:
            packed = CompressedImage(header=header, format=FORMAT, data=pack_masks(masks))
            self._mask_publishers['debug'].publish(packed)

    def _told(self) -> Dict[str, str]:
        return {**super()._told(), 'masks': ' '.join(self._subscribed())}


def main(args: Optional[Sequence[str]] = None) -> None:
    """Run the node until a signal ends it."""
    run(SegmenterNode, args)


if __name__ == '__main__':
    main()
