# SPDX-License-Identifier: Apache-2.0
"""Which trained network is surely better: arms of seeds, compared on the same pictures."""
