# SPDX-License-Identifier: Apache-2.0
"""Makes what the nodes load: models, their training and their quantization."""
