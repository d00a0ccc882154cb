# SPDX-License-Identifier: GPL-3.0-or-later
"""Frame to samples."""

import numpy as np

from ..errors import UserError
from .header import Header, encode_header
from .mapping import spread
from .waveform import CODED_HEADER_BITS, Waveform


def frame_len(wf: Waveform, header: Header) -> int:
    """Samples of a frame with this header."""
    return wf.symbol_len * (wf.preamble_symbols + wf.header_symbols + wf.payload_symbols(header.value_count))


def modulate(wf: Waveform, header: Header, symbols: np.ndarray | None = None) -> np.ndarray:
    """Samples (complex64, `frame_len`) of one frame.

    symbols: image_count x budget complex values of about unit mean power for a data frame, None for a feedback frame.
    Raises UserError for a shape that does not fit the header, values that are not finite, or a payload that is too
    long.
    """
    grids = [np.asarray(wf.preamble.cover)[:, None] * wf.preamble_values, header_grid(wf, header)]
    if header.kind == "data":
        grids.append(_payload_grid(wf, header, symbols))
    elif symbols is not None:
        raise UserError(f"a {header.kind} frame carries no symbols")
    return wf.to_time(np.concatenate(grids)).reshape(-1)


def header_grid(wf: Waveform, header: Header) -> np.ndarray:
    """Occupied carriers of the header symbols (complex64, header_symbols x occupied): BPSK, repeated, scrambled,
    with pilots.
    """
    coded = 1.0 - 2.0 * encode_header(header)
    cells = coded[np.arange(wf.header_symbols * wf.data_count) % CODED_HEADER_BITS]
    values = spread(cells, wf.header_symbols, wf.data_count) * wf.header_scrambler
    return _with_pilots(wf, values, 0)


def _payload_grid(wf: Waveform, header: Header, symbols: np.ndarray | None) -> np.ndarray:
    values = np.asarray(symbols, dtype=np.complex64) if symbols is not None else np.empty(0, np.complex64)
    if values.shape != (header.image_count, header.budget):
        raise UserError(
            f"symbols of shape {values.shape} do not fit the header: "
            f"{header.image_count} images x {header.budget} symbols"
        )
    if not np.isfinite(values).all():
        raise UserError("symbols hold NaN or infinite values")
    count = wf.payload_symbols(values.size)
    if count > wf.max_payload_symbols:
        raise UserError(
            f"{header.image_count} images x {header.budget} symbols take {count} OFDM symbols; "
            f"waveform {wf.name} allows {wf.max_payload_symbols}: send fewer images a frame"
        )
    padded = np.concatenate([values.reshape(-1), wf.padding(count * wf.data_count - values.size)])
    return _with_pilots(wf, spread(padded, count, wf.data_count) * wf.payload_scrambler(count), wf.header_symbols)


def _with_pilots(wf: Waveform, values: np.ndarray, first: int) -> np.ndarray:
    grid = np.empty((len(values), len(wf.occupied)), dtype=np.complex64)
    grid[:, wf.data_index] = values
    grid[:, wf.pilot_index] = wf.pilots(first, len(values))
    return grid
