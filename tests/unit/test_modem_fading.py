# SPDX-License-Identifier: GPL-3.0-or-later
"""The estimate of a fading channel stays finite where no path stands out of the noise."""

import numpy as np
import pytest

from gr_semantic.modem import Waveform, fading


@pytest.mark.filterwarnings("error")
def test_no_path_above_the_noise():
    wf = Waveform.load("ofdm64")
    rng = np.random.default_rng(1)
    carriers = len(wf.occupied)
    known = np.sign(rng.normal(size=(4, carriers))).astype(np.complex64)
    noise = (rng.normal(size=(34, carriers, 2)) @ [1, 1j] / np.sqrt(2)).astype(np.complex64)
    usable = np.ones(carriers, bool)
    channel, error_var, noise_var = fading.track(wf, noise[:4], known, noise[4:], 100.0, usable)
    assert np.isfinite(channel).all() and np.isfinite(error_var).all() and 0.3 < noise_var < 3
