# SPDX-License-Identifier: Apache-2.0
"""How values are written in tables, plots and the CSV alike."""

from __future__ import annotations

from typing import Any


def size_text(value: Any) -> Any:
    """Return an input's [height, width] as 384x640, and anything else as it is."""
    return 'x'.join(map(str, value)) if isinstance(value, list) else value
