# SPDX-License-Identifier: Apache-2.0
"""What a network is trained against: the YOLOv5 losses, of boxes and of masks, and their parts."""
