# SPDX-License-Identifier: Apache-2.0
"""The model artifact: the one contract between training and the nodes.

A folder with `artifact.yaml`, the manifest, and one model file for each runtime and precision.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Union

import yaml

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import MANIFEST, Manifest, ModelFile


@dataclass(frozen=True)
class Artifact:
    """A manifest and the folder its files lie in.

    Attributes:
        folder: where the files are.
        manifest: what they are.
    """

    folder: Path
    manifest: Manifest

    def model_path(self, file: ModelFile) -> Path:
        """Return the path of a model file after checking every part of it.

        Raises:
            UserError: a part is missing, or its content is not what the manifest says.
        """
        for name, expected in file.sha256.items():
            part = self.folder / name
            if not part.is_file():
                raise UserError(
                    f'{part} is missing, though {MANIFEST} lists it; copy the whole artifact '
                    f'or import the model again.'
                )
            if sha256_of(part) != expected:
                raise UserError(
                    f'{part} is not the file that {MANIFEST} describes (its sha256 differs); '
                    f'copy the artifact again or import the model again.'
                )
        return self.folder / file.path


def load_artifact(path: Union[str, Path]) -> Artifact:
    """Read an artifact folder.

    Raises:
        UserError: nothing there, or no artifact; the message says which and what to do.
    """
    path = Path(path).expanduser()
    manifest_path = path / MANIFEST
    if not path.exists():
        raise UserError(
            f'{path} does not exist; make an artifact with kd-yolo import MODEL --out DIR.'
        )
    if not manifest_path.is_file():
        raise UserError(f'{path} has no {MANIFEST}; give a folder made by kd-yolo import.')
    try:
        data = yaml.safe_load(manifest_path.read_text(encoding='utf-8'))
    # ValueError: no text, or no date; RecursionError: nested too deeply.
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(
            f'{manifest_path} is not readable YAML ({_first_line(error)}); import the model again.'
        ) from None
    manifest = Manifest.from_dict(data, str(manifest_path))
    for file in manifest.files:
        if not file.sha256:
            raise UserError(
                f"{manifest_path}: '{file.path}' has no sha256; import the model again."
            )
    return Artifact(path, manifest)


def write_artifact(
    folder: Union[str, Path], manifest: Manifest, sources: Mapping[str, Path]
) -> Artifact:
    """Write an artifact folder whole or not at all, hashing its files.

    Args:
        folder: where it goes; an artifact that is already there is replaced.
        manifest: each file's `sha256` need only name its parts, hashes are filled in.
        sources: for each file name of the manifest, the file to copy it from.

    Returns:
        The artifact as it was written.

    Raises:
        UserError: something else is there, the disk refuses, or the manifest is absurd.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and not (folder / MANIFEST).is_file() and not _is_empty(folder):
        raise UserError(f'{folder} is there and is no artifact; give another --out.')
    hashes = {name: sha256_of(source) for name, source in sources.items()}
    files = tuple(
        dataclasses.replace(f, sha256={n: hashes[n] for n in (f.sha256 or {f.path: ''})})
        for f in manifest.files
    )
    manifest = dataclasses.replace(manifest, files=files)
    manifest.validate(str(folder / MANIFEST))
    try:
        _write(folder.resolve(), manifest, sources)
    except OSError as error:
        raise UserError(f'{folder} cannot be written: {error.strerror}.') from error
    return Artifact(folder, manifest)


def _write(folder: Path, manifest: Manifest, sources: Mapping[str, Path]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f'.{folder.name}-', dir=folder.parent))
    try:
        scratch.chmod(0o755)  # mkdtemp's own mode would lock other users out
        for name, source in sources.items():
            shutil.copyfile(source, scratch / name)
        text = yaml.safe_dump(manifest.to_dict(), sort_keys=False, allow_unicode=True, width=99)
        (scratch / MANIFEST).write_text(text, encoding='utf-8')
        if folder.exists():
            old = scratch.with_name(scratch.name + '-old')
            os.replace(folder, old)
            os.replace(scratch, folder)
            shutil.rmtree(old)
        else:
            os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def sha256_of(path: Path) -> str:
    """Return the hash of a file's content in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
