# SPDX-License-Identifier: Apache-2.0
"""`kd-yolo VERB …`: finds the verb and turns bad input into one sentence and status 1."""

from __future__ import annotations

import signal
import sys
from typing import List, Optional

import click

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.plugins import VERBS, entry_points


class Verbs(click.Group):
    """The verbs that installed packages register; one is imported only when it is used."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        """Return the names of all verbs."""
        return sorted(entry_points(VERBS))

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """Import a verb, or return None when there is none of that name."""
        point = entry_points(VERBS).get(cmd_name)
        try:
            return point.load() if point else None
        except ImportError as error:  # it must not take the other verbs and --help along
            return Unavailable(cmd_name, error)


class Unavailable(click.Command):
    """A verb that only says why it cannot run."""

    def __init__(self, verb: str, error: ImportError) -> None:
        settings = {'ignore_unknown_options': True, 'allow_extra_args': True}
        super().__init__(verb, settings, self.refuse, short_help=f'Cannot run: {error}.')
        self.error = error

    def refuse(self) -> None:
        """Raise UserError with the reason."""
        raise UserError(f"'{self.name}' cannot run: {self.error}.")


@click.group(cls=Verbs, context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(package_name='kd_yolo_ros')
def kd_yolo() -> None:
    """Quantized YOLOv5 for ROS 2: import, quantize, evaluate, replay."""


def main() -> None:
    """Run `kd-yolo`; the exit status is 0 only on success."""
    # As Ctrl-C: clean up what was started, leave no half-written file.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = kd_yolo.main(prog_name='kd-yolo', standalone_mode=False)
    except UserError as error:
        click.secho(f'Error: {error}', fg='red', err=True)
        sys.exit(1)
    except OSError as error:  # a disk that is full, a folder that may not be written
        place = f'{error.filename}: ' if error.filename else ''
        click.secho(f'Error: {place}{error.strerror or error}.', fg='red', err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.secho('Interrupted.', fg='red', err=True)
        sys.exit(130)
    # In this mode click returns the status of --help and --version instead of exiting.
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == '__main__':
    main()
