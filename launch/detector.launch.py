# SPDX-License-Identifier: Apache-2.0
"""Starts the detector, and with `source:=…` a camera in front of it."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PythonExpression
from launch_ros.actions import LifecycleNode, Node

import kd_yolo_ros

CONFIG = Path(__file__).resolve().parent.parent / 'config'  # installed as in the repository
FASTDDS_PROFILE = Path(kd_yolo_ros.__file__).parent / 'nodes' / 'fastdds_large_images.xml'

ARGUMENTS = (
    (
        'artifact',
        '',
        'Folder of the model; empty for that of params_file, or else the bundled one',
    ),
    ('runtime', '', 'auto, onnxruntime, openvino, …; empty for what params_file says'),
    ('provider', '', 'Of the runtime: cpu, cuda, …; empty for what params_file says'),
    ('precision', '', 'auto, fp32, bf16, fp16 or int8; empty for what params_file says'),
    ('image', 'image', 'Topic of the pictures (sensor_msgs/Image)'),
    ('detections', 'detections', 'Topic of the detections (vision_msgs/Detection2DArray)'),
    ('namespace', '', 'Namespace of the nodes'),
    ('params_file', str(CONFIG / 'detector.param.yaml'), 'Further parameters'),
    ('autostart', 'true', 'Configure and activate without a lifecycle manager'),
    ('use_sim_time', 'false', 'Take the time from /clock, as for a bag'),
    ('source', '', 'Also start camera_node on this video, folder, bag or device'),
    ('log_level', 'info', 'debug, info, warn, error'),
)

MODEL = ('artifact', 'runtime', 'provider', 'precision')


def generate_launch_description():
    """Return the detector, and the camera where a source is given."""
    value = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    camera = Node(
        package='kd_yolo_ros',
        executable='camera_node',
        name='camera',
        namespace=value['namespace'],
        parameters=[
            str(CONFIG / 'camera.param.yaml'),
            {'source': value['source'], 'use_sim_time': value['use_sim_time']},
        ],
        remappings=[('image', value['image'])],
        output='screen',
        condition=IfCondition(PythonExpression(["'", value['source'], "' != ''"])),
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            # Without it, Fast DDS loses most pictures over half a megabyte.
            SetEnvironmentVariable(
                'FASTRTPS_DEFAULT_PROFILES_FILE',
                EnvironmentVariable(
                    'FASTRTPS_DEFAULT_PROFILES_FILE', default_value=str(FASTDDS_PROFILE)
                ),
            ),
            OpaqueFunction(function=start_detector, args=[value]),
            camera,
        ]
    )


def start_detector(context, value):
    """Return the detector; what is given of MODEL wins over params_file, and only that."""
    given = [name for name in MODEL if value[name].perform(context)]
    detector = LifecycleNode(
        package='kd_yolo_ros',
        executable='detector_node',
        name='detector',
        namespace=value['namespace'],
        parameters=[
            value['params_file'],
            {name: value[name] for name in (*given, 'autostart', 'use_sim_time')},
        ],
        remappings=[(name, value[name]) for name in ('image', 'detections')],
        arguments=['--ros-args', '--log-level', value['log_level']],
        output='screen',
    )
    return [detector]
