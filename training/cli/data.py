# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo data VERB …`: makes, checks, shows and converts labelled sets of pictures.

Each verb lies in a module of its own, which is imported when the verb is used.
"""

from __future__ import annotations

from importlib import import_module

import click

from kd_yolo_ros.cli.main import Unavailable

VERBS = {
    'annotate': 'data_annotate',
    'bag': 'data_bag',
    'check': 'data_check',
    'cityscapes': 'data_cityscapes',
    'coco': 'data_coco',
    'dtld': 'data_dtld',
    'export': 'data_export',
    'scenes': 'data_scenes',
    'show': 'data_show',
    'subset': 'data_subset',
    'weak-masks': 'data_weak_masks',
    'yolo': 'data_yolo',
}


class DataVerbs(click.Group):
    """The verbs above by name; the function in a module is named like its verb."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb, or return None when there is none of that name."""
        if cmd_name not in VERBS:
            return None
        try:
            module = import_module(f'{__package__}.{VERBS[cmd_name]}')
        except ImportError as error:  # it must not take the other verbs and --help along
            return Unavailable(cmd_name, error)
        return getattr(module, cmd_name.replace('-', '_'))


@click.group(cls=DataVerbs)
def data() -> None:
    """Make, check, show and convert labelled pictures to train on."""
