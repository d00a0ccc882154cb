# SPDX-License-Identifier: GPL-3.0-or-later
"""Receiver: streaming equals batch, awkward streams, things that are not frames."""

import numpy as np
import pytest

from gr_semantic.modem import Header, StreamReceiver, Waveform, modulate, receive

WAVEFORMS = Waveform.names()


def gaussian(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * np.sqrt(0.5)


def burst_stream(wf, rng, count=6, gap=1500, budget=16, images=12):
    """Frames with gaps, and what was sent: (samples, starts, symbols)."""
    parts, starts, sent, position = [], [], [], 0
    for sequence in range(count):
        symbols = gaussian(rng, images, budget)
        samples = modulate(wf, Header("data", sequence=sequence, budget=budget, image_count=images), symbols)
        silence = np.zeros(int(rng.integers(0, gap)) if gap else 0, np.complex64)
        parts += [silence, samples]
        starts.append(position + len(silence))
        sent.append(symbols)
        position += len(silence) + len(samples)
    return np.concatenate([*parts, np.zeros(500, np.complex64)]), starts, sent


def noisy(rng, samples, snr_db):
    return (samples + gaussian(rng, len(samples)) * 10 ** (-snr_db / 20)).astype(np.complex64)


@pytest.mark.parametrize("name", WAVEFORMS)
def test_no_noise(name):
    """Zero noise is where packet modems have lost packets: every frame, to the arithmetic's precision."""
    wf, rng = Waveform.load(name), np.random.default_rng(0)
    samples, starts, sent = burst_stream(wf, rng)
    frames = receive(wf, samples)
    assert [f.start_sample for f in frames] == starts
    for frame, symbols in zip(frames, sent, strict=True):
        assert np.mean(np.abs(frame.symbols - symbols) ** 2) < 1e-6
        assert frame.noise_var.shape == symbols.shape and frame.symbols.dtype == np.complex64


@pytest.mark.parametrize("name", WAVEFORMS)
def test_streaming_equals_batch(name):
    wf, rng = Waveform.load(name), np.random.default_rng(1)
    samples = noisy(rng, burst_stream(wf, rng)[0] * np.exp(0.4j), 3)
    reference = receive(wf, samples)
    assert len(reference) == 6
    for cut in range(4):
        receiver, frames, position = StreamReceiver(wf), [], 0
        while position < len(samples):
            step = int(rng.integers(1, [10, 700, 5000, 20000][cut]))
            frames += receiver.push(samples[position : position + step])
            assert all(f.start_sample < receiver.processed for f in frames)
            position += step
        frames += receiver.flush()
        assert [f.header for f in frames] == [f.header for f in reference]
        for frame, other in zip(frames, reference, strict=True):
            assert np.array_equal(frame.symbols, other.symbols) and np.array_equal(frame.noise_var, other.noise_var)
            assert (frame.snr_db, frame.cfo_hz, frame.start_sample) == (other.snr_db, other.cfo_hz, other.start_sample)


def test_pushed_buffers_may_be_used_again():
    """GNU Radio hands out views of buffers that it overwrites after work()."""
    wf, rng = Waveform.load("ofdm64"), np.random.default_rng(9)
    samples = noisy(rng, burst_stream(wf, rng)[0], 10)
    receiver, buffer, found = StreamReceiver(wf, chunk=1 << 14), np.empty(1000, np.complex64), []
    for position in range(0, len(samples), 1000):
        piece = samples[position : position + 1000]
        buffer[: len(piece)] = piece
        found += receiver.push(buffer[: len(piece)])
        buffer[:] = 7
    found += receiver.flush()
    assert [f.header.sequence for f in found] == list(range(6))


@pytest.mark.parametrize("name", WAVEFORMS)
def test_processed_is_a_promise(name):
    """No frame that starts before `processed` comes later: the ticks of the closed loop stand on this."""
    wf, rng = Waveform.load(name), np.random.default_rng(2)
    samples = noisy(rng, burst_stream(wf, rng, count=12, gap=400)[0], 6)
    receiver, promised, found = StreamReceiver(wf), 0, 0
    for position in range(0, len(samples), 997):
        for frame in receiver.push(samples[position : position + 997]):
            assert frame.start_sample >= promised
            found += 1
        assert receiver.processed >= promised
        promised = receiver.processed
    assert found + len(receiver.flush()) == 12


@pytest.mark.parametrize("name", WAVEFORMS)
def test_back_to_back(name):
    wf, rng = Waveform.load(name), np.random.default_rng(3)
    samples, _, _ = burst_stream(wf, rng, count=15, gap=0)
    assert [f.header.sequence for f in receive(wf, noisy(rng, samples, 12))] == list(range(15))


@pytest.mark.parametrize("name", WAVEFORMS)
def test_feedback_frame(name):
    wf, rng = Waveform.load(name), np.random.default_rng(4)
    header = Header("feedback", link_id=9, sequence=7, snr_db=-5.25, acked_sequence=40000, received=3, lost=250)
    (frame,) = receive(wf, noisy(rng, np.pad(modulate(wf, header), 3000), 0))
    assert frame.header == header and frame.symbols.size == 0


@pytest.mark.parametrize("name", WAVEFORMS)
def test_amplitude_does_not_matter(name):
    """From -60 to +40 dBFS the symbols come out alike: gain is taken from the training, not from the payload."""
    wf, rng = Waveform.load(name), np.random.default_rng(5)
    samples, _, sent = burst_stream(wf, rng, count=1)
    samples = noisy(rng, samples, 25)
    for gain in (1e-3, 1, 1e2):
        (frame,) = receive(wf, samples * np.float32(gain))
        assert np.mean(np.abs(frame.symbols - sent[0]) ** 2) < 10**-2.4
        assert abs(frame.snr_db - 25) < 1


def test_cut_off_frame_is_dropped_and_the_next_one_found():
    wf, rng = Waveform.load("ofdm64"), np.random.default_rng(6)
    samples, starts, _ = burst_stream(wf, rng, count=2, gap=0)
    first_half = samples[: starts[1] // 2]
    assert receive(wf, noisy(rng, first_half, 20)) == []
    joined = np.concatenate([first_half, np.zeros(3000), samples[starts[1] :]])
    assert 1 in [f.header.sequence for f in receive(wf, noisy(rng, joined, 20))]


def test_nan_and_infinite_samples_do_not_hurt_their_neighbours():
    wf, rng = Waveform.load("ofdm64"), np.random.default_rng(7)
    samples, starts, _ = burst_stream(wf, rng, count=3, gap=1500)
    samples = noisy(rng, samples, 20)
    samples[max(starts[0] - 40, 0)] = np.nan
    samples[starts[1] - 3] = np.inf
    assert [f.header.sequence for f in receive(wf, samples)] == [0, 1, 2]


@pytest.mark.parametrize("name", WAVEFORMS)
def test_not_a_frame(name):
    """Silence, tones, a chirp, DC and another waveform's frames give no frame, with and without noise."""
    wf, rng = Waveform.load(name), np.random.default_rng(8)
    n = np.arange(200_000)
    other = Waveform.load(next(w for w in WAVEFORMS if w != name))
    signals = {
        "silence": np.zeros(len(n)),
        "dc": np.ones(len(n)),
        "tone": np.exp(0.3j * n),
        "carrier spaced tone": np.exp(2j * np.pi * 5 / wf.fft_len * n),
        "chirp": np.exp(1j * np.pi * n**2 / len(n)),
        "impulses": (n % wf.symbol_len == 0).astype(float),
        "other waveform": burst_stream(other, rng, count=20)[0],
    }
    for what, signal in signals.items():
        assert receive(wf, signal.astype(np.complex64)) == [], what
        assert receive(wf, noisy(rng, signal, 10)) == [], what


@pytest.mark.parametrize("samples", [np.zeros(0, np.complex64), np.zeros(1, np.complex64), np.ones(4095, np.complex64)])
def test_short_input(samples):
    assert receive(Waveform.load("ofdm64"), samples) == []
