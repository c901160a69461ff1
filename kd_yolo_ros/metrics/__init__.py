# SPDX-License-Identifier: Apache-2.0
"""What is measured, and how it is written down: AP, latency, host, report.

Shared by the commands, the replay and the training.
"""
