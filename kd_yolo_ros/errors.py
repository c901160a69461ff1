# SPDX-License-Identifier: Apache-2.0
"""The one exception for bad input.

Its message is a single sentence for the user: what is wrong, where, and what to do.
"""

from __future__ import annotations


class UserError(Exception):
    """Bad input from outside; the command line prints the message and exits with status 1."""


class UnsupportedError(UserError):
    """This machine lacks what a model or a wish needs: an instruction set, a device, a library."""
