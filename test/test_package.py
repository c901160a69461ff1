# SPDX-License-Identifier: Apache-2.0
"""What a ROS workspace and pip see of the package: its manifest, its files, its entry points."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
NAME = 'kd_yolo_ros'
MANIFEST = ElementTree.parse(REPOSITORY / 'package.xml').getroot()


def manifest_names(tag: str) -> list[str]:
    return [element.text or '' for element in MANIFEST.findall(tag)]


def ros_imports() -> set[str]:
    """The ROS packages that nodes/ and the launch files import."""
    names: set[str] = set()
    sources = [*(REPOSITORY / NAME / 'nodes').rglob('*.py'), *REPOSITORY.glob('launch/*.py')]
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition('.')[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add((node.module or '').partition('.')[0])
    ros = {'rclpy', 'launch', 'launch_ros', 'cv_bridge', 'ament_index_python'}
    return {name for name in names if name in ros or name.endswith(('_msgs', '_interfaces'))}


def test_manifest_is_an_ament_python_package_of_format_3() -> None:
    assert MANIFEST.get('format') == '3'
    assert MANIFEST.findtext('name') == NAME
    assert MANIFEST.findtext('export/build_type') == 'ament_python'
    assert manifest_names('license') == ['Apache-2.0']
    assert MANIFEST.find('buildtool_depend') is None


def test_manifest_names_every_ros_package_that_is_imported() -> None:
    assert ros_imports() <= set(manifest_names('exec_depend'))


def test_manifest_names_each_dependency_once() -> None:
    for tag in ('exec_depend', 'test_depend'):
        names = manifest_names(tag)
        assert all(names) and len(names) == len(set(names))
    # Used where they are installed, and so imported by name only.
    assert {'cv_bridge', 'launch_ros'} <= set(manifest_names('exec_depend'))


def test_version_is_the_same_everywhere() -> None:
    assert MANIFEST.findtext('version') == metadata.version(NAME)


@pytest.mark.parametrize('group', ['console_scripts', f'{NAME}.verbs', f'{NAME}.backends'])
def test_entry_points_load(group: str) -> None:
    entry_points = [
        entry_point
        for entry_point in metadata.distribution(NAME).entry_points
        if entry_point.group == group
    ]
    assert entry_points
    for entry_point in entry_points:
        if not entry_point.value.startswith(f'{NAME}.nodes') or importlib.util.find_spec('rclpy'):
            assert callable(entry_point.load()), entry_point.value


@pytest.fixture(scope='module')
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain, not editable, `pip install` of the package into an empty folder."""
    source = tmp_path_factory.mktemp('source')  # a copy: setup.py leaves build/ beside itself
    for name in ['setup.py', 'setup.cfg', 'pyproject.toml', 'package.xml']:
        shutil.copy(REPOSITORY / name, source)
    for name in ['resource', 'launch', 'config', NAME, 'training']:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, source / name)
    target = tmp_path_factory.mktemp('installed')
    pip = [sys.executable, '-m', 'pip', 'install', '--no-deps', '--no-build-isolation', '--quiet']
    subprocess.run([*pip, '--target', str(target), str(source)], check=True)
    return target


@pytest.mark.parametrize(('folder', 'name'), [(NAME, NAME), ('training', 'kd_yolo_training')])
def test_every_module_is_installed(installed: Path, folder: str, name: str) -> None:
    def modules(root: Path) -> set[str]:
        return {str(path.relative_to(root)) for path in root.rglob('*.py')}

    assert modules(installed / name) == modules(REPOSITORY / folder)


@pytest.mark.parametrize('pattern', ['models/*/*', 'nodes/*.xml', 'metrics/*.schema.json'])
def test_package_data_is_installed(installed: Path, pattern: str) -> None:
    wanted = {path.name for path in (REPOSITORY / NAME).glob(pattern)}
    assert wanted
    assert {path.name for path in (installed / NAME).glob(pattern)} == wanted


def test_bundled_recipes_are_installed(installed: Path) -> None:
    wanted = {path.name for path in (REPOSITORY / 'training/recipes/bundled').glob('*.yaml')}
    found = {path.name for path in (installed / 'kd_yolo_training/recipes/bundled').iterdir()}
    assert wanted and found == wanted


def test_share_folder_is_what_ros_looks_for(installed: Path) -> None:
    share = installed / 'share'
    assert (share / 'ament_index' / 'resource_index' / 'packages' / NAME).is_file()
    assert (share / NAME / 'package.xml').is_file()
    for folder, pattern in [('launch', '*.launch.py'), ('config', '*.yaml')]:
        wanted = {path.name for path in (REPOSITORY / folder).glob(pattern)}
        assert {path.name for path in (share / NAME / folder).glob(pattern)} == wanted
