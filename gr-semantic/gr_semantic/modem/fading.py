# SPDX-License-Identifier: GPL-3.0-or-later
"""Channels that change within a frame: Wiener interpolation over carriers and symbols from everything that is known.

The prior is separable: the delays that carry power in this frame's training, times a flat Doppler spectrum up to the
waveform's `doppler_cycles`. The latter after Y. Li, L. Cimini, N. Sollenberger, IEEE Trans. Commun. 46(7), 1998, who
show that it costs little where the true spectrum is narrower. A uniform delay profile would not do here: away from the
training there are only the pilots, and they are too few to tell all delays of the cyclic prefix apart.
"""

from functools import lru_cache

import numpy as np

from .interference import bridged
from .waveform import Waveform

_NEGLIGIBLE = 1e-4  # time modes below this share of the power are left out
_WEAKEST_PATH = 3e-3  # delays below this share of the strongest are left out


def varies(residual_power: np.ndarray, noise_var: np.ndarray, cells: int) -> np.ndarray:
    """Whether the payload's pilots contradict a constant channel (bool, frames).

    residual_power: mean squared difference of the pilots from what a constant channel predicts (frames), over `cells`
    pilots. Beyond four standard deviations of what noise alone would give.
    """
    return residual_power > noise_var * (1.1 + 4 / np.sqrt(max(cells, 1)))


@lru_cache(maxsize=64)
def _time_modes(symbols: int, doppler_cycles: float) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvectors (symbols x modes, float64) and eigenvalues of the covariance over the frame's symbols."""
    lag = np.subtract.outer(np.arange(symbols), np.arange(symbols))
    values, vectors = np.linalg.eigh(np.sinc(2 * doppler_cycles * lag))
    keep = values > _NEGLIGIBLE * values[-1]
    return vectors[:, keep], values[keep]


@lru_cache(maxsize=8)
def _delays(wf: Waveform) -> tuple[np.ndarray, np.ndarray]:
    """Responses of delays one sample apart (occupied x delays), and the regularised inverse that finds their
    amplitudes.
    """
    delays = np.arange(-wf.window_backoff, wf.cp_len - wf.window_backoff)  # relative to the start found
    response = np.exp(-2j * np.pi * np.outer(wf.occupied, delays) / wf.fft_len)
    gram = response.conj().T @ response
    return response, np.linalg.solve(gram + 1e-2 * len(response) * np.eye(len(gram)), response.conj().T)


def track(
    wf: Waveform,
    received: np.ndarray,
    known: np.ndarray,
    payload: np.ndarray,
    noise_var: float,
    usable: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Channel of every payload symbol of one frame.

    received, known: preamble and header as received and as sent (symbols x occupied); payload: payload symbols as
    received (symbols x occupied; only the pilots are used); noise_var: a first guess; usable: carriers that no
    interference covers (bool, occupied). Returns the channel (complex64,
    payload symbols x occupied), its error variance (float32, payload symbols) and the noise variance of a carrier.
    """
    trained, count = len(known), len(payload)
    kept = usable[wf.pilot_index] if usable[wf.pilot_index].any() else np.ones(len(wf.pilot_index), bool)
    at, sent = wf.pilot_index[kept], wf.pilots(wf.header_symbols, count)[:, kept]
    # The carrier offset was measured on the training, where a fade may have turned the phase: the mean over the payload
    # is the middle of the Doppler spectrum.
    steps = sent.conj() * payload[:, at]
    shift = np.angle(np.vdot(steps[:-1], steps[1:]))
    turn = np.exp(-1j * shift * np.arange(trained + count)).astype(np.complex64)[:, None]
    received, got = received * turn[:trained], payload[:, at] * turn[trained:]
    time, time_power = _time_modes(trained + count, wf.doppler_cycles)
    response, invert = _delays(wf)

    raw = np.sum(known.conj() * received, axis=0) / np.sum(np.abs(known) ** 2, axis=0)
    profile = np.abs(invert @ bridged(raw[None], usable[None])[0]) ** 2
    floor = 4 * noise_var / np.sum(np.abs(known) ** 2)
    active = profile > max(_WEAKEST_PATH * profile.max(), floor)
    active[profile.argmax()] = True  # in deep noise no path may stand above the floor
    active = np.convolve(active, [1, 1, 1], "same") > 0  # clocks drift: a path may reach its neighbour's place
    response, profile = response[:, active], profile[active]
    # The training may lie in a fade: the delays are its, the power is that of the whole payload.
    profile *= max(np.mean(np.abs(got) ** 2) - noise_var, noise_var / got.size) / profile.sum()

    received, known, at_known = received[:, usable], known[:, usable], response[usable]
    weight = np.mean(np.abs(known) ** 2, axis=1)  # the same on all carriers of a symbol
    gram = np.kron((time[:trained].T * weight) @ time[:trained], at_known.conj().T @ at_known)
    gram = gram + np.kron(time[trained:].T @ time[trained:], response[at].conj().T @ response[at])
    matched = time[:trained].T @ ((known.conj() * received) @ at_known.conj())
    matched = matched + time[trained:].T @ ((sent.conj() * got) @ response[at].conj())
    for _ in range(2):
        posterior = np.linalg.inv(gram + np.diag(noise_var / np.kron(time_power, profile)))
        paths = time @ (posterior @ matched.reshape(-1)).reshape(matched.shape)
        channel = paths @ response.T
        profile = np.mean(np.abs(paths) ** 2, axis=0) + _WEAKEST_PATH * profile
        rest = np.sum(np.abs(received - channel[:trained, usable] * known) ** 2)
        rest += np.sum(np.abs(got - channel[trained:, at] * sent) ** 2)
        spent = np.einsum("uv,vu->", posterior, gram).real
        noise_var = float(rest / (received.size + got.size - spent))
    mean = response.T @ response.conj() / len(response)  # over the carriers
    covariance = posterior.reshape(*matched.shape, *matched.shape)
    per_time = np.einsum("bacd,ad->bc", covariance, mean).real
    error = noise_var * np.einsum("tb,bc,tc->t", time[trained:], per_time, time[trained:])
    return (channel[trained:] / turn[trained:]).astype(np.complex64), error.astype(np.float32), noise_var
