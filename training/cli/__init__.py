# SPDX-License-Identifier: Apache-2.0
"""The verbs of `kd-yolo` that training registers."""
