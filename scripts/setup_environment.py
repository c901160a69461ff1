#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make .venv with all that `make test` and `make demo` need; once, then it returns at once.

With `--only runtime` it leaves out what trains and tests, PyTorch first of all; a later call
without completes it.
Beside a sourced ROS distribution it takes everything of ROS from there, else from wheels.
Settings: pip's own (PIP_INDEX_URL, PIP_FIND_LINKS …), and TORCH_INDEX_URL, an index with the
CPU build of torch for those who do not want the gigabytes of CUDA that the default one brings.
"""

import argparse
import ctypes
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Dict, Iterator, List

REPOSITORY = Path(__file__).resolve().parent.parent
SCRIPTS = REPOSITORY / 'scripts'
VENV = REPOSITORY / '.venv'
VENV_PYTHON = VENV / 'bin' / 'python'
STAMP = VENV / '.kd_yolo_ros_setup'
EXTRAS = {  # by what is asked for
    'runtime': 'onnxruntime,openvino',
    'all': 'onnxruntime,openvino,tflite,training,test',
}
COSTS = {'runtime': 'a minute or two', 'all': 'minutes and gigabytes'}

PYTHON = 'python{}.{}'.format(*sys.version_info)
OLDEST_PYTHON = (3, 10)  # what training needs
WHEEL_PYTHONS = [(3, 11), (3, 12), (3, 13)]  # those that every pin of constraints.txt serves
ROS_WHEELS = [
    'ros-jazzy-rclpy[fastrtps]',
    'ros-jazzy-diagnostic-msgs',
    'ros-jazzy-geometry-msgs',
    'ros-jazzy-sensor-msgs',
    'ros-jazzy-std-msgs',
    'ros-std-srvs',
]
ROS_PACKAGES = ['diagnostic_msgs', 'launch_ros', 'lifecycle_msgs', 'sensor_msgs', 'vision_msgs']


def main() -> None:
    """Bring .venv up to date, or leave with one sentence that says what is missing."""
    parser = argparse.ArgumentParser(description='Make .venv, or bring it up to date.')
    parser.add_argument('--only', choices=['runtime'], help='what runs models, nothing else')
    wanted = parser.parse_args().only or 'all'
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            f'{PYTHON} is too old to train and test with, name 3.10 or newer, as in '
            'make PYTHON=python3.11; the nodes alone install with pip from 3.8 on.'
        )
    with open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second make waits for the first
        fingerprint = environment_hash()
        if is_ready(wanted, fingerprint):
            return
        distribution = os.environ.get('ROS_DISTRO', '')
        if distribution:
            check_distribution(distribution)
            check_system(compiles=False)
            make_venv(system_site_packages=True)
            pip_install('constraints-distribution.txt', [], wanted)
        else:
            check_wheels()
            check_system(compiles=True)
            make_venv(system_site_packages=False)
            pip_install('constraints.txt', ROS_WHEELS, wanted)
            say('building vision_msgs from interfaces/ (about 15 s)')
            run([VENV_PYTHON, SCRIPTS / 'build_interfaces.py'])
        write_whole(STAMP, f'{fingerprint} {wanted}')
    say('the environment in .venv is ready')


def is_ready(wanted: str, fingerprint: str) -> bool:
    """Whether .venv holds what is wanted, 'runtime' or 'all', as it is described today."""
    made = STAMP.read_text().split() if STAMP.is_file() else []
    return made in ([fingerprint, wanted], [fingerprint, 'all'])


def environment_hash() -> str:
    """A hash of everything that decides what .venv holds."""
    ros = os.environ.get('ROS_DISTRO', '')
    digest = hashlib.sha256(f'{PYTHON} {ros} {REPOSITORY}'.encode())
    sources = [
        REPOSITORY / 'setup.py',
        Path(__file__),
        SCRIPTS / 'build_interfaces.py',
        *SCRIPTS.glob('constraints*.txt'),
        *REPOSITORY.glob('interfaces/**/*.*'),
    ]
    for path in sorted(sources):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def check_distribution(distribution: str) -> None:
    """Leave with a sentence unless this Python can use the sourced ROS distribution."""
    probe = [sys.executable, '-c', 'import rclpy']
    if subprocess.run(probe, stderr=subprocess.DEVNULL).returncode:
        sys.exit(
            f'ROS {distribution} is sourced, but {sys.executable} cannot import its rclpy: name '
            'the Python of that distribution, as in make PYTHON=/usr/bin/python3, or start from '
            'a shell where ROS is not sourced.'
        )
    missing = [name for name in ROS_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        packages = ' '.join(f'ros-{distribution}-{name.replace("_", "-")}' for name in missing)
        sys.exit(
            f'ROS {distribution} lacks {", ".join(missing)}; install: sudo apt install {packages}'
        )


def check_wheels() -> None:
    """Leave with a sentence where PyPI carries no ROS for this machine."""
    if (platform.system(), platform.machine()) != ('Linux', 'x86_64'):
        sys.exit(
            f'ROS comes as wheels for x86-64 Linux only, and this is {platform.machine()} '
            f'{platform.system()}: install and source a ROS 2 distribution first.'
        )
    if sys.version_info[:2] not in WHEEL_PYTHONS:
        known = ', '.join('{}.{}'.format(*version) for version in WHEEL_PYTHONS)
        sys.exit(
            f'{PYTHON} does not fit the pinned packages: name one of {known}, as in '
            'make PYTHON=python3.11, or source a ROS 2 distribution first.'
        )


def check_system(compiles: bool) -> None:
    """Leave with the one apt line that installs what the system lacks.

    Args:
        compiles: whether vision_msgs will be compiled here, for which a compiler is needed.
    """
    packages = list(missing_packages(compiles))
    if packages:
        sys.exit(
            'This machine lacks system packages; on Debian or Ubuntu install them with: '
            f'sudo apt install {" ".join(packages)}'
        )


def missing_packages(compiles: bool) -> Iterator[str]:
    """Yield the apt package of everything that is not there."""
    if importlib.util.find_spec('ensurepip') is None:
        yield f'{PYTHON}-venv'
    if compiles and shutil.which('g++') is None:
        yield 'g++'
    if compiles and not Path(sysconfig.get_paths()['include'], 'Python.h').is_file():
        yield f'{PYTHON}-dev'
    for library, package in [
        ('libGL.so.1', 'libgl1'),  # both are what opencv-python's wheel leaves to the system
        ('libgthread-2.0.so.0', 'libglib2.0-0'),
    ]:
        try:
            ctypes.CDLL(library)
        except OSError:
            yield package


def make_venv(system_site_packages: bool) -> None:
    """Create .venv, repair a half-made one, replace one made for another Python or ROS."""
    settings = read_settings(VENV / 'pyvenv.cfg')
    options = ['--system-site-packages'] if system_site_packages else []
    if settings:
        version = '.'.join(settings.get('version', '').split('.')[:2])
        seen = settings.get('include-system-site-packages') == 'true'
        if f'python{version}' != PYTHON or seen != system_site_packages:
            say('.venv was made for another Python or ROS: making it anew')
            options.append('--clear')
        elif VENV_PYTHON.exists() and works([VENV_PYTHON, '-m', 'pip', '--version']):
            return
    say(f'making .venv with {PYTHON}')
    run([sys.executable, '-m', 'venv', *options, VENV])


def read_settings(path: Path) -> Dict[str, str]:
    """Return the `key = value` lines of pyvenv.cfg; empty when it is missing or torn."""
    if not path.is_file():
        return {}
    pairs = [line.split('=', 1) for line in path.read_text().splitlines() if '=' in line]
    return {key.strip(): value.strip() for key, value in pairs}


def pip_install(constraints: str, requirements: List[str], wanted: str) -> None:
    """Install `requirements` and this package with its extras; what is there already stays."""
    say(f'installing packages; the first time this takes {COSTS[wanted]}')
    command = [VENV_PYTHON, '-m', 'pip', 'install', '--disable-pip-version-check']
    command += ['--constraint', SCRIPTS / constraints]
    if os.environ.get('TORCH_INDEX_URL'):
        command += ['--extra-index-url', os.environ['TORCH_INDEX_URL']]
    run([*command, *requirements, '--editable', f'{REPOSITORY}[{EXTRAS[wanted]}]'])


def child_environment() -> Dict[str, str]:
    """This process' environment without the mark by which the ROS wheels skip their set-up."""
    environment = dict(os.environ)
    environment.pop('_ROS_WHEELS_BOOTSTRAP_COMPLETE', None)
    return environment


def works(command: List[object]) -> bool:
    """Whether a command succeeds; what it writes is dropped."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, env=child_environment())
    return done.returncode == 0


def run(command: List[object]) -> None:
    """Run a command silently; when it fails, show the end of what it wrote and leave."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=child_environment(),
    )
    if done.returncode:
        print('\n'.join(done.stdout.splitlines()[-40:]), file=sys.stderr)
        sys.exit(
            'Setting up failed at the step above; the next make goes on from there '
            f'(exit status {done.returncode}: {" ".join(words)})'
        )


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(f'{path.name}.new')
    temporary.write_text(text)
    os.replace(temporary, path)


def say(line: str) -> None:
    """Print one line of progress."""
    print(f'setup: {line}', flush=True)


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('setup: interrupted; the next make goes on from there')
