# SPDX-License-Identifier: Apache-2.0
"""Other tools' trainers, run beside ours to compare with; nothing else depends on this."""

OURS, THEIRS = 'kd_yolo', 'ultralytics'  # in tables and pictures
