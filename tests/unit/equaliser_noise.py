# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modem's equaliser gives over channels with echoes, in the numbers of the training channel "ofdm".

As a script it prints the table in docs/learning.md: python tests/unit/equaliser_noise.py
"""

import numpy as np

from gr_semantic.channel import Channel, Multipath, Noise
from gr_semantic.modem import Header, Waveform, modulate, receive

IMAGES, BUDGET = 24, 16
RATE_HZ = 1e6
PROFILES = ("tdl-a:100ns", "tdl-a:1000ns", "tdl-c:3000ns")


def modem_statistics(waveform: str, profile: str, snr_db: float, frames: int):
    """Frames of Gaussian symbols over static draws of a profile, each draw scaled to unit power.

    Returns gain_db: noise_var relative to the frame's measured SNR, -snr_db - 10 log10(noise_var), frames x images x
    budget; ratio: error power over the noise_var that was told, a frame; missed: frames that were not received.
    """
    wf = Waveform.load(waveform)
    rng = np.random.default_rng(0)
    gain_db, ratio = [], []
    for number in range(frames):
        values = rng.standard_normal((IMAGES, 2 * BUDGET)).view(np.complex128) * np.sqrt(0.5)
        header = Header("data", sequence=number, budget=BUDGET, image_count=IMAGES)
        sent = np.concatenate([np.zeros(300), modulate(wf, header, values), np.zeros(300)]).astype(np.complex64)
        echoes = Multipath(profile, unit_power=True, seed=2 * number)
        channel = Channel([echoes, Noise(snr_db=snr_db, seed=2 * number + 1)], RATE_HZ)
        for frame in receive(wf, channel.process(sent)):
            gain_db.append(-frame.snr_db - 10 * np.log10(frame.noise_var))
            ratio.append((np.abs(frame.symbols - values) ** 2 / frame.noise_var).mean())
    return np.array(gain_db), np.array(ratio), frames - len(ratio)


if __name__ == "__main__":
    print("| waveform | channel | SNR dB | gain, mean dB | 10 / 50 / 90 % dB | error over told | spread of it dB |")
    for waveform in Waveform.names():
        for profile in PROFILES:
            for snr_db in (5.0, 20.0):
                gain_db, ratio, missed = modem_statistics(waveform, profile, snr_db, 100)
                mean_db = 10 * np.log10(np.mean(10 ** (gain_db / 10)))
                low, middle, high = np.quantile(gain_db, (0.1, 0.5, 0.9))
                print(
                    f"| {waveform} | {profile} | {snr_db:g} | {mean_db:.2f} | {low:.1f} / {middle:.1f} / {high:.1f} | "
                    f"{ratio.mean():.3f} | {np.std(10 * np.log10(ratio)):.2f} |"
                    + (f" missed {missed}" if missed else "")
                )
