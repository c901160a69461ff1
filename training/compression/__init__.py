# SPDX-License-Identifier: Apache-2.0
"""From trained networks to what runtimes load: export and quantization."""
