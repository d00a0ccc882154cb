# SPDX-License-Identifier: GPL-3.0-or-later
"""The waveform characterised like an instrument: one module for each measurement, see `registry`."""
