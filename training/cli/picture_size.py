# SPDX-License-Identifier: Apache-2.0
"""The option type of a picture's size, WIDTHxHEIGHT."""

from __future__ import annotations

import click

SMALLEST, LARGEST = 64, 8192


class PictureSize(click.ParamType):
    """WIDTHxHEIGHT in pixels."""

    name = 'widthxheight'

    def convert(
        self,
        value: str | tuple[int, int],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[int, int]:
        """Return (width, height)."""
        if isinstance(value, tuple):
            return value
        width, _, height = str(value).partition('x')
        if not (width.isdecimal() and height.isdecimal()):
            self.fail(f"'{value}' is no size; write 1024x512.", param, ctx)
        if not all(SMALLEST <= int(side) <= LARGEST for side in (width, height)):
            self.fail(
                f"'{value}' is out of range; sides go from {SMALLEST} to {LARGEST} px.", param, ctx
            )
        return int(width), int(height)
