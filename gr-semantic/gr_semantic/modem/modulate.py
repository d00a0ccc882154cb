# SPDX-License-Identifier: GPL-3.0-or-later
"""Frame to samples."""

import numpy as np

from ..errors import UserError
from . import fec
from .header import Header
from .mapping import spread
from .peaks import limit_peaks
from .waveform import CODED_HEADER_BITS, Waveform


def frame_len(wf: Waveform, header: Header) -> int:
    """Samples of a frame with this header."""
    return wf.symbol_len * (wf.preamble_symbols + wf.header_symbols + wf.payload_symbols(header.value_count))


def modulate(
    wf: Waveform, header: Header, symbols: np.ndarray | None = None, papr_db: float | None = None
) -> np.ndarray:
    """Samples (complex64, `frame_len`) of one frame.

    symbols: image_count x budget complex values of about unit mean power for a data frame, None for a feedback frame.
    papr_db: limit the peaks of header and payload to about this much above their mean power (see peaks); None: leave
    them.
    Raises UserError for a shape that does not fit the header, values that are not finite, or a payload that is too
    long.
    """
    grids = [wf.preamble_grid, header_grids(wf, header.to_bits()[None])[0]]
    if header.kind == "data":
        grids.append(_payload_grid(wf, header, symbols))
    elif symbols is not None:
        raise UserError(f"a {header.kind} frame carries no symbols")
    if papr_db is not None:
        grids[1:] = [limit_peaks(wf, np.concatenate(grids[1:]), papr_db)]
    return wf.to_time(np.concatenate(grids)).reshape(-1)


def header_grids(wf: Waveform, words: np.ndarray) -> np.ndarray:
    """Occupied carriers of the header symbols (complex64, frames x header_symbols x occupied) of words of 96 bits
    (uint8).

    BPSK of the coded bits, repeated to fill the cells, spread and scrambled, with pilots.
    """
    count = wf.header_symbols * wf.data_count
    coded = (1.0 - 2.0 * fec.encode(words)).astype(np.float32)
    cells = spread(
        np.take(coded, np.arange(count) % CODED_HEADER_BITS, axis=1),
        wf.header_symbols,
        wf.data_count,
    )
    return _with_pilots(wf, cells * wf.header_scrambler, 0)


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
    return _with_pilots(
        wf,
        spread(padded, count, wf.data_count) * wf.payload_scrambler(count),
        wf.header_symbols,
    )


def _with_pilots(wf: Waveform, values: np.ndarray, first: int) -> np.ndarray:
    """Data cells (... x symbols x data carriers) and the pilots from symbol `first` after the preamble on one grid."""
    grid = np.empty((*values.shape[:-1], len(wf.occupied)), dtype=np.complex64)
    grid[..., wf.data_index] = values
    grid[..., wf.pilot_index] = wf.pilots(first, values.shape[-2])
    return grid
