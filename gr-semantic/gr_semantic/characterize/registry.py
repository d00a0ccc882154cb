# SPDX-License-Identifier: GPL-3.0-or-later
"""What a measurement is, and the list of all. A new one: a module with a MEASUREMENT, and its name in _MODULES."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module

from ..modem import Waveform

_MODULES = (
    "detection_awgn",
    "detection_multipath",
    "false_frames",
    "interference",
    "payload_mse",
    "payload_multipath",
    "qpsk_ber",
    "clock_offsets",
    "doppler",
    "snr_estimate",
    "back_to_back",
    "papr",
)


@dataclass(frozen=True)
class Effort:
    """frames: a point. noise_samples: in which no frame may be found. quick: fewer points."""

    frames: int = 1000
    noise_samples: int = 10**9
    quick: bool = False


@dataclass(frozen=True)
class Verdict:
    """One line of the table. passed: None where there is no bar, or it was not measured."""

    what: str
    bar: str
    measured: str
    bound: str
    passed: bool | None


Point = tuple[dict, dict]  # settings and result


@dataclass(frozen=True)
class Measurement:
    """A curve.

    title: of plot and table. points: settings of every point; JSON-ready, they are all that a point depends on beside
    the waveform. measure: one point's result, JSON-ready. judge: lines of the table from all points. plot: draws on
    one pair of axes; None: no picture.
    """

    title: str
    points: Callable[[Waveform, Effort], Iterable[dict]]
    measure: Callable[[Waveform, dict], dict]
    judge: Callable[[list[Point]], list[Verdict]]
    plot: Callable | None = None


def measurements(names: Iterable[str] = ()) -> dict[str, Measurement]:
    """All measurements by name, or those named, in the table's order."""
    wanted = set(names)
    return {
        name: import_module(f"{__package__}.{name}").MEASUREMENT for name in _MODULES if not wanted or name in wanted
    }


def measurement_names() -> tuple[str, ...]:
    return _MODULES
