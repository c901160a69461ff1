# SPDX-License-Identifier: Apache-2.0
"""Plays frames into a running inference node and collects what comes back.

Headers stay as recorded; latencies are taken on this process' own monotonic clock.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections import deque
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Callable, Deque, Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Float64, Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from kd_yolo_ros.detections import Detections
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.frame import Frame
from kd_yolo_ros.frames.prefetch import prefetch
from kd_yolo_ros.metrics.latency import STAGES
from kd_yolo_ros.nodes import NODES, qos
from kd_yolo_ros.nodes.image_messages import nanoseconds, to_image
from kd_yolo_ros.nodes.middleware_events import without_events, without_subscription_events
from kd_yolo_ros.nodes.process import keep_large_buffers, use_large_image_transport
from kd_yolo_ros.nodes.spinner import Spinner

NAMESPACE = f'/kd_yolo_replay_{os.getpid()}'  # others may run at the same time
CLOCK_PERIOD_S = 0.1  # between the frames; each frame sets the clock to its own stamp
# So much before it, for the node should not have to handle both at once.
CLOCK_LEAD_S = 0.005
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 60.0
# Pictures of files begin at stamp 0, which ROS reads as "no time given".
FILE_EPOCH_NS = 1_000_000_000

Key = Tuple[int, str]  # stamp in ns and frame_id: what an answer is recognized by


class Sending(NamedTuple):
    """A frame ready to be published as serialized bytes."""

    frame: Frame
    key: Key
    message: bytes


@dataclass
class Sent:
    """A frame that was published.

    Attributes:
        name: of the frame.
        key: of its message.
        at: when, by perf_counter.
        answered_at: the same of its answer.
    """

    name: str
    key: Key
    at: float
    answered_at: Optional[float] = None


@dataclass
class Played:
    """What a replay gave.

    Attributes:
        frames: counts `sent`, `received`, `processed`, `replaced`, `skipped`, `lost`.
        sent_s: when each answered frame was sent, from the first one on.
        latencies_ms: from sending to the answer, of the same frames.
        answers: detections by frame name, without their masks.
        masks: of those frames, packed (`kd_yolo_ros.packed_masks`) and compressed by zlib, where
            they were asked for; all of them are held in memory until the end (docs/evaluation.md).
        foreign: answers whose header belongs to no frame that was sent.
        stages_ms: every sample by stage.
        diagnostics: the last values the node gave, by key.
        start_s: from `wait_until_active` until the node was active.
    """

    frames: Dict[str, int] = field(default_factory=dict)
    sent_s: List[float] = field(default_factory=list)
    latencies_ms: List[float] = field(default_factory=list)
    answers: Dict[str, Detections] = field(default_factory=dict)
    masks: Dict[str, bytes] = field(default_factory=dict)
    foreign: int = 0
    stages_ms: Dict[str, List[float]] = field(default_factory=dict)
    diagnostics: Dict[str, str] = field(default_factory=dict)
    start_s: float = 0.0


class Player:
    """A node of its own in this process; use it as a context manager.

    Args:
        class_names: of the model, for the answers' class ids.
        compressed: play CompressedImage messages.
        alive: raises when the inference process has ended.
        task: of the model.
        masks: collect the masks of a segmentation model too.
    """

    def __init__(
        self,
        class_names: Iterable[str],
        compressed: bool,
        alive: Callable[[], None],
        task: str = 'detect',
        masks: bool = False,
    ) -> None:
        detector = NODES[task]
        self._status = f'{NAMESPACE}/{detector}: '.lstrip('/')  # how its diagnostics begin
        self._collects_masks = masks
        self._class_ids = {name: index for index, name in enumerate(class_names)}
        self._alive = alive
        self._changed = threading.Condition()
        self._sent: List[Sent] = []
        self._unanswered: Deque[Sent] = deque()  # in order of sending
        self._without_masks: Deque[Sent] = deque()  # likewise
        self._answer_count = 0
        self._masks_count = 0
        self._diagnostics_count = 0
        self._active = False
        self.played = Played(stages_ms={stage: [] for stage in STAGES})
        use_large_image_transport()
        keep_large_buffers()
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        # Whatever else the executor has to go through would count as the node's latency.
        self._node = Node(
            'player',
            context=self._context,
            namespace=NAMESPACE,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._image_type = CompressedImage if compressed else Image
        topic = 'image/compressed' if compressed else 'image'
        self._images = self._publisher(self._image_type, topic, qos.PUBLISHED_IMAGE)
        self._clock = self._publisher(Clock, '/clock', qos.DETECTIONS)
        self._clock_ns = 0
        # Raw: making Python objects of the answer is this subscriber's affair, not the node's.
        self._subscribe(
            Detection2DArray, 'detections', self._on_detections, qos.DETECTIONS, raw=True
        )
        self._subscribe(LabelInfo, 'label_info', self._on_label_info, qos.LATCHED)
        self._subscribe(DiagnosticArray, '/diagnostics', self._on_diagnostics, qos.DIAGNOSTICS)
        if masks:
            topic = f'{detector}/debug/masks'
            self._subscribe(CompressedImage, topic, self._on_masks, qos.DETECTIONS)
        for stage in STAGES:
            topic = f'{detector}/debug/{stage}_ms'
            self._subscribe(Float64, topic, self._stage_callback(stage), qos.DETECTIONS)
        self._spinner = Spinner(self._node)

    def _publisher(self, message_type: Any, topic: str, profile: Any) -> Any:
        return self._node.create_publisher(
            message_type, topic, profile, event_callbacks=without_events()
        )

    def _subscribe(
        self, message_type: Any, topic: str, callback: Any, profile: Any, raw: bool = False
    ) -> None:
        self._node.create_subscription(
            message_type,
            topic,
            callback,
            profile,
            event_callbacks=without_subscription_events(),
            raw=raw,
        )

    def __enter__(self) -> Player:
        self._spinner.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._spinner.stop()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def wait_until_active(self) -> None:
        """Wait until the node is active and connected both ways.

        Raises:
            UserError: it never came, or somebody else publishes /clock here.
        """
        started = perf_counter()
        self._wait(
            lambda: self._active and self._images.get_subscription_count() > 0,
            START_TIMEOUT_S,
            'the inference node did not become active',
        )
        self.played.start_s = perf_counter() - started
        if self._collects_masks:
            # The node computes masks only for subscribers that it knows of.
            self._wait(
                lambda: 'debug' in self.played.diagnostics.get('masks', ''),
                START_TIMEOUT_S,
                'the inference node did not see that its masks are wanted',
            )
        if self._node.count_publishers('/clock') > 1:
            raise UserError(
                'Another process publishes /clock in this ROS domain; stop it or set another '
                'ROS_DOMAIN_ID for the replay.'
            )

    def play_live(self, frames: Iterable[Frame], rate: float) -> Iterable[Frame]:
        """Send the frames at their recorded times, `rate` times as fast; yield each sent one."""
        started: Optional[float] = None
        first_ns = 0
        for item in prefetch(self._messages(frames, rate)):
            if started is None:
                started, first_ns = perf_counter(), item.key[0]
            # A stamp that goes back does not wait: its time has come.
            due = started + max(0, item.key[0] - first_ns) / 1e9 / rate
            self._keep_time(due, item.key[0], rate)
            self._send(item)
            yield item.frame
        self._settle()

    def play_lossless(self, frames: Iterable[Frame]) -> Iterable[Frame]:
        """Send each frame after the answer to the one before; yield each answered one."""
        for item in prefetch(self._messages(frames)):
            self._publish_clock(item.key[0])
            seen = self._diagnostics_count
            self._send(item)
            self._wait(
                lambda sent=self._sent[-1], seen=seen: (  # type: ignore[misc]
                    sent.answered_at is not None
                    or (self._diagnostics_count >= seen + 2 and self._is_settled())
                ),
                ANSWER_TIMEOUT_S,
                f'no answer came to {item.frame.name}',
            )
            self._wait_for_masks(f'the masks of {item.frame.name} did not come')
            yield item.frame
        self._settle()

    def _messages(self, frames: Iterable[Frame], rate: float = 1.0) -> Iterable[Sending]:
        offset_ns: Optional[int] = None
        period_s, last_ns = 0.0, 0
        iterator = iter(frames)
        while True:
            self._stand_aside(period_s)
            frame = next(iterator, None)
            if frame is None:
                return
            if offset_ns is None:
                offset_ns = 0 if frame.stamp_ns or frame.serialized else FILE_EPOCH_NS
            stamp_ns = frame.stamp_ns + offset_ns
            period_s = (stamp_ns - last_ns) / 1e9 / rate if last_ns else 0.0
            last_ns = stamp_ns
            message = frame.serialized
            if message is None:
                header = Header(stamp=Time(nanoseconds=stamp_ns).to_msg(), frame_id=frame.frame_id)
                # A driver in C++ pays next to nothing for sending; so that Python's share does
                # not count as the node's latency, it is paid here, ahead of time.
                message = serialize_message(to_image(frame.image, header))
            yield Sending(frame, (stamp_ns, frame.frame_id), message)

    def _stand_aside(self, period_s: float) -> None:
        """Leave the processor to the node while a frame is under way.

        A camera does not decode a video on the cores that the node runs on. Part of the time
        between frames is left for it, however long an answer takes.
        """
        limit_s = min(0.05, max(0.0, 0.4 * period_s))
        with self._changed:
            self._changed.wait_for(
                lambda: self._answer_count >= self.played.frames.get('sent', 0), limit_s
            )

    def _send(self, item: Sending) -> None:
        self._alive()
        with self._changed:
            self._sent.append(Sent(item.frame.name, item.key, perf_counter()))
            self._unanswered.append(self._sent[-1])
            if self._collects_masks:
                self._without_masks.append(self._sent[-1])
            self.played.frames['sent'] = self.played.frames.get('sent', 0) + 1
        self._images.publish(item.message)

    def _keep_time(self, due: float, stamp_ns: int, rate: float) -> None:
        """Let simulated time run on to a frame's stamp, which is due at `due`."""
        while True:
            left = due - CLOCK_LEAD_S - perf_counter()
            if left <= 0:
                break
            self._publish_clock(stamp_ns - int(left * rate * 1e9))
            time.sleep(min(left, CLOCK_PERIOD_S))
        self._publish_clock(stamp_ns)
        time.sleep(max(0.0, due - perf_counter()))

    def _publish_clock(self, stamp_ns: int) -> None:
        # Time must not go back, or every timer and TF buffer in the graph starts anew.
        self._clock_ns = max(self._clock_ns, stamp_ns)
        self._clock.publish(Clock(clock=Time(nanoseconds=self._clock_ns).to_msg()))

    def _settle(self) -> None:
        """Wait until the node has said what became of every frame."""
        seen = self._diagnostics_count
        self._wait(
            lambda: self._diagnostics_count >= seen + 2 and self._is_settled(),
            ANSWER_TIMEOUT_S,
            'the inference node did not account for every frame',
        )
        self._wait_for_masks('the masks of some frames did not come')
        counts, played = self._counts(), self.played
        sent = played.frames.get('sent', 0)
        played.frames = {'sent': sent, **counts, 'lost': sent - counts['received']}
        for one in self._sent:
            if one.answered_at is not None:
                played.sent_s.append(one.at - self._sent[0].at)
                played.latencies_ms.append((one.answered_at - one.at) * 1e3)

    def _is_settled(self) -> bool:
        counts = self._counts()
        done = counts['processed'] + counts['replaced'] + counts['skipped']
        return done == counts['received'] and self._answer_count >= counts['processed']

    def _wait_for_masks(self, problem: str) -> None:
        """Wait for the masks of every answer that came, if they are wanted at all."""
        if self._collects_masks:
            self._wait(lambda: self._masks_count >= self._answer_count, ANSWER_TIMEOUT_S, problem)

    def _counts(self) -> Dict[str, int]:
        values = self.played.diagnostics
        return {
            key: int(values.get(key) or 0)
            for key in ('received', 'processed', 'replaced', 'skipped')
        }

    def _wait(self, condition: Callable[[], bool], timeout_s: float, problem: str) -> None:
        deadline = perf_counter() + timeout_s
        with self._changed:
            while not condition():
                self._alive()
                if perf_counter() > deadline:
                    raise UserError(f'Replay: {problem} within {timeout_s:.0f} s.')
                self._changed.wait(0.1)

    # Callbacks, in the executor's thread.

    def _on_detections(self, serialized: bytes) -> None:
        now = perf_counter()
        message = deserialize_message(serialized, Detection2DArray)
        key = (nanoseconds(message.header.stamp), message.header.frame_id)
        detections = self._to_detections(message)
        with self._changed:
            self._answer_count += 1
            sent = _find_sent(self._unanswered, key)
            if sent is not None:
                sent.answered_at = now
                self.played.answers[sent.name] = detections
            else:
                self.played.foreign += 1
            self._changed.notify_all()

    def _on_masks(self, message: CompressedImage) -> None:
        key = (nanoseconds(message.header.stamp), message.header.frame_id)
        packed = zlib.compress(bytes(message.data), level=1)
        with self._changed:
            self._masks_count += 1
            sent = _find_sent(self._without_masks, key)
            if sent is not None:
                self.played.masks[sent.name] = packed
            self._changed.notify_all()

    def _to_detections(self, message: Detection2DArray) -> Detections:
        boxes = np.empty((len(message.detections), 4), np.float64)
        scores = np.empty(len(boxes), np.float32)
        class_ids = np.empty(len(boxes), np.int64)
        for index, item in enumerate(message.detections):
            centre = item.bbox.center.position
            half_x, half_y = item.bbox.size_x / 2, item.bbox.size_y / 2
            boxes[index] = (
                centre.x - half_x,
                centre.y - half_y,
                centre.x + half_x,
                centre.y + half_y,
            )
            scores[index] = item.results[0].hypothesis.score
            class_ids[index] = self._class_ids[item.results[0].hypothesis.class_id]
        return Detections(boxes.astype(np.float32), scores, class_ids)

    def _on_label_info(self, _: LabelInfo) -> None:
        with self._changed:
            self._active = True
            self._changed.notify_all()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        mine = [status for status in message.status if status.name.startswith(self._status)]
        if not mine:
            return
        with self._changed:
            for status in mine:
                self.played.diagnostics.update({v.key: v.value for v in status.values})
            self._diagnostics_count += 1
            self._changed.notify_all()

    def _stage_callback(self, stage: str) -> Callable[[Float64], None]:
        samples = self.played.stages_ms[stage]
        return lambda message: samples.append(message.data)


def _find_sent(waiting: Deque[Sent], key: Key) -> Optional[Sent]:
    """Return the frame that an answer belongs to; it and those before it wait no longer.

    Stamps may repeat, as in the recording of a loop. But answers come in the order of sending:
    frames before an answered one have none to come.
    """
    if all(sent.key != key for sent in waiting):
        return None
    while True:
        sent = waiting.popleft()
        if sent.key == key:
            return sent
