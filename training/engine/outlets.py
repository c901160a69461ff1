# SPDX-License-Identifier: Apache-2.0
"""Where a run shows itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outlets:
    """Where a run shows itself; the defaults are silent.

    Attributes:
        say: takes one sentence.
        progress: wraps an iterable, with a description, its length and the pictures of an item.
        row: takes an epoch's results.
    """

    say: Callable[[str], None] = lambda _: None
    progress: Callable[..., Iterable] = lambda items, *_: items
    row: Callable[[dict[str, Any]], None] = lambda _: None
