# SPDX-License-Identifier: Apache-2.0
"""Generated street scenes with the ten classes of Cityscapes, as single pictures or as a drive."""

from __future__ import annotations

from .scene import LabelledObject, Scene, city_of, drive, render

__all__ = ['LabelledObject', 'Scene', 'city_of', 'drive', 'render']
