# SPDX-License-Identifier: Apache-2.0
"""The walls of docs/architecture.md: who may import what, and that nothing unpickles."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / 'kd_yolo_ros'
TRAINING = REPOSITORY / 'training'
NODES = PACKAGE / 'nodes'
RESTRICTED_UNPICKLER = TRAINING / 'models' / 'inert_pickle.py'

PACKAGE_SOURCES = sorted(PACKAGE.rglob('*.py'))
SOURCES = [*PACKAGE_SOURCES, *sorted(TRAINING.rglob('*.py'))]

ROS = {'rclpy', 'launch', 'launch_ros', 'cv_bridge', 'ament_index_python', 'rosidl_runtime_py'}
UNPICKLING_MODULES = {'pickle', '_pickle', 'cloudpickle', 'dill', 'joblib', 'marshal', 'shelve'}
EXECUTING_LOADERS = {
    'cv2.FileStorage',
    'torch.export.load',
    'torch.hub.load',
    'torch.jit.load',
    'torch.load',
    'yaml.full_load',
    'yaml.unsafe_load',
    'yaml.unsafe_load_all',
}


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of every module that is imported, here or inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ''
        elif isinstance(node, ast.Call) and dotted_name(node.func) in (
            '__import__',
            'importlib.import_module',
            'import_module',
        ):
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value


def imports_at_import_time(tree: ast.Module) -> Iterator[str]:
    """Yield the modules that importing the file imports: those outside of functions."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and dotted_name(node.test).endswith('TYPE_CHECKING'):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imported_modules(node)
        pending.extend(ast.iter_child_nodes(node))


def dotted_name(node: ast.AST) -> str:
    """`a.b.c` for such an expression, '' for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        start = dotted_name(node.value)
        return f'{start}.{node.attr}' if start else ''
    return ''


def top(module: str) -> str:
    return module.partition('.')[0]


def is_ros(module: str) -> bool:
    """Whether a module belongs to ROS: its Python packages and its interface packages."""
    return top(module) in ROS or top(module).endswith(('_msgs', '_srvs', '_interfaces'))


def unpickling_calls(tree: ast.AST) -> Iterator[str]:
    """Yield every call of a loader that may execute what it reads."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted_name(node.func)
        if name in EXECUTING_LOADERS:
            yield name
        for keyword in node.keywords:
            if keyword.arg == 'allow_pickle' and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            ):
                yield f'{name}(allow_pickle=…)'


def offenders(paths: Iterable[Path], find: Callable[[Path], object]) -> dict[str, object]:
    """Return what `find` says of every file of which it says anything."""
    found = {str(path.relative_to(REPOSITORY)): find(path) for path in paths}
    return {name: what for name, what in found.items() if what}


def test_only_nodes_import_ros() -> None:
    def find(path: Path) -> set[str]:
        return set(filter(is_ros, imported_modules(parse(path))))

    outside = [path for path in SOURCES if NODES not in path.parents]
    assert offenders(outside, find) == {}


def test_package_imports_neither_training_nor_torch() -> None:
    forbidden = {'torch', 'torchvision', 'ultralytics', 'kd_yolo_training', 'training'}

    def find(path: Path) -> set[str]:
        tree = parse(path)
        imported = forbidden.intersection(map(top, imported_modules(tree)))
        if path.parent.name == 'backends' and path.name.startswith('torch'):
            # The torch backend imports torch when it is chosen, which is inside a function.
            imported -= {'torch'} - set(map(top, imports_at_import_time(tree)))
        return imported

    assert offenders(PACKAGE_SOURCES, find) == {}


def test_ultralytics_is_for_augmentation_and_comparison_alone() -> None:
    allowed = {TRAINING / 'data' / 'augmentation.py', *(TRAINING / 'peers').glob('*.py')}

    def find(path: Path) -> set[str]:
        imported = set(map(top, imported_modules(parse(path))))
        return imported & ({'torchvision'} | ({'ultralytics'} if path not in allowed else set()))

    assert offenders(SOURCES, find) == {}


def test_nothing_unpickles() -> None:
    def find(path: Path) -> set[str]:
        tree = parse(path)
        modules = set(map(top, imported_modules(tree)))
        if path == RESTRICTED_UNPICKLER:
            # It subclasses pickle.Unpickler; the ready-made loaders would execute the file.
            loaders = {'pickle.load', 'pickle.loads', 'pickle._Unpickler'}
            found = loaders.intersection(map(dotted_name, ast.walk(tree)))
            return found | modules & (UNPICKLING_MODULES - {'pickle'})
        return modules & UNPICKLING_MODULES | set(unpickling_calls(tree))

    assert offenders(SOURCES, find) == {}


def test_package_is_python_3_8() -> None:
    def find(path: Path) -> str:
        source = path.read_text()
        code = ast.parse(source, filename=str(path), feature_version=(3, 8)).body[1:]
        future = 'from __future__ import annotations'
        return f'lacks {future}' if code and future not in source else ''

    assert offenders(PACKAGE_SOURCES, find) == {}


def test_every_source_says_licence_and_purpose() -> None:
    def find(path: Path) -> list[str]:
        licence = path.read_text().startswith('# SPDX-License-Identifier: Apache-2.0\n')
        purpose = ast.get_docstring(parse(path))
        return ['no SPDX line'] * (not licence) + ['no docstring'] * (not purpose)

    assert offenders(SOURCES, find) == {}


def test_every_source_folder_is_a_package() -> None:
    without = {path.parent for path in SOURCES if not (path.parent / '__init__.py').is_file()}
    assert without == set()


def test_predictor_brings_neither_torch_nor_matplotlib_nor_ros() -> None:
    program = 'import sys, kd_yolo_ros.predictor; print("\\n".join(sys.modules))'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(map(top, done.stdout.split()))
    assert 'kd_yolo_ros' in loaded
    heavy = {'torch', 'matplotlib', 'pycocotools', 'kd_yolo_training', 'ultralytics', 'nncf'}
    assert loaded & (heavy | ROS) == set()


def test_the_walls_are_seen() -> None:
    """The checks above find what they look for, also inside functions and by other names."""
    tree = ast.parse(
        'def f():\n'
        '    import sensor_msgs.msg as m\n'
        '    from torch import nn\n'
        '    __import__("pickle")\n'
        '    torch.load(p)\n'
        '    numpy.load(p, allow_pickle=True)\n'
    )
    assert list(imported_modules(tree)) == ['sensor_msgs.msg', 'torch', 'pickle']
    assert is_ros('sensor_msgs.msg') and not is_ros('kd_yolo_ros.nodes')
    assert list(imports_at_import_time(tree)) == []
    assert sorted(unpickling_calls(tree)) == ['numpy.load(allow_pickle=…)', 'torch.load']
