# SPDX-License-Identifier: GPL-3.0-or-later
"""Waveform: the numbers that define the air interface, read from YAML and checked, with all arrays derived from them.

docs/waveform.md specifies what the fields mean on the air, down to the bit.
"""

import hashlib
import math
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import UserError
from . import pn

_FOLDER = Path(__file__).parent / "waveforms"
CODED_HEADER_BITS = 288
# Offsets into the PN period, far enough apart that no two known sequences of a frame run in step.
_PN_HEADER, _PN_PILOTS, _PN_PAYLOAD, _PN_PADDING = 4_000, 9_000, 15_000, 25_000


@lru_cache(maxsize=1024)
def _known_cells(offset: int, first: int, symbols: int, carriers: int) -> np.ndarray:
    """QPSK values (complex64, symbols x carriers, read-only) of a PN sequence that began `first` symbols ago."""
    cells = pn.qpsk(offset + 2 * carriers * first, symbols * carriers).reshape(symbols, carriers).astype(np.complex64)
    cells.flags.writeable = False
    return cells


class WaveformError(UserError):
    """A waveform file is missing, unreadable or holds a value out of range."""


class Preamble(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    cover: Annotated[
        list[int],
        Field(
            min_length=3,
            max_length=32,
            description="sign (+1/-1) of each preamble symbol",
        ),
    ]
    pn_offset: Annotated[
        int,
        Field(
            ge=0,
            lt=pn.PERIOD,
            description="start of its QPSK sequence in the PN period",
        ),
    ]
    boost_db: Annotated[
        float,
        Field(ge=0, le=6, description="power of its carriers above a data carrier, dB"),
    ] = 3.0
    threshold: Annotated[
        float,
        Field(gt=0, lt=1, description="detector threshold on the lag correlation, 0..1"),
    ] = 0.2

    @model_validator(mode="after")
    def _signs(self):
        if any(sign not in (-1, 1) for sign in self.cover):
            raise ValueError("cover: every entry must be +1 or -1")
        return self


class Waveform(BaseModel):
    """One OFDM air interface. Carriers are counted from -fft_len/2 to fft_len/2 - 1; carrier 0 (DC) is never used."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", description="name of the waveform")]
    fft_len: Annotated[int, Field(ge=32, le=4096, description="FFT length, a power of two")]
    cp_len: Annotated[int, Field(ge=4, description="cyclic prefix, samples, a multiple of 4")]
    edge_carrier: Annotated[int, Field(ge=4, description="the occupied carriers are -edge..edge without 0")]
    pilot_carriers: Annotated[list[int], Field(min_length=2, description="carriers that hold pilots")]
    header_symbols: Annotated[int, Field(ge=1, le=64, description="OFDM symbols of the header")]
    max_payload_symbols: Annotated[int, Field(ge=1, le=512, description="longest payload that a receiver accepts")]
    preamble: Preamble
    phase_noise_rad: Annotated[
        float,
        Field(
            gt=0,
            le=0.5,
            description="random phase step between symbols that the tracker expects, rad",
        ),
    ] = 0.01
    doppler_cycles: Annotated[
        float, Field(gt=0, le=0.05, description="largest Doppler shift that the receiver tracks, cycles per symbol")
    ]

    @model_validator(mode="after")
    def _consistent(self):
        if self.fft_len & (self.fft_len - 1):
            raise ValueError(f"fft_len: {self.fft_len} is not a power of two")
        if self.cp_len > self.fft_len // 2 or self.cp_len % 4:
            raise ValueError(f"cp_len: {self.cp_len} must be a multiple of 4 and at most fft_len / 2")
        if (self.fft_len + self.cp_len) % 8:
            raise ValueError("cp_len: fft_len + cp_len must be a multiple of 8")
        if self.edge_carrier >= self.fft_len // 2:
            raise ValueError(f"edge_carrier: {self.edge_carrier} must be below fft_len / 2 = {self.fft_len // 2}")
        if len(set(self.pilot_carriers)) != len(self.pilot_carriers):
            raise ValueError("pilot_carriers: a carrier is named twice")
        for carrier in self.pilot_carriers:
            if carrier == 0 or abs(carrier) > self.edge_carrier:
                raise ValueError(
                    f"pilot_carriers: {carrier} is not among -{self.edge_carrier}..{self.edge_carrier} without 0"
                )
        if len(self.pilot_carriers) > self.edge_carrier:
            raise ValueError("pilot_carriers: more than half of the occupied carriers are pilots")
        if self.header_symbols * self.data_count < CODED_HEADER_BITS:
            raise ValueError(
                f"header_symbols: {self.header_symbols} x {self.data_count} data carriers hold fewer than "
                f"{CODED_HEADER_BITS} coded header bits"
            )
        return self

    @classmethod
    def load(cls, name_or_path: str | Path) -> "Waveform":
        """A waveform by name (see `Waveform.names()`) or from a YAML file; WaveformError says what is wrong."""
        path = Path(name_or_path)
        if path.suffix not in (".yaml", ".yml"):
            path = _FOLDER / f"{name_or_path}.yaml"
            if not path.is_file():
                raise WaveformError(
                    f"unknown waveform '{name_or_path}': "
                    f"known are {', '.join(cls.names())}, or give the path of a .yaml file"
                )
        try:
            fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise WaveformError(f"{path}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise WaveformError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None
        if not isinstance(fields, dict):
            raise WaveformError(f"{path}: a waveform file is a mapping of fields")
        try:
            return cls(**fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise WaveformError(
                f"{path}: {where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
            ) from None

    @staticmethod
    def names() -> list[str]:
        return sorted(path.stem for path in _FOLDER.glob("*.yaml"))

    def __hash__(self) -> int:  # caches key on waveforms
        return hash(self.digest)

    def __eq__(self, other) -> bool:
        return isinstance(other, Waveform) and self.digest == other.digest

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all fields, hex."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def symbol_len(self) -> int:
        """Samples of one OFDM symbol with its cyclic prefix."""
        return self.fft_len + self.cp_len

    @property
    def preamble_symbols(self) -> int:
        return len(self.preamble.cover)

    @property
    def window_backoff(self) -> int:
        """Samples by which the FFT window starts before the end of the cyclic prefix: room for paths before the
        strongest.
        """
        return self.cp_len // 4

    @cached_property
    def occupied(self) -> np.ndarray:
        """Occupied carriers, ascending (int)."""
        return np.array([k for k in range(-self.edge_carrier, self.edge_carrier + 1) if k != 0])

    @property
    def data_count(self) -> int:
        return 2 * self.edge_carrier - len(self.pilot_carriers)

    @cached_property
    def pilot_index(self) -> np.ndarray:
        """Positions of the pilots within `occupied`, ascending."""
        return np.flatnonzero(np.isin(self.occupied, self.pilot_carriers))

    @cached_property
    def data_index(self) -> np.ndarray:
        """Positions of the data carriers within `occupied`, ascending."""
        return np.flatnonzero(~np.isin(self.occupied, self.pilot_carriers))

    @cached_property
    def bins(self) -> np.ndarray:
        """FFT bin of each occupied carrier."""
        return self.occupied % self.fft_len

    @cached_property
    def preamble_values(self) -> np.ndarray:
        """Occupied carriers of one preamble symbol before its sign, boost included (complex128)."""
        return pn.qpsk(self.preamble.pn_offset, len(self.occupied)) * 10 ** (self.preamble.boost_db / 20)

    @cached_property
    def preamble_symbol(self) -> np.ndarray:
        """One preamble symbol with its cyclic prefix before its sign, time domain (complex64, symbol_len)."""
        return self.to_time(self.preamble_values[None])[0]

    @cached_property
    def cover(self) -> np.ndarray:
        """Signs of the preamble's symbols (float32)."""
        return np.array(self.preamble.cover, np.float32)

    @cached_property
    def preamble_grid(self) -> np.ndarray:
        """Occupied carriers of the preamble as sent (complex64, preamble_symbols x occupied)."""
        return self.cover[:, None] * self.preamble_values.astype(np.complex64)

    @cached_property
    def window_phase(self) -> np.ndarray:
        """Phase of each occupied carrier that undoes the FFT window's backoff (complex64)."""
        return np.exp(2j * np.pi * self.occupied * self.window_backoff / self.fft_len).astype(np.complex64)

    @cached_property
    def header_scrambler(self) -> np.ndarray:
        """Unit phases of the header's cells (complex64, header_symbols x data carriers)."""
        return _known_cells(_PN_HEADER, 0, self.header_symbols, self.data_count)

    def pilots(self, first: int, count: int) -> np.ndarray:
        """Pilot values of `count` symbols from symbol `first` after the preamble (complex64, count x pilots)."""
        return _known_cells(_PN_PILOTS, first, count, len(self.pilot_carriers))

    def payload_scrambler(self, symbols: int) -> np.ndarray:
        """Unit phases of the payload's cells (complex64, symbols x data carriers)."""
        return _known_cells(_PN_PAYLOAD, 0, symbols, self.data_count)

    def padding(self, count: int) -> np.ndarray:
        """Values that fill the payload's unused cells (complex64)."""
        return pn.qpsk(_PN_PADDING, count).astype(np.complex64)

    def payload_symbols(self, values: int) -> int:
        """OFDM symbols that a payload of this many complex values takes."""
        return math.ceil(values / self.data_count)

    def to_time(self, grid: np.ndarray) -> np.ndarray:
        """Symbols x occupied carriers -> symbols x symbol_len samples with cyclic prefix (complex64), unitary IFFT."""
        spectrum = np.zeros((len(grid), self.fft_len), dtype=np.complex128)
        spectrum[:, self.bins] = grid
        time = np.fft.ifft(spectrum, axis=1, norm="ortho")
        return np.concatenate([time[:, -self.cp_len :], time], axis=1).astype(np.complex64)
