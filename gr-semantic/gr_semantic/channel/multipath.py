# SPDX-License-Identifier: GPL-3.0-or-later
"""Multipath propagation and fading."""

import math

import numpy as np

from gr_semantic.channel.delay_profiles import delay_profile
from gr_semantic.channel.filtering import fir, sliding_fir, to_planes, to_samples, windowed_sinc
from gr_semantic.channel.streaming import BlockTable, Impairment, generator
from gr_semantic.errors import UserError

_HALF_WIDTH = 12
_BETA = 5.7  # flat to 0.42 of the sample rate, ripple and images 60 dB down
_NEGLIGIBLE_LIN = 1e-7  # taps at the ends with less than this part of the mean power are left out
_MAX_TAPS = 512
_SINUSOIDS = 32
_LINE_OF_SIGHT_DOPPLER = 0.7  # as in TR 38.901
_SEGMENTS = 64  # segments (or fading blocks) whose gains are computed together


class Multipath(Impairment):
    """Paths with delays and random gains of unit total mean power, as a filter that may change with time.

    Fractional delays are band-limited (flat to 0.42 of the sample rate). The filter's precursors need latency_samples,
    known after ``start``.

    Args:
        profile: "flat", "rayleigh" or for instance "tdl-a:100ns", see ``delay_profile``.
        fading: "static": the gains are drawn once; "block": drawn anew, independently, every block_samples;
            "doppler": they move, each path with Jakes' spectrum (a sum of 32 sinusoids).
        doppler_hz: maximum Doppler frequency, up to 1/1000 of the sample rate. Gains are exact on a grid and move
            linearly between (error below -58 dB).
        block_samples: length of a block of "block".
        rician_k_db: power of a line of sight over that of all other paths; it has delay 0 and a Doppler of
            0.7 doppler_hz. None: no line of sight.
        unit_power: scale each draw of "static" and "block" to unit power: no fades, but still selectivity.
        seed: of the gains.

    Raises:
        UserError: wrong arguments; in ``start``, a Doppler or a delay that is too large for the sample rate.
    """

    def __init__(
        self,
        profile: str,
        fading: str = "static",
        doppler_hz: float = 0.0,
        block_samples: int = 100_000,
        rician_k_db: float | None = None,
        unit_power: bool = False,
        seed: int | np.random.SeedSequence = 0,
    ):
        paths = delay_profile(profile)
        if fading not in ("static", "block", "doppler"):
            raise UserError(f"fading is '{fading}', expected 'static', 'block' or 'doppler'")
        if not paths.fades and (fading != "static" or rician_k_db is not None):
            raise UserError(f"multipath '{profile}' does not fade: drop fading and rician_k_db, or use 'rayleigh'")
        if fading == "doppler" and (not doppler_hz > 0 or unit_power):
            raise UserError(f"fading 'doppler' needs doppler_hz above 0 (it is {doppler_hz}) and no unit_power")
        if fading == "block" and not block_samples >= 1:
            raise UserError(f"block_samples is {block_samples}, expected 1 or more")
        self._profile, self._fading, self._doppler_hz = profile, fading, doppler_hz
        self._block_samples, self._unit_power, self._seed = int(block_samples), unit_power, seed
        scattered_lin = 1.0 if rician_k_db is None else 1 / (1 + 10 ** (rician_k_db / 10))
        if paths.fades:
            self._scattered_lin, self._steady_lin = paths.powers_lin * scattered_lin, 1 - scattered_lin
        else:
            self._scattered_lin, self._steady_lin = np.zeros(1), 1.0
        self._delays_s = np.append(paths.delays_s, 0.0)  # the last path is the steady one

    def start(self, sample_rate_hz):
        self._position = 0
        self._random = generator(self._seed)
        self._shapes = self._path_shapes(sample_rate_hz)
        self._before = np.zeros((2, self._shapes.shape[1] - 1), np.float32)
        if self._fading == "static":
            self._taps = self._draw(1)
        elif self._fading == "block":
            self._table = BlockTable(_SEGMENTS, lambda index: self._draw(_SEGMENTS))
        else:
            self._start_doppler(sample_rate_hz)

    def process(self, samples):
        start, self._position = self._position, self._position + len(samples)
        planes = to_planes(samples, self._before)
        self._before = planes[:, len(samples) :]
        if self._fading == "static":
            return to_samples(fir(planes[:, None], self._taps))
        if self._fading == "block":
            return self._process_blocks(planes, start, len(samples))
        return self._process_doppler(planes, start, len(samples))

    def _process_blocks(self, planes, start, count):
        history = planes.shape[1] - count
        out = []
        first = 0
        while first < count:
            block, offset = divmod(start + first, self._block_samples)
            length = min(count - first, self._block_samples - offset)
            window = planes[:, None, first : first + length + history]
            out.append(to_samples(fir(window, self._table.values(block, 1))))
            first += length
        return np.concatenate(out)

    def _process_doppler(self, planes, start, count):
        """All segments that the samples touch at once; the places before and after the samples are zeros."""
        history = planes.shape[1] - count
        first, offset = divmod(start, self._segment_samples)
        segments = -(-(offset + count) // self._segment_samples)
        length = segments * self._segment_samples
        padded = np.zeros((2, history + length), np.float32)
        padded[:, offset : offset + planes.shape[1]] = planes
        windows = np.lib.stride_tricks.sliding_window_view(padded, history + self._segment_samples, axis=1)
        pairs = self._table.values(first, segments)
        out = sliding_fir(windows[:, :: self._segment_samples], pairs[:, 0], pairs[:, 1])
        return to_samples(out)[offset : offset + count]

    def _path_shapes(self, sample_rate_hz):
        """paths x taps: the band-limited pulse of each path; also sets the latency."""
        delays = self._delays_s * sample_rate_hz
        powers = np.append(self._scattered_lin, self._steady_lin)
        count = int(np.ceil(delays.max())) + 2 * _HALF_WIDTH
        if count > _MAX_TAPS:
            limit_ns = 1e9 * (_MAX_TAPS - 2 * _HALF_WIDTH) / sample_rate_hz
            raise UserError(
                f"multipath is '{self._profile}': its longest delay of {1e9 * self._delays_s.max():.0f} ns is above "
                f"{limit_ns:.0f} ns, the limit at this sample rate"
            )
        shapes = windowed_sinc(np.arange(count) - _HALF_WIDTH - delays[:, None], _HALF_WIDTH, _BETA)
        shapes /= shapes.sum(axis=1, keepdims=True)
        used = np.flatnonzero(powers @ shapes**2 > _NEGLIGIBLE_LIN)
        self.latency_samples = _HALF_WIDTH - int(used[0])
        return shapes[:, used[0] : used[-1] + 1]

    def _draw(self, count):
        """count x taps complex64: independent draws."""
        normal = self._random.standard_normal((count, len(self._scattered_lin), 2))
        gains = np.sqrt(self._scattered_lin / 2) * (normal[..., 0] + 1j * normal[..., 1])
        taps = self._to_taps(gains, np.full((count, 1), math.sqrt(self._steady_lin)))
        if self._unit_power:
            taps /= np.sqrt(np.sum(np.abs(taps) ** 2, axis=1, keepdims=True))
        return taps.astype(np.complex64)

    def _to_taps(self, gains, steady):
        return np.concatenate([gains, steady], axis=1) @ self._shapes

    def _start_doppler(self, sample_rate_hz):
        if self._doppler_hz > sample_rate_hz / 1000:
            raise UserError(
                f"doppler_hz is {self._doppler_hz:g}, expected up to {sample_rate_hz / 1000:g} (rate / 1000)"
            )
        # A gain turns by at most 0.1 rad in a segment.
        turn_samples = 0.1 * sample_rate_hz / (2 * np.pi * self._doppler_hz)
        self._segment_samples = int(np.clip(2 ** math.floor(math.log2(turn_samples)), 16, 512))
        paths = len(self._scattered_lin)
        # Arrival angles evenly around the circle from a random first one: each path's time average is Jakes'.
        angles = 2 * np.pi * (np.arange(_SINUSOIDS) + self._random.uniform(size=(paths, 1))) / _SINUSOIDS
        self._wave_cycles = np.append(
            self._doppler_hz * np.cos(angles).ravel(), _LINE_OF_SIGHT_DOPPLER * self._doppler_hz
        ) * (self._segment_samples / sample_rate_hz)
        amplitudes = np.repeat(np.sqrt(self._scattered_lin / _SINUSOIDS), _SINUSOIDS)
        self._wave_start = np.append(
            amplitudes * np.exp(2j * np.pi * self._random.uniform(size=amplitudes.size)), math.sqrt(self._steady_lin)
        )
        steps = np.arange(_SEGMENTS + 1)
        self._wave_turns = np.exp(2j * np.pi * np.outer(steps, self._wave_cycles))
        self._table = BlockTable(_SEGMENTS, self._doppler_taps)

    def _doppler_taps(self, index):
        """64 segments x 2 x taps complex64: the taps at each segment's start, and their change until the next."""
        now = self._wave_start * np.exp(2j * np.pi * (index * _SEGMENTS * self._wave_cycles % 1.0))
        waves = self._wave_turns * now
        gains = waves[:, :-1].reshape(_SEGMENTS + 1, -1, _SINUSOIDS).sum(axis=2)
        taps = self._to_taps(gains, waves[:, -1:])
        return np.stack([taps[:-1], np.diff(taps, axis=0)], axis=1).astype(np.complex64)
