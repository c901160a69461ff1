# SPDX-License-Identifier: Apache-2.0
"""Recipes: from data to an artifact as one list of `kd-yolo` commands, kept in a YAML file."""
