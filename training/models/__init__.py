# SPDX-License-Identifier: Apache-2.0
"""YOLOv5 networks in PyTorch, and the reader for their public checkpoints."""
