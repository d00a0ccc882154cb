# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from bench import Bench, random_symbols
from gnuradio import blocks

from gr_semantic.blocks.ofdm_receiver import OfdmReceiver
from gr_semantic.errors import UserError
from gr_semantic.modem import Header, Waveform, modulate, receive

SLOT_LEN = 16384
WF = Waveform.load("ofdm64")


def air(rng, slots, offset=0, snr_db=12.0, empty=(), link_id=3, drift=0.0):
    """One frame at the start of each slot (moved by offset + drift * slot), in noise; two slots of noise at the end."""
    samples = np.zeros((slots + 2) * SLOT_LEN, np.complex64)
    for slot in range(slots):
        if slot in empty:
            continue
        symbols = random_symbols(rng, 4, 16)
        header = Header(kind="data", link_id=link_id, sequence=slot, model_id16=7, budget=16, image_count=4, snr_db=1.0)
        frame = modulate(WF, header, symbols)
        start = max(0, slot * SLOT_LEN + offset + round(drift * slot))
        samples[start : start + len(frame)] = frame
    noise = rng.standard_normal((len(samples), 2)).astype(np.float32).view(np.complex64)[:, 0]
    return samples + noise * np.float32(np.sqrt(10 ** (-snr_db / 10) / 2))


def run(samples, **settings):
    source = blocks.vector_source_c(samples.tolist())
    receiver = OfdmReceiver(WF, **settings)
    bench = Bench(receiver, "frames", "constellation")
    bench.source = source
    bench.connect(source, receiver)
    bench.start()
    bench.wait()
    return bench


def test_streaming_equals_the_reference(rng):
    samples = air(rng, 12, empty=(4, 5))
    reference = receive(WF, samples)
    bench = run(samples)
    pdus = bench["frames"].wait_for(len(reference))
    assert len(reference) == 10 and len(pdus) == 10
    for (meta, symbols), frame in zip(pdus, reference, strict=True):
        np.testing.assert_array_equal(symbols, frame.symbols.reshape(-1))
        np.testing.assert_array_equal(meta["noise_var"], frame.noise_var.reshape(-1))
        assert {key: meta[key] for key in vars(frame.header)} == vars(frame.header)
        measured = (frame.start_sample, frame.snr_db, frame.cfo_hz, frame.sro_ppm, frame.evm_db)
        assert tuple(meta[k] for k in ("start_sample", "measured_snr_db", "cfo_hz", "sro_ppm", "evm_db")) == measured
    shown = bench["constellation"].wait_for(10)
    np.testing.assert_array_equal(shown[3][1], pdus[3][1])
    np.testing.assert_array_equal(shown[3][0]["carrier_error_lin"], reference[3].carrier_error_lin)
    assert shown[3][0]["carriers"].tolist() == WF.occupied[WF.data_index].tolist()
    assert 10 * np.log10(np.mean(shown[3][0]["carrier_error_lin"])) == pytest.approx(reference[3].evm_db, abs=0.01)
    assert bench["status"].pdus == []


def slots_of(bench):
    """Sequence numbers received in each slot, by its tick; asserts that ticks count up from 0."""
    slots = [[]]
    ticks = []
    for meta in bench["frames"].metas:
        if meta["kind"] == "tick":
            ticks.append(meta["slot"])
            slots.append([])
        else:
            slots[-1].append(meta["sequence"])
    assert ticks == list(range(len(ticks)))
    return slots[:-1]


@pytest.mark.parametrize("offset, drift", [(0, 0), (-3, 0), (40, 0), (0, 25.0), (0, -25.0), (400, -20.0)])
def test_ticks_follow_their_frames(rng, offset, drift):
    bench = run(air(rng, 60, offset=offset, drift=drift, empty=(2, 20, 21, 22)), slot_len=SLOT_LEN)
    bench["frames"].wait_for(56 + 60)
    assert slots_of(bench)[:60] == [[] if slot in (2, 20, 21, 22) else [slot] for slot in range(60)]


def test_noise_alone_gives_ticks_alone(rng):
    bench = run(air(rng, 30, empty=range(30)), slot_len=SLOT_LEN)
    assert slots_of(bench)[:31] == [[]] * 31


def test_foreign_frames_are_not_passed_on(rng):
    samples = air(rng, 5, link_id=3) + air(rng, 5, offset=7000, link_id=4)
    assert slots_of(run(samples, slot_len=SLOT_LEN, link_id=3))[:5] == [[0], [1], [2], [3], [4]]
    assert [meta["link_id"] for meta in run(samples)["frames"].metas] == [3, 4] * 5


def test_nan_and_infinite_samples_do_not_stop_it(rng):
    samples = air(rng, 6)
    samples[SLOT_LEN : SLOT_LEN + 2000] = np.nan
    samples[3 * SLOT_LEN : 3 * SLOT_LEN + 50] = np.inf
    bench = run(samples, slot_len=SLOT_LEN)
    slots = slots_of(bench)
    assert [slots[number] for number in (0, 2, 4, 5)] == [[0], [2], [4], [5]] and bench["status"].pdus == []


def test_an_exception_in_work_ends_the_flowgraph_with_an_error(rng):
    receiver = OfdmReceiver(WF)
    receiver.receiver.push = lambda samples: 1 / 0
    bench = Bench(receiver)
    bench.source = blocks.null_source(8)
    bench.connect(bench.source, receiver)
    bench.start()
    (status,) = bench["status"].wait_for(1)
    bench.wait()  # an exception that escapes work() would hang here
    assert status[0]["level"] == "error" and "ZeroDivisionError" in status[0]["text"]


def test_settings_are_checked():
    with pytest.raises(UserError, match="slot_len is 100"):
        OfdmReceiver(WF, slot_len=100)
    with pytest.raises(UserError, match="sample_rate_hz"):
        OfdmReceiver(WF, sample_rate_hz=0)
