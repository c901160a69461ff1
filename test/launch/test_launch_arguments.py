# SPDX-License-Identifier: Apache-2.0
"""What the launch files hand to their nodes, by stand-ins for the launch system."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / 'launch'
SHARED = 'kd_yolo_ros.nodes.launching'
MODULES = {
    'launch': ['LaunchDescription'],
    'launch.actions': ['DeclareLaunchArgument', 'OpaqueFunction', 'SetEnvironmentVariable'],
    'launch.conditions': ['IfCondition'],
    'launch.substitutions': ['EnvironmentVariable', 'LaunchConfiguration', 'PythonExpression'],
    'launch_ros': [],
    'launch_ros.actions': ['LifecycleNode', 'Node'],
}


class StandIn:
    """Keeps what it is made with; performed, it is the value of its argument."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.arguments = arguments
        self.options = options

    def perform(self, context: dict[str, str]) -> str:
        return context[self.arguments[0]]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StandIn]]:
    """Return the node that a launch file starts, for arguments by name."""
    for name, classes in MODULES.items():
        module = ModuleType(name)
        for one in classes:
            setattr(module, one, type(one, (StandIn,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules.pop(SHARED, None)

    def node(task: str, **given: str) -> StandIn:
        file = FOLDER / f'{task}.launch.py'
        spec = importlib.util.spec_from_file_location(f'{task}_launch', file)
        launch_file = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(launch_file)
        (actions,) = launch_file.generate_launch_description().arguments
        by_kind: dict[str, list[StandIn]] = {}
        for action in actions:
            by_kind.setdefault(type(action).__name__, []).append(action)
        context = {
            one.arguments[0]: one.options['default_value']
            for one in by_kind['DeclareLaunchArgument']
        }
        assert given.keys() <= context.keys()
        context.update(given)
        (late,) = by_kind['OpaqueFunction']
        (node,) = late.options['function'](context, *late.options['args'])
        node.context = context
        return node

    yield node
    sys.modules.pop(SHARED, None)  # it has imported the stand-ins


def parameters(node: StandIn) -> tuple[str, dict[str, str]]:
    file, values = node.options['parameters']
    return file.perform(node.context), {n: v.perform(node.context) for n, v in values.items()}


@pytest.mark.parametrize('task', ['detector', 'segmenter'])
def test_what_is_not_given_is_left_to_the_file(
    task: str, launched: Callable[..., StandIn]
) -> None:
    file, values = parameters(launched(task, params_file='mine.yaml'))
    assert file == 'mine.yaml'
    assert values == {'autostart': 'true', 'use_sim_time': 'false'}


@pytest.mark.parametrize('task', ['detector', 'segmenter'])
def test_what_is_given_wins(task: str, launched: Callable[..., StandIn]) -> None:
    given = {'artifact': '/models/a b', 'precision': 'int8', 'provider': 'cuda'}
    node = launched(task, **given)
    file, values = parameters(node)
    assert Path(file) == FOLDER.parent / 'config' / f'{task}.param.yaml' and Path(file).is_file()
    assert given.items() <= values.items() and 'runtime' not in values
    assert (node.options['executable'], node.options['name']) == (f'{task}_node', task)


def test_topics_can_be_renamed(launched: Callable[..., StandIn]) -> None:
    node = launched('segmenter', instance_mask='front/instances', image='front/image_raw')
    names = {topic: v.perform(node.context) for topic, v in node.options['remappings']}
    assert names == {
        'image': 'front/image_raw',
        'detections': 'detections',
        'instance_mask': 'front/instances',
        'semantic_mask': 'semantic_mask',
    }
