# SPDX-License-Identifier: Apache-2.0
"""What the middleware reports of the image subscription: lost messages, QoS that never match."""

from __future__ import annotations

from typing import Any

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from kd_yolo_ros.nodes.diagnostics import FrameStatistics


def image_events(statistics: FrameStatistics, logger: Any) -> SubscriptionEventCallbacks:
    """Return callbacks that count into the statistics."""

    def on_lost(event: Any) -> None:
        statistics.lost = event.total_count

    def on_incompatible_qos(event: Any) -> None:
        statistics.qos_mismatches = event.total_count
        logger.error(
            'a publisher of the image topic offers a quality of service that this subscription '
            'does not accept, so its pictures never arrive; set the qos_overrides parameters '
            '(reliability: best_effort accepts every publisher).'
        )

    return SubscriptionEventCallbacks(message_lost=on_lost, incompatible_qos=on_incompatible_qos)
