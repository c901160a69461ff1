# SPDX-License-Identifier: Apache-2.0
"""vision_msgs is on the wire what the rest of the ROS world knows as vision_msgs 4.1.1."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

vision_msgs = pytest.importorskip('vision_msgs.msg', reason='vision_msgs is not installed')

# The RIHS01 type hashes that a ROS 2 Jazzy distribution announces.
HASHES = {
    'Detection2DArray': '214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968',
    'Detection2D': '0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea',
    'LabelInfo': '3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783',
    'VisionInfo': '95d3116a17484ad91c9a2686e1d54890bbfc3ff6c6a2de137738c4950d45d284',
}
REPOSITORY = Path(__file__).resolve().parents[2]
DEFINITIONS = REPOSITORY / 'interfaces' / 'vision_msgs' / 'msg'
needs_type_hashes = pytest.mark.skipif(
    os.environ.get('ROS_DISTRO') == 'humble', reason='Humble has no type hashes'
)


def installed_descriptions() -> Path:
    from ament_index_python import get_package_share_directory

    return Path(get_package_share_directory('vision_msgs')) / 'msg'


@needs_type_hashes
@pytest.mark.parametrize('name', HASHES)
def test_description_has_the_known_hash(name: str) -> None:
    description = json.loads((installed_descriptions() / f'{name}.json').read_text())
    hashes = {entry['type_name']: entry['hash_string'] for entry in description['type_hashes']}
    assert hashes[f'vision_msgs/msg/{name}'] == f'RIHS01_{HASHES[name]}'


@needs_type_hashes
@pytest.mark.parametrize('name', HASHES)
def test_publisher_announces_the_known_hash(name: str) -> None:
    import rclpy
    from rclpy.context import Context

    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('vision_msgs_hashes', context=context)
    try:
        node.create_publisher(getattr(vision_msgs, name), name.lower(), 1)
        (publisher,) = node.get_publishers_info_by_topic(name.lower())
        assert str(publisher.topic_type_hash) == f'RIHS01_{HASHES[name]}'
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_every_definition_is_there_and_round_trips() -> None:
    from rclpy.serialization import deserialize_message, serialize_message

    names = [path.stem for path in DEFINITIONS.glob('*.msg')]
    assert len(names) == 16
    for name in names:
        kind = getattr(vision_msgs, name)
        assert deserialize_message(serialize_message(kind()), kind) == kind()
