# SPDX-License-Identifier: GPL-3.0-or-later
"""The 802.11 recordings of the optional data: no frame on them, and own frames 10 dB above them are decoded."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from ..modem import Waveform, receive
from ..paths import data_dir
from .registry import Measurement, Verdict
from .signals import bursts, found

# Sample rates relative to the recording's 20 Msps. At 1 its symbols are as long as ofdm64's and its carriers lie where
# ofdm64's do; at 4 and 18/5 the same holds for ofdm256's FFT and symbol.
RATES = ((1, 4), (1, 2), (1, 1), (2, 1), (18, 5), (4, 1))


def recordings(folder: Path | None = None) -> list[Path]:
    """The recordings (ci16, little endian, 20 Msps) below the folder of optional data; empty where there are none."""
    folder = data_dir() if folder is None else folder
    return sorted((folder / "iq" / "wifi_80211").glob("*.dat")) if folder else []


@lru_cache(maxsize=4)
def read_recording(path: Path, up: int = 1, down: int = 1) -> np.ndarray:
    """Samples (complex64) at up/down times the recording's rate; its packets have unit power.

    Packets: where the mean power of 64 samples is above a tenth of the largest such mean. The pauses between do not
    count, so that "10 dB above" holds against the packets.
    """
    samples = np.fromfile(path, "<i2").astype(np.float32).view(np.complex64)
    mean = np.convolve(np.abs(samples) ** 2, np.full(64, 1 / 64), "same")
    samples = samples / np.float32(np.sqrt(mean[mean > mean.max() / 10].mean()))
    return samples if up == down else resample_poly(samples, up, down).astype(np.complex64)


def frames_on(wf: Waveform, path: Path, up: int, down: int) -> int:
    """Frames that the receiver finds on a recording, of which there are none."""
    return len(receive(wf, read_recording(path, up, down)))


def own_frames(wf: Waveform, path: Path, frames: int, above_db: float, seed: int) -> tuple[int, int]:
    """Own frames with the recording, looped, `above_db` below them: (frames sent, frames decoded)."""
    rng, interferer = np.random.default_rng(seed), read_recording(path)
    sent = decoded = 0
    for burst in bursts(wf, rng, frames):
        first = int(rng.integers(len(interferer)))
        index = (first + np.arange(len(burst.samples))) % len(interferer)
        samples = burst.samples + interferer[index] * np.float32(10 ** (-above_db / 20))
        sent, decoded = sent + len(burst), decoded + len(found(wf, burst, receive(wf, samples))[0])
    return sent, decoded


def points(wf, effort):
    paths = recordings()
    each = -(-effort.frames // len(paths)) if paths else 0
    return [{"recording": path.name, "frames": each, "above_db": 10.0, "seed": 350} for path in paths]


def measure(wf, settings):
    path = next(path for path in recordings() if path.name == settings["recording"])
    false = sum(frames_on(wf, path, *rate) for rate in RATES)
    sent, decoded = own_frames(wf, path, settings["frames"], settings["above_db"], settings["seed"])
    return {"false": false, "sent": sent, "decoded": decoded}


def judge(results):
    false, sent, decoded = (sum(r[key] for _, r in results) for key in ("false", "sent", "decoded"))
    if not results:
        missing = "not measured: GR_SEMANTIC_DATA names no folder with iq/wifi_80211"
        return [
            Verdict("false frames on 802.11 recordings", "0", missing, "0", None),
            Verdict("own frames 10 dB above 802.11 recordings", "all", missing, "all", None),
        ]
    files = f"{len(results)} recordings"
    return [
        Verdict("false frames on 802.11 recordings", "0", f"{false} ({files} at {len(RATES)} rates)", "0", false == 0),
        Verdict(
            "own frames 10 dB above 802.11 recordings", "all", f"{decoded} of {sent} ({files})", "all", decoded == sent
        ),
    ]


MEASUREMENT = Measurement("802.11 recordings", points, measure, judge)
