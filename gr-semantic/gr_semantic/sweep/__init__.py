# SPDX-License-Identifier: GPL-3.0-or-later
"""Sweeps: grids of points, measured on many processes or machines, kept in one Parquet file."""
