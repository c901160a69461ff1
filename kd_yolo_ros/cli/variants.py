# SPDX-License-Identifier: Apache-2.0
"""What `bench`, `verify` and `report` share: all ways to run some models, loaded and named."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import click

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.manifest import PRECISIONS, Thresholds

if TYPE_CHECKING:
    from kd_yolo_ros.predictor import Predictor
    from kd_yolo_ros.variants import Variant


class Loaded(NamedTuple):
    """A variant that runs here.

    Attributes:
        variant: what it is.
        predictor: with its stages.
        label: of the model, which tells it from the others.
    """

    variant: Variant
    predictor: Predictor
    label: str


class LeftOut(NamedTuple):
    """A variant that does not run here.

    Attributes:
        variant: what it is.
        label: of the model.
        error: why.
    """

    variant: Variant
    label: str
    error: UserError

    @property
    def text(self) -> str:
        """Name it in a line."""
        return f'{self.label}, {self.variant.runtime} {self.variant.precision}'


def variant_options(command: Callable) -> Callable:
    """Add --runtime, --precision, --provider and --threads: which ways to run a model."""
    for option in (
        click.option('--threads', type=click.IntRange(min=1), help='Threads of one inference.'),
        click.option('--provider', help='What of the runtime executes.  [default: its CPU]'),
        click.option(
            '--precision',
            'precisions',
            multiple=True,
            type=click.Choice(PRECISIONS),
            help='Only this one; may be repeated.',
        ),
        click.option(
            '--runtime', 'runtimes', multiple=True, help='Only this one; may be repeated.'
        ),
    ):
        command = option(command)
    return command


def load_variants(
    models: Sequence[Path],
    runtimes: Sequence[str],
    precisions: Sequence[str],
    provider: Optional[str],
    threads: Optional[int],
    thresholds: Optional[Thresholds] = None,
) -> Tuple[List[Loaded], List[LeftOut]]:
    """Load all that the models offer of the wishes.

    Args:
        models: artifacts and plain exports, see `find_artifact`.
        runtimes: only these; all that are installed where none is named.
        precisions: only these; all where none is named.
        provider: of the runtimes.
        threads: of one inference.
        thresholds: None for each model's own.

    Returns:
        What runs here, and what does not.

    Raises:
        UserError: nothing runs.
    """
    from kd_yolo_ros.variants import find_variants

    every = [find_variants(model, runtimes, precisions, provider) for model in models]
    loaded, left_out = [], []
    for label, variants in zip(_labels(models, every), every):
        for variant in variants:
            try:
                loaded.append(Loaded(variant, variant.open(threads, thresholds), label))
            except UserError as error:
                left_out.append(LeftOut(variant, label, error))
    if left_out and not loaded:
        raise left_out[-1].error
    if not loaded:
        raise UserError('Nothing to run: no artifact offers the runtimes and precisions given.')
    return loaded, left_out


def say_left_out(left_out: Sequence[LeftOut], named: bool) -> List[Dict[str, Any]]:
    """Say what does not run, and return it for the report.

    Args:
        left_out: of `load_variants`.
        named: somebody asked for just that, by runtime and precision.

    Raises:
        UserError: something was named, and does not run.
    """
    for one in left_out:
        if named:
            raise one.error
        click.echo(f'Left out: {one.text}: {one.error}', err=True)
    return [{**name_of(one), 'reason': str(one.error)} for one in left_out]


def name_of(one: Union[Loaded, LeftOut]) -> Dict[str, Any]:
    """Return what tells a variant from others, by what the wish was."""
    variant = one.variant
    return {
        'artifact': one.label,
        'network': variant.artifact.manifest.name,
        'file': variant.file.path,
        'runtime': variant.runtime,
        'precision': variant.precision,
        'input': [variant.file.input.height, variant.file.input.width],
    }


def describe(loaded: Loaded) -> Dict[str, Any]:
    """Return what a result says of the variant it is of, by what really runs."""
    return {
        **name_of(loaded),
        **asdict(loaded.predictor.running),
        'size_mb': loaded.predictor.size_bytes / 1e6,
        'fp32_sha256': list(loaded.variant.fp32_sha256),
    }


def _labels(models: Sequence[Path], every: Sequence[Sequence[Variant]]) -> List[str]:
    """Return the models' names, or where two have the same, as much of their paths as differs."""
    from kd_yolo_ros.metrics.text import short_names

    names = [variants[0].artifact.manifest.name if variants else '' for variants in every]
    counts = Counter(names)
    return [
        name if counts[name] == 1 else short for name, short in zip(names, short_names(models))
    ]
