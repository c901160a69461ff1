# SPDX-License-Identifier: Apache-2.0
"""Distillation: what a student learns from a teacher's features, outputs and detections."""
