# SPDX-License-Identifier: GPL-3.0-or-later
"""The alternatives beside a semantic codec: same frames, carriers, power, channel. See docs/baselines.md."""
