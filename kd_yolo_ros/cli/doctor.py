# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo doctor`: what this machine has, what it can really run, and how to get the rest."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import click

from kd_yolo_ros.cli.common import common_options, print_table

ROS_PACKAGES = ('rclpy', 'sensor_msgs', 'vision_msgs', 'diagnostic_msgs', 'lifecycle_msgs')


class Finding(NamedTuple):
    """One line of the table.

    Attributes:
        what: that was looked for.
        state: 'ok', 'missing' or 'optional', the last for what may well be missing.
        detail: version, providers and precisions, or how to get it.
    """

    what: str
    state: str
    detail: str


@click.command()
@common_options
def doctor(json_file: Optional[Path]) -> None:
    """Show ROS, middleware and runtimes with their providers; exit 1 when none runs INT8."""
    from kd_yolo_ros.metrics.report import new_report, write_json

    runtimes = _runtimes()
    findings = [*_ros(), *runtimes, *_training()]
    report = new_report('doctor', findings=[finding._asdict() for finding in findings])
    if json_file:
        write_json(json_file, report)
    host = report['host']
    click.echo(f'{host["os"]}, {host["cpu"]}, {host["cores"]} cores, {host["memory_gb"]} GB')
    click.echo(f'CPU features that matter: {", ".join(host["cpu_features"]) or "none"}')
    print_table('doctor', ['what', 'state', 'detail'], findings)
    if not any(finding.state == 'ok' and 'int8' in finding.detail for finding in runtimes):
        click.echo(
            'No runtime for INT8 is installed: pip install onnxruntime or openvino.', err=True
        )
        raise SystemExit(1)


def _ros() -> List[Finding]:
    missing = [name for name in ROS_PACKAGES if importlib.util.find_spec(name) is None]
    distribution = os.environ.get('ROS_DISTRO')
    if missing:
        how = (
            f'sudo apt install {" ".join(_apt(name, distribution) for name in missing)}'
            if distribution
            else 'source a ROS distribution, or make setup for one inside .venv'
        )
        return [Finding('ROS 2', 'missing', f'{", ".join(missing)}: {how}')]
    findings = [Finding('ROS 2', 'ok', distribution or 'wheels in the virtual environment')]
    try:
        from kd_yolo_ros.nodes.process import FASTDDS_PROFILE, middleware
    except ImportError as error:
        return [Finding('ROS 2', 'missing', f'rclpy does not import: {error}')]
    name = middleware()
    findings.append(Finding('middleware', 'ok', name))
    if 'fastrtps' in name:
        profile = os.environ.get('FASTRTPS_DEFAULT_PROFILES_FILE')
        findings.append(
            Finding('large images', 'ok', profile)
            if profile
            else Finding(
                'large images',
                'optional',
                'our own processes set a profile; for your camera driver: '
                f'export FASTRTPS_DEFAULT_PROFILES_FILE={FASTDDS_PROFILE}',
            )
        )
    return [*findings, _optional('cv_bridge', _apt('cv_bridge', distribution))]


def _runtimes() -> List[Finding]:
    from kd_yolo_ros.plugins import BACKENDS, entry_points

    findings = []
    for name, point in sorted(entry_points(BACKENDS).items()):
        try:
            backend: Any = point.load()
            if not backend.installed():
                findings.append(Finding(name, 'optional', f'not installed: {backend.install}'))
                continue
            importlib.import_module(backend.package)
            providers = ', '.join(backend.providers())
        except Exception as error:  # an import may fail in any way
            findings.append(Finding(name, 'missing', f'does not import: {error}'))
            continue
        if not providers:
            detail = f'{backend.version()}: finds no device to run on'
            findings.append(Finding(name, 'missing', detail))
            continue
        precisions: Dict[str, str] = backend.precisions()
        detail = ', '.join(f'{precision} ({remark})' for precision, remark in precisions.items())
        findings.append(Finding(name, 'ok', f'{backend.version()} on {providers}: {detail}'))
    return findings


def _training() -> List[Finding]:
    missing = [
        name for name in ('torch', 'onnx', 'nncf') if importlib.util.find_spec(name) is None
    ]
    if missing:
        how = "pip install 'kd_yolo_ros[training]'"
        return [Finding('training', 'optional', f'no {", ".join(missing)}: {how}')]
    return [Finding('training', 'ok', 'import and quantize can run')]


def _optional(module: str, package: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding(module, 'optional', f'not installed: sudo apt install {package}')
    return Finding(module, 'ok', 'installed')


def _apt(package: str, distribution: Optional[str]) -> str:
    return f'ros-{distribution or "$ROS_DISTRO"}-{package.replace("_", "-")}'
