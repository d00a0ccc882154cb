# SPDX-License-Identifier: GPL-3.0-or-later
"""Throughput of the modem beside GNU Radio's own OFDM chain, and of the receiver block in a flowgraph."""

import time

import numpy as np

from ..modem import Header, StreamReceiver, Waveform, detect, modulate
from ..modem.stream import BULK_CHUNK
from .timing import processor_time

_BUDGETS = (16, 64)  # a header counts at most 256 images: long frames need more symbols an image


def filling(wf: Waveform, payload_symbols: int) -> tuple[int, int]:
    """Images in a frame of that many OFDM symbols, and symbols an image."""
    cells = payload_symbols * wf.data_count
    budget = next(budget for budget in _BUDGETS if cells // budget <= 256)
    return cells // budget, budget


def dense_frames(wf: Waveform, count: int, payload_symbols: int, gap: int = 0) -> np.ndarray:
    """`count` data frames of Gaussian symbols (complex64) at 20 dB SNR, `gap` samples of noise after each."""
    rng = np.random.default_rng(1)
    images, budget = filling(wf, payload_symbols)
    parts = []
    for sequence in range(count):
        values = rng.standard_normal((images, 2 * budget)).view(np.complex128) * np.sqrt(0.5)
        header = Header("data", sequence=sequence % 65536, budget=budget, image_count=images)
        parts += [modulate(wf, header, values), np.zeros(gap, np.complex64)]
    samples = np.concatenate(parts)
    noise = rng.standard_normal((len(samples), 2), dtype=np.float32).view(np.complex64)[:, 0]
    return samples + noise * np.float32(10 ** (-20 / 20) * np.sqrt(0.5))


def arrays(wf: Waveform, payload_symbols: int = 10, frames: int = 400, repeats: int = 3) -> dict:
    """Millions of samples a second of one core's time: modulate, scan, full receiver; and the frames found of
    those sent.
    """
    samples = dense_frames(wf, frames, payload_symbols)
    images, budget = filling(wf, payload_symbols)
    values = np.ones((images, budget), np.complex64)
    header = Header("data", budget=budget, image_count=images)
    found = 0

    def full_receiver():
        nonlocal found
        receiver = StreamReceiver(wf, chunk=BULK_CHUNK)
        found = len(receiver.push(samples)) + len(receiver.flush())

    def transmit():
        for _ in range(50):
            modulate(wf, header, values)

    frame = len(samples) // frames
    return {
        "waveform": wf.name,
        "payload_symbols": payload_symbols,
        "samples_per_frame": frame,
        "transmitter_msps": 50 * frame / processor_time(transmit, repeats) / 1e6,
        "detector_msps": len(samples) / processor_time(lambda: detect.scan(wf, samples), repeats) / 1e6,
        "receiver_msps": len(samples) / processor_time(full_receiver, repeats) / 1e6,
        "frames_sent": frames,
        "frames_found": found,
    }


def stock(payload_symbols: int = 10, frames: int = 400, repeats: int = 3) -> dict:
    """The same of gr-digital's receiver (FFT 64, 48 data carriers, QPSK) on frames of its own."""
    from . import stock_ofdm

    samples = stock_ofdm.frames(frames, payload_symbols)
    stock_ofdm.receive(samples[: len(samples) // 10])
    runs = [stock_ofdm.receive(samples) for _ in range(repeats)]
    return {
        "payload_symbols": payload_symbols,
        "samples_per_frame": len(samples) // frames,
        "receiver_msps": len(samples) / min(spent_s for _, spent_s in runs) / 1e6,
        "frames_sent": frames,
        "frames_found": runs[0][0],
    }


def flowgraph(wf: Waveform, rate_hz: float, seconds: float, duty: float = 0.2) -> dict:
    """The GNU Radio receiver block on a stream of frames with gaps at `rate_hz` (0: as fast as it goes) for `seconds`.

    Returns the rate that it held (Msps), frames sent and found, and its share of a core (source and throttle taken
    off).
    """
    from gnuradio import blocks, gr

    from ..blocks.ofdm_receiver import OfdmReceiver

    frame = len(dense_frames(wf, 1, 10))
    period = dense_frames(wf, 200, 10, gap=round(frame / duty) - frame)
    total = round((rate_hz or 5e6) * seconds) // len(period) * len(period) or len(period)

    def run(receiver) -> tuple[float, float]:
        tb = gr.top_block()
        source = blocks.vector_source_c(period.tolist(), True)
        head = blocks.head(gr.sizeof_gr_complex, total)
        throttle = (
            blocks.throttle(gr.sizeof_gr_complex, rate_hz, True) if rate_hz else blocks.copy(gr.sizeof_gr_complex)
        )
        tb.connect(source, head, throttle, receiver)
        began, processor = time.monotonic(), time.process_time()
        tb.run()
        return time.monotonic() - began, time.process_time() - processor

    class Counting(OfdmReceiver):
        found = 0

        def publish(self, port, meta, vector=None):
            self.found += port == "frames"
            super().publish(port, meta, vector)

    _, idle_s = run(blocks.null_sink(gr.sizeof_gr_complex))
    receiver = Counting(wf, sample_rate_hz=rate_hz or 5e6)
    elapsed_s, spent_s = run(receiver)
    return {
        "waveform": wf.name,
        "rate_msps": rate_hz / 1e6,
        "held_msps": total / elapsed_s / 1e6,
        "core_share": max(spent_s - idle_s, 0.0) / elapsed_s,
        "frames_sent": 200 * receiver.receiver.processed // len(period),  # a last piece of a chunk is not worked on
        "frames_found": receiver.found,
    }
