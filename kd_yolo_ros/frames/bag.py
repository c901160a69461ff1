# SPDX-License-Identifier: Apache-2.0
"""A rosbag2 recording (sqlite3 or mcap), read through `rosbags` without ROS.

Images keep the bytes as recorded, but one without a stamp gets its time of recording. Ground
truth comes from a Detection2DArray topic.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.frames.frame import DEFAULT_FRAME_ID, Frame, Size, Source, resized
from kd_yolo_ros.image_encoding import decode_compressed, to_bgr

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
DETECTIONS = 'vision_msgs/msg/Detection2DArray'

Box = Tuple[float, float, float, float]

# vision_msgs 4, for bags that carry no definitions (recorded before Iron).
_VISION_MSGS = {
    'Point2D': 'float64 x\nfloat64 y',
    'Pose2D': 'vision_msgs/Point2D position\nfloat64 theta',
    'BoundingBox2D': 'vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y',
    'ObjectHypothesis': 'string class_id\nfloat64 score',
    'ObjectHypothesisWithPose': (
        'vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose'
    ),
    'Detection2D': (
        'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
        'vision_msgs/BoundingBox2D bbox\nstring id'
    ),
    'Detection2DArray': 'std_msgs/Header header\nvision_msgs/Detection2D[] detections',
}


class Bag(Source):
    """The images of one topic, in the order in which they were recorded.

    Args:
        path: the bag's folder, or a single .db3 or .mcap file.
        topic: of sensor_msgs Image or CompressedImage; the bag's only one without.
        size: (width, height) to rescale to.

    Raises:
        UserError: the bag is cut off, empty, without that topic, or has several.
    """

    def __init__(self, path: Path, topic: Optional[str] = None, size: Size = None) -> None:
        super().__init__(size)
        self.path = path
        with _opened(path) as reader:
            connections = _choose(reader, path, topic, (IMAGE, COMPRESSED_IMAGE))
            self.topic: str = connections[0].topic
            self.message_type: str = connections[0].msgtype
            self.length = sum(connection.msgcount for connection in connections)
            self._deserialize = _deserializer(connections[0])
        self.description = f'{path.name}, topic {self.topic}'

    def __iter__(self) -> Iterator[Frame]:
        count = 0
        for recorded_ns, data in _messages(self.path, self.topic, (self.message_type,)):
            stamp_ns, frame_id = _header(data, recorded_ns)
            if stamp_ns == 0:  # a driver that does not stamp
                stamp_ns, data = recorded_ns, _stamped(data, recorded_ns)
            untouched = self.size is None
            yield Frame(
                f'frame_{count:06d}',
                stamp_ns,
                frame_id,
                self._loader(data, count),
                data if untouched else None,
                self.message_type if untouched else None,
            )
            count += 1
        if count < len(self):
            raise UserError(
                _unreadable(self.path, f'it announces {len(self)} images, has {count}')
            )

    def _loader(self, data: bytes, index: int) -> Callable[[], np.ndarray]:
        def load() -> np.ndarray:
            try:
                return resized(self._decode(data), self.size)
            except UserError as error:
                raise UserError(f'{self.description}, image {index}: {error}') from error

        return load

    def _decode(self, data: bytes) -> np.ndarray:
        try:
            message = self._deserialize(data)
        except Exception as error:  # rosbags raises whatever it meets in broken data
            raise UserError(f'the message of {len(data)} bytes is cut off or broken') from error
        if self.message_type == COMPRESSED_IMAGE:
            return decode_compressed(message.data)
        return to_bgr(
            message.data,
            message.width,
            message.height,
            message.encoding,
            message.step,
            bool(message.is_bigendian),
        )


def ground_truth(path: Path, topic: Optional[str] = None) -> Dict[int, List[Tuple[str, Box]]]:
    """Return {image stamp in ns: [(class, (x1, y1, x2, y2) in pixels)]} of a detections topic.

    Args:
        path: the bag.
        topic: of vision_msgs/msg/Detection2DArray; the bag's only one without.

    Raises:
        UserError: as for Bag, or a message is broken or an object has no class.
    """
    with _opened(path) as reader:
        connection = _choose(reader, path, topic, (DETECTIONS,))[0]
        deserialize = _deserializer(connection)
    truth = {}
    for _, data in _messages(path, connection.topic, (DETECTIONS,)):
        try:
            message = deserialize(data)
        except Exception as error:  # as above
            raise UserError(
                f'{path}, topic {connection.topic}: a message of {len(data)} bytes is broken'
            ) from error
        stamp = message.header.stamp
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        truth[stamp_ns] = [_object(d, f'{path}, stamp {stamp_ns}') for d in message.detections]
    return truth


def message_types() -> Any:
    """Return rosbags' store of the messages of ROS 2, with those of vision_msgs 4."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.LATEST)
    for name, text in _VISION_MSGS.items():
        store.register(get_types_from_msg(text, f'vision_msgs/msg/{name}'))
    return store


def _object(detection: Any, where: str) -> Tuple[str, Box]:
    """Read one Detection2D; older vision_msgs have flat hypotheses and centres."""
    if not len(detection.results):
        raise UserError(f'{where}: an object has no class (its results are empty)')
    hypotheses = [getattr(result, 'hypothesis', result) for result in detection.results]
    best = max(hypotheses, key=lambda hypothesis: hypothesis.score)
    centre = getattr(detection.bbox.center, 'position', detection.bbox.center)
    half_x, half_y = detection.bbox.size_x / 2, detection.bbox.size_y / 2
    box = (centre.x - half_x, centre.y - half_y, centre.x + half_x, centre.y + half_y)
    return str(getattr(best, 'class_id', None) or getattr(best, 'id', '')), box


def _header(data: bytes, recorded_ns: int) -> Tuple[int, str]:
    """Read stamp and frame_id, the first fields of the CDR, without decoding the rest."""
    order = '<' if len(data) > 1 and data[1] & 1 else '>'
    try:
        seconds, nanoseconds, length = struct.unpack_from(f'{order}iII', data, 4)
        (name,) = struct.unpack_from(f'{max(length - 1, 0)}s', data, 16)  # without the NUL
    except struct.error:
        return recorded_ns, DEFAULT_FRAME_ID
    return seconds * 1_000_000_000 + nanoseconds, name.decode(errors='replace')


def _stamped(data: bytes, stamp_ns: int) -> bytes:
    """Return the CDR with this stamp."""
    order = '<' if data[1] & 1 else '>'
    return data[:4] + struct.pack(f'{order}iI', *divmod(stamp_ns, 1_000_000_000)) + data[12:]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from rosbags.rosbag2 import Reader

    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # rosbags raises whatever its parsers meet in a broken file
        raise UserError(_unreadable(path, str(error) or type(error).__name__)) from error
    try:
        yield reader
    finally:
        reader.close()


def _unreadable(path: Path, why: str) -> str:
    return (
        f'{path} cannot be read as a rosbag2 recording ({" ".join(why.split()).rstrip(".")}): '
        'if it was cut off, try `ros2 bag reindex`'
    )


def _choose(reader: Any, path: Path, topic: Optional[str], types: Sequence[str]) -> List[Any]:
    """Return the connections of the wanted topic, which has messages and one of `types`."""
    if not reader.message_count:
        raise UserError(f'{path} is empty, it holds no message')
    fitting = [c for c in reader.connections if c.msgtype in types]
    names = sorted({c.topic for c in fitting})
    offered = f'its {" and ".join(types)} topics are: {", ".join(names) or "none"}'
    if topic is None:
        if len(names) != 1:
            problem = 'has several topics to choose from' if names else 'has no fitting topic'
            raise UserError(f'{path} {problem}, {offered}')
        topic = names[0]
    chosen = [c for c in fitting if c.topic == topic]
    if not chosen:
        raise UserError(f'{path} has no topic {topic}, {offered}')
    if not sum(c.msgcount for c in chosen):
        raise UserError(f'{path} holds no message on topic {topic}')
    return chosen


def _messages(path: Path, topic: str, types: Sequence[str]) -> Iterator[Tuple[int, bytes]]:
    """Yield (time of recording in ns, CDR) of each message on a topic."""
    with _opened(path) as reader:
        connections = [c for c in reader.connections if c.topic == topic and c.msgtype in types]
        messages = reader.messages(connections)
        while True:
            try:
                _, recorded_ns, data = next(messages)
            except StopIteration:
                return
            except Exception as error:  # as in _opened
                raise UserError(_unreadable(path, str(error) or type(error).__name__)) from error
            yield recorded_ns, bytes(data)


def _deserializer(connection: Any) -> Callable[[bytes], Any]:
    """Return what reads a connection's messages, by the definition in the bag if it has one.

    Older versions of rosbags (for Python 3.8) give the definition as plain text.
    """
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    definition = getattr(connection.msgdef, 'data', connection.msgdef)
    form = getattr(getattr(connection.msgdef, 'format', None), 'name', 'MSG')
    if definition and form == 'MSG':
        store = get_typestore(Stores.EMPTY)
        store.register(get_types_from_msg(definition, connection.msgtype))
    else:
        store = get_typestore(Stores.LATEST)
        if definition:
            known = store.fielddefs
            types = get_types_from_idl(definition)
            store.register({name: t for name, t in types.items() if name not in known})
        elif connection.msgtype == DETECTIONS:
            store = message_types()
    return lambda data: store.deserialize_cdr(data, connection.msgtype)
