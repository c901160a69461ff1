# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures to train on: readers, converters, splits, generated scenes, augmentation."""
