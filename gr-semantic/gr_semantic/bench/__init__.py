# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks: what each part takes, as ratios against its alternative in the same run. Never part of the tests."""
