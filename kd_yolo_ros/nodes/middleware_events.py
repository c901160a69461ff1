# SPDX-License-Identifier: Apache-2.0
"""What the middleware reports of topics: lost messages, quality of service that never matches."""

from __future__ import annotations

from typing import Any

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

from kd_yolo_ros.nodes.diagnostics import FrameStatistics


def image_events(statistics: FrameStatistics, logger: Any) -> SubscriptionEventCallbacks:
    """Return callbacks of the image subscription that count into the statistics."""

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


def without_events() -> PublisherEventCallbacks:
    """Return no callbacks for a publisher, rclpy's default warnings left out too.

    Those make two entities of every publisher, all of which the executor goes through in Python
    around each picture: with them that took a millisecond longer (docs/performance.md). Ours
    are reliable, so every reader matches but one that wants old messages from a topic that is
    not latched.
    """
    return PublisherEventCallbacks(use_default_callbacks=False)


def without_subscription_events() -> SubscriptionEventCallbacks:
    """Return the same for a subscription."""
    return SubscriptionEventCallbacks(use_default_callbacks=False)
