# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from bench import Bench, random_symbols, wait_until
from gnuradio import blocks, gr

from gr_semantic.blocks.ofdm_transmitter import OfdmTransmitter
from gr_semantic.errors import UserError
from gr_semantic.modem import Header, Waveform, modulate, receive

SLOT_LEN = 4096
WF = Waveform.load("ofdm64")


def data_fields(symbols, number):
    count, budget = symbols.shape
    fields = {"kind": "data", "link_id": 3, "sequence": number, "model_id16": 77, "snr_db": 4.0}
    return fields | {"budget": budget, "image_count": count}


def samples_of(bench, transmitter, count=None):
    """Connect a vector sink behind a head (if count is given)."""
    sink = blocks.vector_sink_c()
    if count is None:
        bench.connect(transmitter, sink)
    else:
        bench.head = blocks.head(gr.sizeof_gr_complex, count)
        bench.connect(transmitter, bench.head, sink)
    bench.sink = sink
    return sink


def test_slots_hold_their_frames_whatever_the_order(rng):
    transmitter = OfdmTransmitter(WF, slot_len=SLOT_LEN, slots=4)
    bench = Bench(transmitter)
    sink = samples_of(bench, transmitter)
    sent = [random_symbols(rng, 4, 8) for _ in range(4)]
    with bench:
        for number in (1, 0, 3):
            bench.post("symbols", {"slot": number} | data_fields(sent[number], number), sent[number].reshape(-1))
        bench.post("symbols", {"slot": 2})
        wait_until(lambda: len(sink.data()) == 6 * SLOT_LEN)
        bench.post("symbols", {"kind": "end"})
        bench.wait()
    slots = np.array(sink.data(), np.complex64).reshape(-1, SLOT_LEN)
    assert len(slots) == 6  # two slots of zeros push the last frame out of filters and detectors
    for number, slot in enumerate(slots):
        if number in (0, 1, 3):
            frame = modulate(WF, Header(**data_fields(sent[number], number)), sent[number])
            np.testing.assert_array_equal(slot[: len(frame)], frame)
            slot[: len(frame)] = 0
        assert not slot.any()
    assert bench["status"].pdus == [] and transmitter.frames_sent == 3


def test_a_slot_waits_for_its_message(rng):
    transmitter = OfdmTransmitter(WF, slot_len=SLOT_LEN)
    bench = Bench(transmitter)
    sink = samples_of(bench, transmitter)
    with bench:
        bench.post("symbols", {"slot": 1})
        bench.post("symbols", {"slot": "first"})
        bench["status"].wait_for(1)
        assert len(sink.data()) == 0
        bench.post("symbols", {"slot": 0, "kind": "feedback", "link_id": 1, "sequence": 0, "snr_db": -3.0})
        wait_until(lambda: len(sink.data()) == 2 * SLOT_LEN)


def test_bursts_with_gaps_and_zeros_between(rng):
    transmitter = OfdmTransmitter(WF, gap_len=300)
    bench = Bench(transmitter)
    sink = samples_of(bench, transmitter, 200_000)
    sent = [random_symbols(rng, 2, 8) for _ in range(3)]
    for number, symbols in enumerate(sent):
        transmitter.on_symbols(pdu(data_fields(symbols, number), symbols))
    bench.start()
    bench.wait()
    frames = [modulate(WF, Header(**data_fields(symbols, number)), symbols) for number, symbols in enumerate(sent)]
    expected = np.concatenate([np.concatenate([frame, np.zeros(300, np.complex64)]) for frame in frames])
    samples = np.array(sink.data(), np.complex64)
    np.testing.assert_array_equal(samples[: len(expected)], expected)
    assert not samples[len(expected) :].any()


def pdu(meta, symbols):
    from gr_semantic.blocks.pdu import make_pdu

    return make_pdu(meta, symbols.reshape(-1))


def spoilt(symbols, value):
    symbols = symbols.copy()
    symbols[0, 0] = value
    return symbols


@pytest.mark.parametrize(
    "change, spoil, text",
    [
        ({}, lambda s: spoilt(s, np.nan), "not finite"),
        ({}, lambda s: spoilt(s, np.inf), "not finite"),
        ({"budget": 9}, None, "no symbols for"),
        ({"kind": "picture"}, None, "picture"),
        ({"snr_db": "high"}, None, ""),
        ({"link_id": 999}, None, "link_id"),
        ({"image_count": None}, None, "image_count"),
        ({"image_count": 255, "budget": 32}, lambda s: np.tile(s[:1, :1], (255, 32)), "OFDM symbols"),
        ({"image_count": 128, "budget": 32}, lambda s: np.tile(s[:1, :1], (128, 32)), "the slot"),
    ],
)
def test_a_wrong_message_leaves_its_slot_silent_and_goes_on(rng, change, spoil, text):
    transmitter = OfdmTransmitter(WF, slot_len=SLOT_LEN)
    bench = Bench(transmitter)
    sink = samples_of(bench, transmitter)
    symbols = random_symbols(rng, 2, 8)
    bad = symbols if spoil is None else spoil(symbols)
    with bench:
        bench.post("symbols", {"slot": 0} | data_fields(symbols, 0) | change, bad.reshape(-1))
        bench.post("symbols", {"slot": 1} | data_fields(symbols, 1), symbols.reshape(-1))
        wait_until(lambda: len(sink.data()) == 2 * SLOT_LEN)
        (status,) = bench["status"].wait_for(1)
        assert text in status[0]["text"]
    slots = np.array(sink.data(), np.complex64).reshape(2, SLOT_LEN)
    assert not slots[0].any() and slots[1].any()


def test_a_second_message_for_a_slot_is_dropped(rng):
    transmitter = OfdmTransmitter(WF, slot_len=SLOT_LEN)
    bench = Bench(transmitter)
    sink = samples_of(bench, transmitter)
    with bench:
        bench.post("symbols", {"slot": 0})
        wait_until(lambda: len(sink.data()) == SLOT_LEN)
        bench.post("symbols", {"slot": 0})
        bench.post("symbols", {"slot": 5})
        bench.post("symbols", {"slot": 5})
        assert all("dropped" in meta["text"] for meta, _ in bench["status"].wait_for(2))
        assert len(sink.data()) == SLOT_LEN


def test_frames_that_come_far_too_early_are_not_kept(rng):
    transmitter = OfdmTransmitter(WF, slot_len=SLOT_LEN)
    bench = Bench(transmitter)
    sink = samples_of(bench, transmitter)
    symbols = random_symbols(rng, 2, 8)
    with bench:
        for number in (1, 255, 256):
            bench.post("symbols", {"slot": number} | data_fields(symbols, number), symbols.reshape(-1))
        (status,) = bench["status"].wait_for(1)
        for number in (0, *range(2, 255)):
            bench.post("symbols", {"slot": number})
        wait_until(lambda: len(sink.data()) == 257 * SLOT_LEN)
    assert "slot 256" in status[0]["text"] and transmitter.frames_sent == 2
    slots = np.array(sink.data(), np.complex64).reshape(-1, SLOT_LEN)
    assert np.flatnonzero(slots.any(axis=1)).tolist() == [1, 255]


def test_settings_are_checked():
    with pytest.raises(UserError, match="slot_len is -1"):
        OfdmTransmitter(WF, slot_len=-1)
    with pytest.raises(UserError, match="nonsense"):
        OfdmTransmitter("nonsense")


def test_on_demand_a_late_slot_begins_later_and_bursts_go_where_there_is_room(rng):
    transmitter = OfdmTransmitter(WF, slot_len=SLOT_LEN, on_demand=True, gap_len=64)
    bench = Bench(transmitter, "slots")
    sink = samples_of(bench, transmitter, 10_000_000)
    symbols = random_symbols(rng, 4, 8)
    report = {"kind": "feedback", "link_id": 3, "sequence": 9, "snr_db": 1.0, "acked_sequence": 0, "received": 1}
    with bench:
        wait_until(lambda: len(sink.data()) > 0)  # zeros pass while slot 0 is not there
        for number in range(2):
            bench.post("symbols", {"slot": number} | data_fields(symbols, number), symbols.reshape(-1))
        bench["slots"].wait_for(2)
        bench.post("symbols", report | {"lost": 0})
        wait_until(lambda: transmitter.frames_sent == 3 and transmitter.schedule.late_samples > 3 * SLOT_LEN)
        bench.post("symbols", {"kind": "end"})
        wait_until(lambda: transmitter.schedule.ended)
    samples = np.array(sink.data(), np.complex64)
    frames = receive(WF, samples)
    assert [(frame.header.kind, frame.header.sequence) for frame in frames] == [
        ("data", 0),
        ("data", 1),
        ("feedback", 9),
    ]
    ticks = bench["slots"].metas
    assert [meta["slot"] for meta in ticks] == [0, 1] and ticks[0]["sample"] > 0
    for frame, meta in zip(frames, ticks, strict=False):
        sent = modulate(WF, frame.header, symbols)
        np.testing.assert_array_equal(samples[meta["sample"] :][: len(sent)], sent)
    assert ticks[1]["sample"] >= ticks[0]["sample"] + SLOT_LEN


@pytest.mark.parametrize("slot_len", [0, SLOT_LEN])
def test_nothing_comes_before_the_first_frame_if_asked(slot_len, rng):
    transmitter = OfdmTransmitter(WF, slot_len=slot_len, on_demand=slot_len > 0)
    transmitter.schedule.lead_len = 100
    bench = Bench(transmitter)
    sink = samples_of(bench, transmitter, 2 * SLOT_LEN)
    symbols = random_symbols(rng, 2, 8)
    with bench:
        assert not len(sink.data())
        bench.post("symbols", ({"slot": 0} if slot_len else {}) | data_fields(symbols, 0), symbols.reshape(-1))
        bench.wait()
    frame = modulate(WF, Header(**data_fields(symbols, 0)), symbols)
    sent = np.array(sink.data()[: 100 + len(frame)], np.complex64)
    assert not sent[:100].any()
    np.testing.assert_array_equal(sent[100:], frame)
