# SPDX-License-Identifier: Apache-2.0
"""What launch/detector.launch.py hands to the detector, by stand-ins for the launch system."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / 'launch' / 'detector.launch.py'
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
def detector(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Return the parameters of the detector, one after another, for arguments by name."""
    for name, classes in MODULES.items():
        module = ModuleType(name)
        for one in classes:
            setattr(module, one, type(one, (StandIn,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location('detector_launch', FILE)
    launch_file = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launch_file)

    def parameters(**given: str) -> list[Any]:
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
        file, values = node.options['parameters']
        return [
            file.perform(context), {name: one.perform(context) for name, one in values.items()}
        ]  # fmt: skip

    return parameters


def test_what_is_not_given_is_left_to_the_file(detector: Callable[..., list[Any]]) -> None:
    file, values = detector(params_file='mine.yaml')
    assert file == 'mine.yaml'
    assert values == {'autostart': 'true', 'use_sim_time': 'false'}


def test_what_is_given_wins(detector: Callable[..., list[Any]]) -> None:
    given = {'artifact': '/models/a b', 'precision': 'int8', 'provider': 'cuda'}
    file, values = detector(**given)
    assert Path(file).is_file()
    assert given.items() <= values.items() and 'runtime' not in values
