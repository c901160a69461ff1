# SPDX-License-Identifier: Apache-2.0
"""detector_node as a real process over real DDS."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from artifacts import CLASS_NAMES, scene
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from ros_peer import Peer
from sensor_msgs.msg import CompressedImage, Image

from kd_yolo_ros.artifact import load_artifact, write_artifact
from kd_yolo_ros.cli.node_process import NodeProcess
from kd_yolo_ros.manifest import Thresholds
from kd_yolo_ros.nodes import qos
from kd_yolo_ros.nodes.image_messages import to_image, to_picture
from kd_yolo_ros.predictor import Predictor

GREY = np.full((120, 160, 3), 114, np.uint8)


@pytest.fixture
def picture() -> np.ndarray:
    """A picture in which the tiny model sees one object of each of its three classes."""
    return scene(scale=2)[0]


# On a busy machine even shared memory may lose a burst of best-effort pictures.
RELIABLE = {'qos_overrides./image.subscription.reliability': 'reliable'}


def parameters(artifact: Path, **more: object) -> dict:
    return {'artifact': str(artifact), 'runtime': 'onnxruntime', **more}


@pytest.fixture
def detector(tiny_artifact: Path) -> Iterator[Peer]:
    """An active detector on the tiny model, and the peer that talks to it."""
    with (
        Peer() as peer,
        NodeProcess('detector_node', parameters(tiny_artifact), '/'),
    ):
        peer.wait_active()
        yield peer


def test_answers_equal_the_predictor(
    detector: Peer, tiny_artifact: Path, picture: np.ndarray
) -> None:
    answer = detector.ask(picture)
    expected = Predictor(tiny_artifact, 'onnxruntime').predict(picture)
    assert len(expected) == len(CLASS_NAMES)
    for item, (box, score, class_id) in zip(answer.detections, expected, strict=True):
        hypothesis = item.results[0].hypothesis
        assert hypothesis.class_id == CLASS_NAMES[class_id]
        assert hypothesis.score == pytest.approx(score)
        centre = item.bbox.center.position
        assert (centre.x, centre.y) == pytest.approx(((box[:2] + box[2:]) / 2).tolist())
        assert (item.bbox.size_x, item.bbox.size_y) == pytest.approx((box[2:] - box[:2]).tolist())
        assert item.header == answer.header


def test_the_header_comes_back_and_nothing_seen_is_an_empty_array(detector: Peer) -> None:
    detector.set_parameter('score_threshold', 1.0)
    sent = detector.send(GREY, stamp_ns=123_456_789_012, frame_id='front_camera_optical_frame')
    answer = detector.answer_to(sent)
    assert list(answer.detections) == []
    assert (answer.header.stamp.sec, answer.header.stamp.nanosec) == (123, 456_789_012)


def test_label_info_is_latched(detector: Peer, tiny_artifact: Path) -> None:
    names = load_artifact(tiny_artifact).manifest.class_names
    with Peer() as late:
        late.wait(lambda: late.labels, 'the latched labels')
        classes = [(item.class_id, item.class_name) for item in late.labels[0].class_map]
        assert classes == list(enumerate(names))


def broken_images(peer: Peer) -> dict[str, Image]:
    def message(**fields: object) -> Image:
        values = {'height': 4, 'width': 4, 'step': 12, 'encoding': 'bgr8', 'data': bytes(48)}
        image = Image(header=peer.header())
        for name, value in {**values, **fields}.items():
            setattr(image, name, value)
        return image

    return {
        'truncated': message(data=bytes(40)),
        'empty': message(data=b''),
        'without pixels': message(height=0, width=0, step=0, data=b''),
        'step too short': message(step=8),
        'unknown encoding': message(encoding='bgr7'),
    }


def test_broken_images_are_counted_and_named_and_the_next_one_is_answered(
    detector: Peer, picture: np.ndarray
) -> None:
    images = broken_images(detector)
    for number, (kind, message) in enumerate(images.items(), 1):
        detector.images.publish(message)
        status = detector.wait_count(skipped=number)
        assert status['last_problem'], kind
        assert '\n' not in status['last_problem'], kind
        assert status['level'] == DiagnosticStatus.ERROR
    assert 'bgr7' in status['last_problem']
    detector.ask(picture)
    detector.wait_count(received=len(images) + 1, processed=1, skipped=len(images), replaced=0)
    detector.wait(
        lambda: detector.status('images')['level'] != DiagnosticStatus.ERROR, 'the error to pass'
    )


def test_the_size_may_change_from_picture_to_picture(
    detector: Peer, tiny_artifact: Path, picture: np.ndarray
) -> None:
    predictor = Predictor(tiny_artifact, 'onnxruntime')
    for size in ((192, 128), (384, 256), (77, 333), (96, 64), (192, 128)):
        resized = cv2.resize(picture, size)
        answer = detector.ask(resized)
        assert len(answer.detections) == len(predictor.predict(resized))


@pytest.mark.parametrize('encoding', ['rgb8', 'rgba8', 'bgra8'])
def test_other_encodings_give_the_same_boxes(
    detector: Peer, picture: np.ndarray, encoding: str
) -> None:
    convert = {
        'rgb8': cv2.COLOR_BGR2RGB,
        'rgba8': cv2.COLOR_BGR2RGBA,
        'bgra8': cv2.COLOR_BGR2BGRA,
    }[encoding]
    reference = detector.ask(picture)
    message = to_image(cv2.cvtColor(picture, convert), detector.header(), encoding)
    detector.images.publish(message)
    answer = detector.answer_to(message.header)
    assert len(answer.detections) == len(CLASS_NAMES)
    assert [d.bbox for d in answer.detections] == [d.bbox for d in reference.detections]


def test_a_stamp_that_goes_back_is_answered_and_reported(
    detector: Peer, picture: np.ndarray
) -> None:
    detector.ask(picture, stamp_ns=10_000_000_000)
    detector.ask(picture, stamp_ns=9_000_000_000)
    status = detector.wait_count(stamps_back=1, processed=2)
    assert status['level'] == DiagnosticStatus.WARN
    assert 'went back' in status['message']


def test_a_stamp_before_1970_is_answered_too(detector: Peer, picture: np.ndarray) -> None:
    message = to_image(picture, detector.header())
    message.header.stamp.sec = -5
    detector.images.publish(message)
    assert len(detector.answer_to(message.header).detections) == len(CLASS_NAMES)


def test_thresholds_and_classes_change_at_run_time(
    detector: Peer, tiny_artifact: Path, picture: np.ndarray
) -> None:
    own = load_artifact(tiny_artifact).manifest.thresholds.score
    assert detector.labels[-1].threshold == pytest.approx(own)
    before = detector.ask(picture)
    labels = [item.results[0].hypothesis.class_id for item in before.detections]
    assert detector.set_parameter('classes', [labels[0]]).successful
    after = detector.ask(picture)
    kept = [item.results[0].hypothesis.class_id for item in after.detections]
    assert kept
    assert set(kept) == {labels[0]}
    assert detector.set_parameter('max_detections', 1).successful
    assert len(detector.ask(picture).detections) == 1
    assert detector.set_parameter('score_threshold', 1.0).successful
    assert len(detector.ask(picture).detections) == 0
    detector.wait(lambda: detector.labels[-1].threshold == 1.0, 'the new threshold in label_info')


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('score_threshold', 1.5, 'score_threshold'),
        ('iou_threshold', -0.1, 'iou_threshold'),
        ('max_detections', 0, 'max_detections'),
        ('classes', ['unicorn'], 'unicorn'),
        ('artifact', 'elsewhere', 'clean'),
        ('precision', 'int4', 'int4'),
    ],
)
def test_a_bad_parameter_is_refused_and_changes_nothing(
    detector: Peer, name: str, value: object, words: str
) -> None:
    before = detector.get_parameter(name)
    result = detector.set_parameter(name, value)
    assert not result.successful
    assert words in result.reason
    assert detector.get_parameter(name) == before


def test_a_threshold_cannot_be_deleted(detector: Peer, picture: np.ndarray) -> None:
    result = detector.set_parameter('score_threshold', None)
    assert not result.successful
    assert 'score_threshold' in result.reason
    assert detector.set_parameter('iou_threshold', 0.3).successful
    detector.ask(picture)


def test_another_model_brings_its_own_thresholds(tiny_artifact: Path, tmp_path: Path) -> None:
    first = load_artifact(tiny_artifact)
    own = Thresholds(score=0.61, iou=0.37, max_detections=17)
    manifest = dataclasses.replace(first.manifest, thresholds=own)
    sources = {'model.onnx': first.folder / 'model.onnx'}
    second = write_artifact(tmp_path / 'second', manifest, sources).folder
    with Peer() as peer, NodeProcess('detector_node', parameters(tiny_artifact), '/'):
        peer.wait_active()
        assert peer.set_parameter('iou_threshold', 0.5).successful
        assert peer.change_state(Transition.TRANSITION_DEACTIVATE)
        assert peer.change_state(Transition.TRANSITION_CLEANUP)
        assert peer.set_parameter('artifact', str(second)).successful
        assert peer.change_state(Transition.TRANSITION_CONFIGURE)
        assert peer.get_parameter('score_threshold') == pytest.approx(own.score)
        assert peer.get_parameter('max_detections') == own.max_detections
        assert peer.get_parameter('iou_threshold') == 0.5  # the user's own stays


def test_the_artifacts_own_thresholds_are_shown_where_none_were_set(tiny_artifact: Path) -> None:
    own = load_artifact(tiny_artifact).manifest.thresholds
    with Peer() as peer, NodeProcess('detector_node', parameters(tiny_artifact), '/'):
        peer.wait_active()
        assert peer.get_parameter('score_threshold') == pytest.approx(own.score)
        assert peer.get_parameter('max_detections') == own.max_detections


def test_class_id_may_be_the_index(tiny_artifact: Path, picture: np.ndarray) -> None:
    values = parameters(tiny_artifact, class_id='index')
    with Peer() as peer, NodeProcess('detector_node', values, '/'):
        peer.wait_active()
        labels = {d.results[0].hypothesis.class_id for d in peer.ask(picture).detections}
        assert labels == {'0', '1', '2'}


def test_annotated_is_drawn_only_while_somebody_looks(detector: Peer, picture: np.ndarray) -> None:
    drawn: list[Image] = []
    detector.ask(picture)
    subscription = detector.subscribe(Image, 'annotated', qos.PUBLISHED_IMAGE, drawn)
    detector.wait(lambda: detector.node.count_publishers('/annotated') == 1, 'the topic')

    def seen() -> bool:
        detector.ask(picture)
        return bool(drawn)

    detector.wait(seen, 'an annotated picture')
    image = to_picture(drawn[-1])
    assert image.shape == picture.shape
    assert (image != picture).any()
    detector.node.destroy_subscription(subscription)


def test_diagnostics_tell_what_really_runs(detector: Peer, picture: np.ndarray) -> None:
    detector.ask(picture)
    detector.wait_count(processed=1)
    inference = detector.status('inference')
    assert inference['runtime'].startswith('onnxruntime ')
    assert inference['provider'] == 'CPUExecutionProvider'
    assert inference['precision'] == 'fp32'
    assert int(inference['threads']) > 0
    assert float(inference['latency_p50_ms'])


def test_diagnostics_tell_one_node_from_another(tiny_artifact: Path) -> None:
    with (
        Peer() as peer,
        NodeProcess('detector_node', parameters(tiny_artifact), '/front'),
        NodeProcess('detector_node', parameters(tiny_artifact), '/rear'),
    ):
        expected = {'front/detector: images', 'rear/detector: images'}

        def names() -> set[str]:
            return {status.name for array in peer.diagnostics for status in array.status}

        peer.wait(lambda: expected <= names(), 'the diagnostics of both')


def test_compressed_pictures(tiny_artifact: Path, picture: np.ndarray) -> None:
    values = parameters(tiny_artifact, image_transport='compressed')
    with Peer(compressed=True) as peer, NodeProcess('detector_node', values, '/'):
        peer.wait_active()
        whole = cv2.imencode('.png', picture)[1].tobytes()
        for skipped, data in enumerate((whole[: len(whole) // 2], b'no picture', b''), 1):
            peer.images.publish(CompressedImage(header=peer.header(), format='png', data=data))
            assert peer.wait_count(skipped=skipped)['last_problem']
        message = CompressedImage(header=peer.header(), format='png', data=whole)
        peer.images.publish(message)
        assert len(peer.answer_to(message.header).detections) == len(CLASS_NAMES)


def test_an_old_picture_is_skipped_when_max_age_says_so(
    tiny_artifact: Path, picture: np.ndarray
) -> None:
    values = parameters(tiny_artifact, max_age=5.0)
    with Peer() as peer, NodeProcess('detector_node', values, '/'):
        peer.wait_active()
        peer.ask(picture, stamp_ns=time.time_ns())
        peer.send(picture, stamp_ns=time.time_ns() - 60_000_000_000)
        status = peer.wait_count(skipped=1, processed=1)
        assert 'max_age' in status['last_problem']


def test_lifecycle_by_hand_and_a_failed_configure_can_be_retried(
    tiny_artifact: Path, tmp_path: Path, picture: np.ndarray
) -> None:
    values = parameters(tmp_path / 'nothing here', autostart=False)
    with Peer() as peer, NodeProcess('detector_node', values, '/'):
        assert peer.state() == 'unconfigured'
        assert not peer.change_state(Transition.TRANSITION_CONFIGURE)
        assert peer.state() == 'unconfigured'
        assert peer.set_parameter('artifact', str(tiny_artifact)).successful
        assert peer.change_state(Transition.TRANSITION_CONFIGURE)
        assert peer.change_state(Transition.TRANSITION_ACTIVATE)
        peer.wait_active()
        first = peer.ask(picture)
        assert peer.change_state(Transition.TRANSITION_DEACTIVATE)
        assert peer.state() == 'inactive'
        peer.wait(lambda: peer.images.get_subscription_count() == 0, 'the end of the subscription')
        assert peer.change_state(Transition.TRANSITION_ACTIVATE)
        peer.wait(lambda: peer.images.get_subscription_count() == 1, 'the subscription')
        assert len(peer.ask(picture).detections) == len(first.detections)
        assert peer.change_state(Transition.TRANSITION_DEACTIVATE)
        assert peer.change_state(Transition.TRANSITION_CLEANUP)
        assert peer.state() == 'unconfigured'


def test_an_impossible_transition_is_refused_and_the_node_goes_on(
    detector: Peer, picture: np.ndarray
) -> None:
    assert not detector.change_state(Transition.TRANSITION_CONFIGURE)
    assert detector.state() == 'active'
    detector.ask(picture)


def test_a_node_that_a_manager_has_shut_down_ends_cleanly(tiny_artifact: Path) -> None:
    with Peer() as peer, NodeProcess('detector_node', parameters(tiny_artifact), '/') as node:
        peer.wait_active()
        assert peer.change_state(Transition.TRANSITION_ACTIVE_SHUTDOWN)
        assert peer.state() == 'finalized'
        assert node.stop() == 0, node.output()


def test_a_missing_parameter_file_is_one_sentence(tmp_path: Path) -> None:
    done = run_node('--params-file', str(tmp_path / 'missing.yaml'))
    assert done.returncode == 1
    assert 'missing.yaml' in done.stderr
    assert 'Traceback' not in done.stderr


def run_node(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-m', 'kd_yolo_ros.nodes.detector_node', '--ros-args', *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['-p', 'score_threshold:=3.0'], 'score_threshold'),
        (['-p', 'iou_threshold:=text'], 'iou_threshold'),
        (['-p', 'precision:=int4'], 'int4'),
        (['-p', 'max_age:=-1.0'], 'max_age'),
        (['-p', 'artifact:=nowhere'], 'nowhere'),
        (['-p', 'runtime:=abacus'], 'abacus'),
        (['-p', 'runtime:=onnxruntime', '-p', 'provider:=abacus'], "no provider 'abacus'"),
        (['-p', 'classes:=[unicorn]'], 'unicorn'),
    ],
)
def test_a_bad_parameter_at_start_ends_with_one_sentence_and_status_1(
    tiny_artifact: Path, arguments: list[str], words: str
) -> None:
    given = [] if words == 'nowhere' else ['-p', f'artifact:={tiny_artifact}']
    done = run_node(*given, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert 'Traceback' not in done.stderr


def test_an_artifact_with_a_wrong_hash_is_refused(tiny_artifact: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / 'broken'
    shutil.copytree(tiny_artifact, broken)
    model = broken / load_artifact(broken).manifest.files[0].path
    model.write_bytes(model.read_bytes() + b'\0')
    done = run_node('-p', f'artifact:={broken}')
    assert done.returncode == 1
    assert 'sha256' in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_in_the_middle_of_a_frame(
    tiny_artifact: Path, picture: np.ndarray, number: int
) -> None:
    values = parameters(tiny_artifact, **RELIABLE)
    with Peer() as peer, NodeProcess('detector_node', values, '/') as node:
        peer.wait_active()
        large = cv2.resize(picture, (1920, 1080))
        peer.ask(large)
        for _ in range(5):
            peer.send(large)
        os.kill(node.process.pid, number)
        os.kill(node.process.pid, number)  # launch and the terminal both send one
        assert node.process.wait(20) == 0, node.output()
        assert 'Traceback' not in node.output()
        assert 'rror' not in node.output()


def test_a_reliable_subscription_to_a_best_effort_camera_is_not_silent(
    tiny_artifact: Path,
) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    values = parameters(
        tiny_artifact, **{'qos_overrides./image.subscription.reliability': 'reliable'}
    )
    with Peer() as peer, NodeProcess('detector_node', values, '/'):
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        peer.node.create_publisher(Image, 'image', best_effort)
        status = peer.wait(
            lambda: next(
                (s for s in [peer.status('images')] if int(s.get('qos_mismatches', 0))), None
            ),
            'the report of the mismatch',
        )
        assert status['level'] == DiagnosticStatus.ERROR
        assert 'quality of service' in status['message']


def test_the_newest_picture_wins_and_every_one_is_accounted_for(
    tiny_artifact: Path, picture: np.ndarray
) -> None:
    with Peer() as peer, NodeProcess('detector_node', parameters(tiny_artifact, **RELIABLE), '/'):
        peer.wait_active()
        large = cv2.resize(picture, (1280, 720))
        headers = [peer.send(large) for _ in range(10)]
        peer.answer_to(headers[-1])
        answers = len(peer.detections)
        status = peer.wait_count(processed=answers, skipped=0)
    # What never reached the callback was replaced in the reader's own one-place history.
    assert answers <= int(status['received']) <= len(headers)
    assert int(status['received']) == answers + int(status['replaced'])


def test_a_model_parameter_may_be_set_to_what_it_is(detector: Peer, tiny_artifact: Path) -> None:
    assert detector.set_parameter('artifact', str(tiny_artifact)).successful
    assert detector.set_parameter('runtime', 'onnxruntime').successful
