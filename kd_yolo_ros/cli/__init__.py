# SPDX-License-Identifier: Apache-2.0
"""The command `kd-yolo`; each verb is one file, found through `kd_yolo_ros.verbs`."""
