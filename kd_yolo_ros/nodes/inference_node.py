# SPDX-License-Identifier: Apache-2.0
"""What the detector and the segmenter share: a lifecycle node around a Predictor.

The executor only puts the newest picture into a mailbox; one worker does everything else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import sys
import threading
import time
import traceback
from time import perf_counter
from typing import Any, ClassVar, Dict, List, NamedTuple, Optional, Sequence, Type, Union

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Float64, Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from kd_yolo_ros.bundled import DEFAULT, NOTE, is_bundled
from kd_yolo_ros.detections import Detections
from kd_yolo_ros.drawing import draw
from kd_yolo_ros.errors import UserError
from kd_yolo_ros.exports import open_model
from kd_yolo_ros.mailbox import Mailbox
from kd_yolo_ros.metrics.latency import STAGES
from kd_yolo_ros.nodes import parameters, qos
from kd_yolo_ros.nodes.detection_messages import DetectionMessages, label_info
from kd_yolo_ros.nodes.diagnostics import Diagnostics, FrameStatistics
from kd_yolo_ros.nodes.image_messages import nanoseconds, to_image, to_picture
from kd_yolo_ros.nodes.middleware_events import image_events, without_events
from kd_yolo_ros.nodes.process import run_node
from kd_yolo_ros.predictor import Predictor

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
LOG_EVERY_S = 5.0

# Only one thread runs Python at a time, and after a callback the executor has about this much to
# do before it waits again. Meanwhile the worker could not even start: so the executor stands
# aside until the worker is in the runtime, which needs no Python.
STAND_ASIDE_S = 0.001

# Jazzy's rclpy tells the callback when the message was sent; Humble's does not.
HAS_MESSAGE_INFO = hasattr(Subscription, 'CallbackType')


class Arrival(NamedTuple):
    """A message in the mailbox.

    Attributes:
        message: the picture as it came.
        at: when the callback got it, by perf_counter.
        receive_ms: from sending to the callback, None where the middleware does not tell.
    """

    message: Union[Image, CompressedImage]
    at: float
    receive_ms: Optional[float]


class InferenceNode(LifecycleNode):
    """Pictures in, detections out; see docs/nodes.md for topics and parameters."""

    task: ClassVar[str]

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._predictor: Optional[Predictor] = None
        self._mailbox: Mailbox[Arrival] = Mailbox()
        self._statistics = FrameStatistics()
        self._worker: Optional[threading.Thread] = None
        self._subscription: Optional[Subscription] = None
        self._timer: Any = None
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._last_stamp = 0
        self._stage_publishers: Dict[str, Any] = {}
        self._lifecycle_publishers: List[Any] = []
        self._shown: Dict[str, Any] = {}
        self._refuse_impossible_transitions()
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        # Humble has no callback after setting; there the check is the last chance.
        self._applies_after_setting = hasattr(self, 'add_post_set_parameters_callback')
        if self._applies_after_setting:
            self.add_post_set_parameters_callback(self._apply_parameters)

    # Lifecycle. rclpy swallows exceptions of transitions, so each one is caught and told here.

    def autostart(self) -> bool:
        """Configure and activate, where the parameter says so; False when that failed."""
        if not self.get_parameter('autostart').value:
            return True
        return self.trigger_configure() == SUCCESS and self.trigger_activate() == SUCCESS

    def end(self) -> None:
        """Shut down, unless somebody has done that already."""
        with contextlib.suppress(RuntimeError):  # rclpy's, in the state finalized
            self.trigger_shutdown()

    def _refuse_impossible_transitions(self) -> None:
        """Answer them with a failure; rclpy would let them end the executor."""
        service = next(one for one in self.services if one.srv_type is ChangeState)
        change = service.callback

        def change_or_refuse(request: Any, response: Any) -> Any:
            try:
                return change(request, response)
            except RuntimeError as error:  # rclpy's RCLError
                self.get_logger().error(f'transition {request.transition.id} refused: {error}')
                response.success = False
                return response

        service.callback = change_or_refuse

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the publishers."""
        try:
            self._configure()
        except Exception as error:
            self._report('configuring failed', error)
            self._release()
            return FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe to the pictures."""
        result = super().on_activate(state)
        try:
            self._activate()
        except Exception as error:
            self._report('activating failed', error)
            self._stop()
            super().on_deactivate(state)
            return FAILURE
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and stop the worker after the picture it is at."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back the model and the publishers."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and give back everything, from whatever state."""
        self._stop()
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured, so that configuring can be tried again."""
        self._stop()
        self._release()
        return SUCCESS

    def _configure(self) -> None:
        values = self._values()
        for name, shown in self._shown.items():
            if values[name] == shown:  # not the user's, but that of the model before
                values[name] = None
        model = values['artifact'] or DEFAULT
        artifact = open_model(model)
        if artifact.manifest.task != self.task:
            raise UserError(
                f"{model} is a model for task '{artifact.manifest.task}', but this "
                f"node is for '{self.task}'; start the node of that task or give another artifact."
            )
        if is_bundled(artifact.folder):
            self.get_logger().warning(NOTE)
        predictor = Predictor(
            artifact,
            runtime=values['runtime'],
            precision=values['precision'],
            threads=values['threads'] or None,
            provider=values['provider'] or None,
        )
        problem = parameters.check(self.get_parameter('classes'), predictor.class_names)
        if problem:
            raise UserError(problem)
        predictor.thresholds = parameters.thresholds(
            values, predictor.class_names, artifact.manifest.thresholds
        )
        predictor.warm_up()
        self._predictor = predictor
        self._statistics = FrameStatistics()
        names = predictor.class_names
        by_name = values['class_id'] == 'name'
        self._messages = DetectionMessages(
            names if by_name else [str(index) for index in range(len(names))]
        )
        self._diagnostics = Diagnostics(self.get_fully_qualified_name().lstrip('/'))
        self._detections_publisher = self._advertise(
            Detection2DArray, 'detections', qos.DETECTIONS
        )
        self._label_publisher = self._advertise(LabelInfo, 'label_info', qos.LATCHED)
        self._annotated_publisher = self._advertise(Image, 'annotated', qos.PUBLISHED_IMAGE)
        self._diagnostics_publisher = self._advertise(
            DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS
        )
        self._stage_publishers = {
            stage: self._advertise(Float64, f'~/debug/{stage}_ms', qos.DETECTIONS)
            for stage in (*STAGES, 'pipeline_latency')
        }
        self._show_thresholds(values)

    def _activate(self) -> None:
        self._mailbox = Mailbox()
        self._last_stamp = 0
        self._worker = threading.Thread(target=self._work, name='inference', daemon=True)
        self._worker.start()
        compressed = self.get_parameter('image_transport').value == 'compressed'
        callback: Any = self._receive_with_info if HAS_MESSAGE_INFO else self._receive
        self._subscription = self.create_subscription(
            CompressedImage if compressed else Image,
            'image/compressed' if compressed else 'image',
            callback,
            qos.IMAGE,
            event_callbacks=image_events(self._statistics, self.get_logger()),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        # Everything loaded so far stays: it need not be searched for garbage between pictures.
        gc.collect()
        gc.freeze()
        self._publish_label_info()
        # On the steady clock: in a replay, simulated time may stand still.
        self._timer = self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)
        assert self._predictor is not None
        running = self._predictor.running
        self.get_logger().info(
            f'{self._predictor.manifest.name} runs on {running.runtime} {running.precision} '
            f'({running.provider}, {running.threads} threads): '
            f'{self._subscription.topic_name} -> {self._detections_publisher.topic_name}'
        )

    def _stop(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
        self._mailbox.close()
        if self._worker is not None:
            self._worker.join()
            self._worker = None
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
            self._publish_diagnostics()  # so that the final counts are known

    def _release(self) -> None:
        for publisher in self._lifecycle_publishers:
            self.destroy_lifecycle_publisher(publisher)
        self._lifecycle_publishers = []
        self._stage_publishers = {}
        self._predictor = None
        gc.unfreeze()

    def _advertise(self, message_type: Any, topic: str, profile: Any) -> Any:
        publisher = self.create_lifecycle_publisher(
            message_type,
            topic,
            profile,
            event_callbacks=without_events(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._lifecycle_publishers.append(publisher)
        return publisher

    def _report(self, what: str, error: Exception) -> None:
        # An expected error is one sentence; anything else is our bug and needs its traceback.
        detail = str(error) if isinstance(error, UserError) else traceback.format_exc()
        self.get_logger().error(f'{what}: {detail}')

    # Parameters.

    def _values(self) -> Dict[str, Any]:
        names = (*parameters.MODEL_PARAMETERS, *parameters.THRESHOLD_PARAMETERS)
        return {name: self.get_parameter(name).value for name in names}

    def _check_parameters(self, changes: List[Parameter]) -> SetParametersResult:
        names = self._predictor.class_names if self._predictor else None
        for parameter in changes:
            problem = parameters.check(parameter, names)
            if parameter.type_ == Parameter.Type.NOT_SET:
                problem = f'{parameter.name} cannot be deleted; set it to another value.'
            changes_model = (
                parameter.name in parameters.MODEL_PARAMETERS
                and parameter.value != self.get_parameter(parameter.name).value
            )
            if not problem and changes_model and names:
                problem = (
                    f'{parameter.name} is read when the node is configured; deactivate and clean '
                    f'it up first.'
                )
            if problem:
                return SetParametersResult(successful=False, reason=problem)
        if not self._applies_after_setting:
            self._apply_parameters(changes)
        return SetParametersResult(successful=True)

    def _apply_parameters(self, changes: List[Parameter]) -> None:
        changed = {p.name: p.value for p in changes if p.name in parameters.THRESHOLD_PARAMETERS}
        predictor = self._predictor
        if not changed or predictor is None:
            return
        predictor.thresholds = parameters.thresholds(
            {**self._values(), **changed}, predictor.class_names, predictor.manifest.thresholds
        )
        if self._subscription is not None:
            self._publish_label_info()

    def _show_thresholds(self, values: Dict[str, Any]) -> None:
        """Let `ros2 param get` tell the thresholds in use where `values` has none."""
        assert self._predictor is not None
        used = self._predictor.thresholds
        self._shown = {}
        for name, value in (
            ('score_threshold', used.score),
            ('iou_threshold', used.iou),
            ('max_detections', used.max_detections),
        ):
            if values[name] is None:
                self._shown[name] = value
                self.set_parameters([Parameter(name, value=value)])

    # Pictures: the executor's side.

    def _receive(self, message: Union[Image, CompressedImage]) -> None:
        self._put(Arrival(message, perf_counter(), None))

    def _receive_with_info(
        self, message: Union[Image, CompressedImage], info: Dict[str, int]
    ) -> None:
        sent = info.get('source_timestamp') or 0
        receive_ms = (time.time_ns() - sent) / 1e6 if sent else None
        self._put(Arrival(message, perf_counter(), receive_ms))

    def _put(self, arrival: Arrival) -> None:
        self._mailbox.put(arrival)
        time.sleep(STAND_ASIDE_S)

    # Pictures: the worker's side.

    def _work(self) -> None:
        mailbox = self._mailbox
        while True:
            arrival = mailbox.take()
            if arrival is None:
                return
            try:
                self._process(arrival)
            except UserError as error:
                self._skip(str(error))
            except Exception:
                self._skip(traceback.format_exc())

    def _process(self, arrival: Arrival) -> None:
        predictor, message = self._predictor, arrival.message
        assert predictor is not None
        self._check_stamp(message)
        started = perf_counter()
        picture = to_picture(message)
        converted = perf_counter()
        detections = predictor.predict(picture, masks=False)
        predicted = perf_counter()
        answer = self._messages.fill(detections, message.header)
        filled = perf_counter()
        self._detections_publisher.publish(answer)
        published = perf_counter()
        latency_ms = self._age_s(message) * 1e3
        self._statistics.answer(latency_ms)
        stages = {
            'convert': (converted - started) * 1e3,
            **predictor.stages_ms,
            'message': (filled - predicted) * 1e3,
            'publish': (published - filled) * 1e3,
            'total': (published - arrival.at) * 1e3,
            'pipeline_latency': latency_ms,
        }
        if arrival.receive_ms is not None:
            stages['receive'] = arrival.receive_ms
        try:
            if self._wants_masks():
                started = perf_counter()
                detections = dataclasses.replace(detections, masks=predictor.masks())
                self._publish_masks(detections, message.header)
                stages['masks'] = (perf_counter() - started) * 1e3
            self._publish_annotated(picture, detections, message)
            self._publish_stages(stages)
        except Exception:  # the frame is answered: it must not count as skipped too
            self.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_EVERY_S)

    def _check_stamp(self, message: Union[Image, CompressedImage]) -> None:
        stamp = nanoseconds(message.header.stamp)
        if stamp < self._last_stamp:
            self._statistics.stamps_back += 1
            self.get_logger().warning(
                f'the stamp went back by {(self._last_stamp - stamp) / 1e9:.3f} s',
                throttle_duration_sec=LOG_EVERY_S,
            )
        self._last_stamp = stamp
        max_age = self.get_parameter('max_age').value
        if max_age and self._age_s(message) > max_age:
            raise UserError(
                f'the picture is {self._age_s(message):.3f} s old, more than max_age {max_age} s.'
            )

    def _age_s(self, message: Union[Image, CompressedImage]) -> float:
        now = self.get_clock().now().nanoseconds
        return (now - nanoseconds(message.header.stamp)) / 1e9

    def _skip(self, reason: str) -> None:
        self._statistics.skip(reason)
        self.get_logger().warning(f'frame skipped: {reason}', throttle_duration_sec=LOG_EVERY_S)

    # Output beside the detections.

    def _wants_masks(self) -> bool:
        """Tell whether anybody looks at masks."""
        return False

    def _publish_masks(self, detections: Detections, header: Header) -> None:
        """Publish the masks where somebody subscribes."""

    def _told(self) -> Dict[str, str]:
        """Return what the diagnostics tell of the model, by key."""
        assert self._predictor is not None
        return {'model': self._predictor.manifest.name, 'file': self._predictor.file.path}

    def _publish_annotated(
        self, picture: Any, detections: Detections, message: Union[Image, CompressedImage]
    ) -> None:
        assert self._predictor is not None
        if not self._annotated_publisher.get_subscription_count():
            return
        drawn = draw(picture, detections, self._predictor.class_names)
        self._annotated_publisher.publish(to_image(drawn, message.header))

    def _publish_stages(self, stages: Dict[str, float]) -> None:
        for stage, ms in stages.items():
            publisher = self._stage_publishers[stage]
            if publisher.get_subscription_count():
                publisher.publish(Float64(data=ms))

    def _publish_label_info(self) -> None:
        assert self._predictor is not None
        stamp = self.get_clock().now().to_msg()
        message = label_info(
            self._predictor.class_names, self._predictor.thresholds.score, Header(stamp=stamp)
        )
        self._label_publisher.publish(message)

    def _publish_diagnostics(self) -> None:
        predictor = self._predictor
        if predictor is None:
            return
        message = self._diagnostics.message(
            self.get_clock().now().to_msg(),
            perf_counter(),
            self._statistics,
            self._mailbox.received,
            self._mailbox.replaced,
            self._told(),
            predictor.running,
        )
        self._diagnostics_publisher.publish(message)


def run(node: Type[InferenceNode], args: Optional[Sequence[str]] = None) -> None:
    """Run a node until a signal ends it, and leave with its status."""
    sys.exit(run_node(node, start=InferenceNode.autostart, stop=InferenceNode.end, args=args))
