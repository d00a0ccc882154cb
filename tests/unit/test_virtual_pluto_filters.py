# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the virtual Plutos' air, and its queues."""

import errno

import numpy as np
import pytest
from virtual_air import RATE_HZ, TwoPlutos

from gr_semantic.channel import Channel, Multipath
from gr_semantic.errors import UserError
from gr_semantic.virtual_pluto.buffers import RxBuffer, TxBuffer
from gr_semantic.virtual_pluto.iio_errors import IioError
from gr_semantic.virtual_pluto.path_filter import PathFilter
from gr_semantic.virtual_pluto.rate_conversion import RateConversion


def in_pieces(impairment, samples, rng, longest=9000):
    out, place = [], 0
    while place < len(samples):
        count = int(rng.integers(0, longest))
        out.append(impairment.process(samples[place : place + count]))
        place += count
    return np.concatenate(out)


def error_db(error):
    return 10 * np.log10(np.mean(np.abs(error) ** 2))


@pytest.mark.parametrize("ppm", [0, 20, -20, 40, -400, 1000])
@pytest.mark.parametrize("frequency", [0.01, -0.25, 0.42])
def test_clock_drift_is_a_moving_delay(ppm, frequency):
    """A tone at the output's instants, for any cut of the input."""
    ratio = 1 + ppm * 1e-6
    tone = np.exp(2j * np.pi * frequency * np.arange(60_000)).astype(np.complex64)
    path = PathFilter(ratio=ratio, delay_samples=0.3)
    path.start(1.0)
    out = in_pieces(path, tone, np.random.default_rng(0))
    assert len(out) == pytest.approx(60_000 * ratio, abs=2)
    time = np.arange(len(out)) / ratio - 0.3 - path.latency_samples
    assert error_db((out - np.exp(2j * np.pi * frequency * time))[400:]) < -70


def test_changes_of_the_ratio_keep_the_time():
    tone = np.exp(2j * np.pi * 0.1 * np.arange(40_000)).astype(np.complex64)
    path = PathFilter(ratio=1 + 50e-6)
    path.start(1.0)
    first = path.process(tone[:20_000])
    path.set_ratio(1 - 50e-6)
    out = np.concatenate([first, path.process(tone[20_000:])])
    steps = np.angle(out[301:] / out[300:-1]) / (2 * np.pi)
    assert np.max(np.abs(steps - 0.1)) < 2e-4


def test_silence_between_bursts_changes_nothing_else():
    """Silence is not computed; noise far below what counts is."""
    rng = np.random.default_rng(2)
    bursts = rng.standard_normal((40_000, 2)).astype(np.float32).view(np.complex64).ravel()
    bursts[3000:22_000] = bursts[30_000:] = 0
    hardly = bursts + np.float32(1e-12) * rng.standard_normal(len(bursts)).astype(np.float32)
    outputs = []
    for samples in (bursts, hardly):
        path = PathFilter(ratio=1 + 20e-6)
        path.start(1.0)
        outputs.append(np.concatenate([path.process(part) for part in np.split(samples, 8)]))
    assert len(outputs[0]) == len(outputs[1])
    assert error_db(outputs[0] - outputs[1]) < -120
    assert not outputs[0][5000:20_000].any() and outputs[0][23_000:30_000].any()


def test_echoes_are_those_of_the_channels_multipath():
    rng = np.random.default_rng(1)
    multipath = Multipath("tdl-a:500ns", seed=3)
    impulse = np.eye(1, 1024, dtype=np.complex64)[0]
    echoes = Channel([multipath], RATE_HZ).process(impulse)
    path = PathFilter(echoes)
    path.start(RATE_HZ)
    path.set_band_hz(-300e3, 300e3)
    noise = rng.standard_normal((20_000, 2)).astype(np.float32).view(np.complex64).ravel()
    band = PathFilter()
    band.start(RATE_HZ)
    band.set_band_hz(-300e3, 300e3)
    expected = Channel([multipath], RATE_HZ).process(in_pieces(band, noise, rng))
    assert error_db(in_pieces(path, noise, rng) - expected) < -100


def test_a_band_passes_what_is_in_it():
    path = PathFilter()
    path.start(1.0)
    path.set_band_hz(-0.1, 0.3)
    for frequency, expected_db in ((-0.13, -60), (-0.08, 0), (0.0, 0), (0.28, 0), (0.33, -60), (-0.45, -60)):
        out = path.process(np.exp(2j * np.pi * frequency * np.arange(4000)).astype(np.complex64))[500:]
        power_db = error_db(out)
        assert power_db < -60 if expected_db else abs(power_db) < 0.05
    path.set_band_hz(0.2, 0.1)
    assert not np.any(path.process(np.ones(2000, np.complex64))[500:])


@pytest.mark.parametrize("ratio", [8, 2.0833, 0.9, 1 / 3, 1 / 8])
def test_rate_conversion_of_a_tone(ratio):
    rng = np.random.default_rng(2)
    frequency = 0.3 * min(1, 1 / ratio)  # of the input's rate, well inside both bands
    tone = np.exp(2j * np.pi * frequency * np.arange(20_000)).astype(np.complex64)
    conversion = RateConversion(ratio, 1.0)
    conversion.start(ratio)
    out = in_pieces(conversion, tone, rng)
    assert len(out) == pytest.approx(20_000 / ratio, abs=1 + 1 / ratio)
    time = np.arange(len(out)) * ratio - conversion.latency_samples
    skipped = int(80 * max(1, 1 / ratio))
    assert error_db((out - np.exp(2j * np.pi * frequency * time))[skipped:]) < -55


def test_rates_too_far_apart():
    with pytest.raises(UserError, match="too far apart"):
        RateConversion(1.0, 5000.0)


def test_no_seam_in_a_long_stream():
    """Clocks 400 ppm apart, 1.5 s: the queue between them neither runs dry nor overflows."""
    radios = [{"ppm": 200}, {"ppm": -200, "noise_figure_db": 0}]
    plutos = TwoPlutos({"radios": radios}, tx_lo_hz=325_000_000, rx_lo_hz=325_000_000, rx_gain_db=50.0)
    plutos.send_tone(100e3, amplitude=0.9)
    heard = plutos.listen(1.5)
    steps = np.angle(heard[1:] / heard[:-1])
    assert np.ptp(steps) < 0.06  # a lost or doubled sample is a step of 0.6 rad


def gone():
    return False


def test_receive_queue_keeps_the_oldest_blocks():
    buffer = RxBuffer(100, 3, 4)
    samples = np.arange(1000, dtype=np.int16)
    assert buffer.push(np.stack([samples, samples], axis=1))  # 4 blocks kept, 6 dropped
    assert buffer.waiting_bytes == 1600
    data = np.frombuffer(b"".join(buffer.read(400, 0, gone) for _ in range(4)), "<i2").reshape(-1, 2)
    assert np.array_equal(data[:, 0], samples[:400])
    with pytest.raises(IioError) as caught:
        buffer.read(400, 0, gone)
    assert caught.value.number == errno.ETIMEDOUT
    assert not buffer.push(np.zeros((100, 2), np.int16))


def test_a_short_queue_holds_two_steps_of_the_air():
    buffer = RxBuffer(10, 3, 4)
    buffer.expect_step(100)
    assert not buffer.push(np.zeros((200, 2), np.int16))
    assert buffer.push(np.zeros((20, 2), np.int16))


def test_transmit_queue_takes_four_blocks_before_it_blocks():
    buffer = TxBuffer(4, 3, 4, cyclic=False)
    block = np.arange(8, dtype="<i2").tobytes()
    for _ in range(3):
        buffer.write(block, 0, gone)
    with pytest.raises(IioError) as caught:
        buffer.write(block, 0, gone)  # queued, but no room for a fifth yet
    assert caught.value.number == errno.ETIMEDOUT
    samples, underflow = buffer.take(18)
    assert underflow and not samples[16:].any()
    assert np.array_equal(samples[:16, 0], np.tile([0, 2, 4, 6], 4))


def test_cyclic_queue_goes_round():
    buffer = TxBuffer(3, 1, 4, cyclic=True)
    assert not buffer.take(5)[1]  # nothing yet is no underflow
    buffer.write(np.array([1, 2, 3], "<i2").tobytes(), 0, gone)
    samples, underflow = buffer.take(7)
    assert not underflow and samples[:, 0].tolist() == [1, 2, 3, 1, 2, 3, 1] and not samples[:, 1].any()
    assert buffer.take(2)[0][:, 0].tolist() == [2, 3]


def test_who_waits_hears_of_the_end():
    buffer = RxBuffer(10, 3, 4)
    buffer.close()
    with pytest.raises(IioError) as caught:
        buffer.read(40, None, gone)
    assert caught.value.number == errno.EBADF
    with pytest.raises(IioError) as caught:
        RxBuffer(10, 3, 4).read(40, None, lambda: True)
    assert caught.value.number == errno.EPIPE
