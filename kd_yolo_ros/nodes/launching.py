# SPDX-License-Identifier: Apache-2.0
"""What the launch files of the inference nodes share; they import it where `launch` is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PythonExpression
from launch_ros.actions import LifecycleNode, Node

FASTDDS_PROFILE = Path(__file__).with_name('fastdds_large_images.xml')
MODEL = ('artifact', 'runtime', 'provider', 'precision')

Argument = Tuple[str, str, str]  # name, default and description


def arguments(config: Path, name: str, outputs: Sequence[Argument]) -> List[Argument]:
    """Return the launch arguments of an inference node.

    Args:
        config: folder of the parameter files.
        name: of the node.
        outputs: its topics, which can be renamed.
    """
    return [
        ('artifact', '', 'Folder of the model; empty for what params_file says'),
        ('runtime', '', 'auto, onnxruntime, openvino, …; empty for what params_file says'),
        ('provider', '', 'Of the runtime: cpu, cuda, …; empty for what params_file says'),
        ('precision', '', 'auto, fp32, bf16, fp16 or int8; empty for what params_file says'),
        ('image', 'image', 'Topic of the pictures (sensor_msgs/Image)'),
        ('detections', 'detections', 'Topic of the detections (vision_msgs/Detection2DArray)'),
        *outputs,
        ('namespace', '', 'Namespace of the nodes'),
        ('params_file', str(config / f'{name}.param.yaml'), 'Further parameters'),
        ('autostart', 'true', 'Configure and activate without a lifecycle manager'),
        ('use_sim_time', 'false', 'Take the time from /clock, as for a bag'),
        ('source', '', 'Also start camera_node on this video, folder, bag or device'),
        ('log_level', 'info', 'debug, info, warn, error'),
    ]


def describe(config: Path, name: str, outputs: Sequence[Argument] = ()) -> LaunchDescription:
    """Return the launch of a node, and of a camera where a source is given; see `arguments`."""
    declared = arguments(config, name, outputs)
    value = {argument: LaunchConfiguration(argument) for argument, _, _ in declared}
    topics = ('image', 'detections', *(topic for topic, _, _ in outputs))
    camera = Node(
        package='kd_yolo_ros',
        executable='camera_node',
        name='camera',
        namespace=value['namespace'],
        parameters=[
            str(config / 'camera.param.yaml'),
            {'source': value['source'], 'use_sim_time': value['use_sim_time']},
        ],
        remappings=[('image', value['image'])],
        output='screen',
        condition=IfCondition(PythonExpression(["'", value['source'], "' != ''"])),
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(argument, default_value=default, description=description)
                for argument, default, description in declared
            ),
            # Without it, Fast DDS loses most pictures over half a megabyte.
            SetEnvironmentVariable(
                'FASTRTPS_DEFAULT_PROFILES_FILE',
                EnvironmentVariable(
                    'FASTRTPS_DEFAULT_PROFILES_FILE', default_value=str(FASTDDS_PROFILE)
                ),
            ),
            OpaqueFunction(function=_start, args=[name, topics, value]),
            camera,
        ]
    )


def _start(context: Any, name: str, topics: Sequence[str], value: Dict[str, Any]) -> List[Any]:
    """Return the node; what is given of MODEL wins over params_file, and only that."""
    given = [argument for argument in MODEL if value[argument].perform(context)]
    node = LifecycleNode(
        package='kd_yolo_ros',
        executable=f'{name}_node',
        name=name,
        namespace=value['namespace'],
        parameters=[
            value['params_file'],
            {argument: value[argument] for argument in (*given, 'autostart', 'use_sim_time')},
        ],
        remappings=[(topic, value[topic]) for topic in topics],
        arguments=['--ros-args', '--log-level', value['log_level']],
        output='screen',
    )
    return [node]
