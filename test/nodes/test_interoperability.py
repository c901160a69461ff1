# SPDX-License-Identifier: Apache-2.0
"""A message of the node, read by a DDS implementation that knows nothing of ROS or of our code."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from artifacts import CLASS_NAMES, scene
from cyclonedds.core import Policy, Qos
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, float64, int32, sequence, uint32
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration
from ros_peer import TIMEOUT_S, Peer

from kd_yolo_ros.cli.node_process import NodeProcess

# Unicast discovery over the loopback interface, as ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST does.
CONFIGURATION = """
<CycloneDDS><Domain>
  <General>
    <Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces>
    <AllowMulticast>false</AllowMulticast>
  </General>
  <Discovery>
    <ParticipantIndex>auto</ParticipantIndex>
    <MaxAutoParticipantIndex>100</MaxAutoParticipantIndex>
    <Peers><Peer address="127.0.0.1"/></Peers>
  </Discovery>
</Domain></CycloneDDS>
"""


# The types, written down from the message definitions as any DDS user would.
@dataclass
class Time(IdlStruct, typename='builtin_interfaces::msg::dds_::Time_'):
    sec: int32
    nanosec: uint32


@dataclass
class Header(IdlStruct, typename='std_msgs::msg::dds_::Header_'):
    stamp: Time
    frame_id: str


@dataclass
class Point(IdlStruct, typename='geometry_msgs::msg::dds_::Point_'):
    x: float64
    y: float64
    z: float64


@dataclass
class Quaternion(IdlStruct, typename='geometry_msgs::msg::dds_::Quaternion_'):
    x: float64
    y: float64
    z: float64
    w: float64


@dataclass
class Pose(IdlStruct, typename='geometry_msgs::msg::dds_::Pose_'):
    position: Point
    orientation: Quaternion


@dataclass
class PoseWithCovariance(IdlStruct, typename='geometry_msgs::msg::dds_::PoseWithCovariance_'):
    pose: Pose
    covariance: array[float64, 36]


@dataclass
class Hypothesis(IdlStruct, typename='vision_msgs::msg::dds_::ObjectHypothesis_'):
    class_id: str
    score: float64


@dataclass
class Result(IdlStruct, typename='vision_msgs::msg::dds_::ObjectHypothesisWithPose_'):
    hypothesis: Hypothesis
    pose: PoseWithCovariance


@dataclass
class Point2D(IdlStruct, typename='vision_msgs::msg::dds_::Point2D_'):
    x: float64
    y: float64


@dataclass
class Pose2D(IdlStruct, typename='vision_msgs::msg::dds_::Pose2D_'):
    position: Point2D
    theta: float64


@dataclass
class BoundingBox2D(IdlStruct, typename='vision_msgs::msg::dds_::BoundingBox2D_'):
    center: Pose2D
    size_x: float64
    size_y: float64


@dataclass
class Detection2D(IdlStruct, typename='vision_msgs::msg::dds_::Detection2D_'):
    header: Header
    results: sequence[Result]
    bbox: BoundingBox2D
    id: str


@dataclass
class Detection2DArray(IdlStruct, typename='vision_msgs::msg::dds_::Detection2DArray_'):
    header: Header
    detections: sequence[Detection2D]


def test_another_dds_reads_the_detections(tiny_artifact: Path) -> None:
    picture, boxes = scene(scale=2)
    parameters = {'artifact': str(tiny_artifact), 'runtime': 'onnxruntime'}
    domain = Domain(int(os.environ['ROS_DOMAIN_ID']), CONFIGURATION)
    participant = DomainParticipant(int(os.environ['ROS_DOMAIN_ID']))
    reliable = Qos(Policy.Reliability.Reliable(duration(seconds=1)), Policy.History.KeepLast(10))
    reader = DataReader(
        participant, Topic(participant, 'rt/detections', Detection2DArray), qos=reliable
    )
    with Peer() as peer, NodeProcess('detector_node', parameters, '/'):
        peer.wait_active()
        deadline = time.monotonic() + TIMEOUT_S
        received: list[Detection2DArray] = []
        while not received:
            assert time.monotonic() < deadline, 'the other DDS got no detections'
            peer.ask(picture, frame_id='front_camera_optical_frame')
            received = reader.take(1)
    message = received[0]
    assert message.header.frame_id == 'front_camera_optical_frame'
    found = {d.results[0].hypothesis.class_id: d.bbox for d in message.detections}
    assert set(found) == set(CLASS_NAMES)
    for name, (x1, y1, x2, y2) in zip(CLASS_NAMES, boxes.tolist(), strict=True):
        box = found[name]
        assert box.center.position.x == pytest.approx((x1 + x2) / 2, abs=0.5)
        assert box.center.position.y == pytest.approx((y1 + y2) / 2, abs=0.5)
        assert (box.size_x, box.size_y) == pytest.approx((x2 - x1, y2 - y1), abs=1)
    del domain
