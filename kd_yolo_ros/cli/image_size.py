# SPDX-License-Identifier: Apache-2.0
"""The option --imgsz: one number for a square, or height and width."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import click


class ImageSize(click.ParamType):
    """Reads 640, 384x640, '384 640' or, from YAML, [384, 640] as (height, width)."""

    name = 'pixels'

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Tuple[int, int]:
        """Return (height, width)."""
        if isinstance(value, (list, tuple)):
            parts = [str(part) for part in value]
        else:
            parts = str(value).lower().replace('x', ' ').split()
        if len(parts) not in (1, 2) or not all(part.isdecimal() for part in parts):
            self.fail(f'{value!r} is no size; give 640, or height and width as 384 640.', param)
        return int(parts[0]), int(parts[-1])


class TwoNumberCommand(click.Command):
    """A command whose --imgsz may be followed by two numbers, which click has no form for."""

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Join `--imgsz 384 640` into one value."""
        joined: List[str] = []
        for arg in args:
            if arg.isdecimal() and joined[-2:-1] == ['--imgsz'] and joined[-1].isdecimal():
                joined[-1] += f'x{arg}'
            else:
                joined.append(arg)
        return super().parse_args(ctx, joined)
