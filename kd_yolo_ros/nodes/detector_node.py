# SPDX-License-Identifier: Apache-2.0
"""`detector_node`: camera topic in, vision_msgs/Detection2DArray out."""

from __future__ import annotations

from typing import Optional, Sequence

from kd_yolo_ros.nodes.inference_node import InferenceNode, run


class DetectorNode(InferenceNode):
    """Runs a detection model on every picture of the topic `image`."""

    task = 'detect'

    def __init__(self) -> None:
        super().__init__('detector')


def main(args: Optional[Sequence[str]] = None) -> None:
    """Run the node until a signal ends it."""
    run(DetectorNode, args)


if __name__ == '__main__':
    main()
