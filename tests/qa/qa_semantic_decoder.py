# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from bench import Bench, random_symbols

from gr_semantic.blocks.pdu import tick
from gr_semantic.blocks.semantic_decoder import SemanticDecoder
from semantic_models import CodecError, SemanticCodec
from semantic_models.testing import tiny_codec


def frame(codec, symbols, number, **changes):
    count, budget = symbols.shape
    return {
        "kind": "data",
        "link_id": 9,
        "sequence": number,
        "model_id16": codec.model_id16,
        "budget": budget,
        "image_count": count,
        "snr_db": 8.0,
        "start_sample": 1000 * number,
        "measured_snr_db": 7.7,
        "noise_var": np.full(symbols.size, 0.2, np.float32),
    } | changes


@pytest.mark.parametrize("lockstep", [True, False])
def test_decodes_like_the_codec_with_ticks_in_order(codec, rng, lockstep):
    sent = [random_symbols(rng, 1 + number % 5, codec.budgets[number % 3]) for number in range(12)]
    with Bench(SemanticDecoder(codec, lockstep=lockstep), "results") as bench:
        for number, symbols in enumerate(sent):
            bench.post("frames", frame(codec, symbols, number), symbols.reshape(-1))
            bench.post("frames", tick(number))
        pdus = bench["results"].wait_for(24)
    assert [meta for meta, _ in pdus[1::2]] == [tick(number) for number in range(12)]
    for (meta, classes), symbols in zip(pdus[::2], sent, strict=True):
        logits = codec.decode(symbols, np.full(symbols.shape, 0.2, np.float32))
        np.testing.assert_array_equal(classes, logits.argmax(axis=1))
        assert classes.dtype == np.int32 and "noise_var" not in meta and meta["measured_snr_db"] == 7.7
    assert bench["status"].pdus == []


def test_frames_that_wait_are_decoded_together_with_equal_results(codec, rng):
    decoder = SemanticDecoder(codec, batch_frames=8)
    sent = [random_symbols(rng, 3, budget) for budget in (8, 8, 8, 16, 8)]
    items = [(frame(codec, s, n), s, np.full(s.shape, 0.2, np.float32), codec) for n, s in enumerate(sent)]
    with Bench(decoder, "results") as bench:
        decoder._decode_waiting([*items[:2], (tick(0), None, None, None), *items[2:]])
        pdus = bench["results"].wait_for(6)
    assert pdus.pop(2) == (tick(0), None)
    for (_, classes), symbols in zip(pdus, sent, strict=True):
        np.testing.assert_array_equal(classes, codec.decode(symbols, np.float32(0.2)).argmax(axis=1))


def test_other_links_and_kinds_are_ignored(codec, rng):
    symbols = random_symbols(rng, 2, 8)
    with Bench(SemanticDecoder(codec, link_id=9), "results") as bench:
        bench.post("frames", frame(codec, symbols, 0, link_id=8), symbols.reshape(-1))
        bench.post("frames", {"kind": "feedback", "link_id": 9, "sequence": 1})
        bench.post("frames", frame(codec, symbols, 2), symbols.reshape(-1))
        assert [meta["sequence"] for meta, _ in bench["results"].wait_for(1)] == [2]
    assert bench["status"].pdus == []


@pytest.mark.parametrize(
    "changes, spoil, text",
    [
        ({"model_id16": 1}, None, "model 0001"),
        ({"budget": 16}, None, "no symbols for"),
        ({"image_count": 3}, None, "no symbols for"),
        ({"noise_var": None}, None, "no noise_var"),
        ({"noise_var": np.zeros(3, np.float32)}, None, "no noise_var"),
        ({"noise_var": np.full(16, np.nan, np.float32)}, None, "not finite"),
        ({"sequence": None}, None, "sequence"),
        ({}, np.nan, "not finite"),
        ({}, np.inf, "not finite"),
    ],
)
def test_a_wrong_frame_is_dropped_with_a_warning(codec, rng, changes, spoil, text):
    symbols = random_symbols(rng, 2, 8)
    bad = symbols.copy()
    if spoil is not None:
        bad[1, 3] = spoil
    with Bench(SemanticDecoder(codec), "results") as bench:
        bench.post("frames", frame(codec, symbols, 0) | changes, bad.reshape(-1))
        bench.post("frames", tick(0))
        bench.post("frames", frame(codec, symbols, 1), symbols.reshape(-1))
        closing, good = bench["results"].wait_for(2)
        assert closing == (tick(0), None) and good[0]["sequence"] == 1
        (status,) = bench["status"].wait_for(1)
        assert status[0]["level"] == "warning" and text in status[0]["text"]


def test_a_budget_that_the_codec_lacks_is_reported(codec, rng):
    symbols = random_symbols(rng, 2, 5)
    with Bench(SemanticDecoder(codec), "results") as bench:
        bench.post("frames", frame(codec, symbols, 0), symbols.reshape(-1))
        (status,) = bench["status"].wait_for(1)
        assert "5" in status[0]["text"] and status[0]["level"] == "warning"


def test_the_codec_can_be_changed_while_running(codec, rng, tmp_path):
    other = SemanticCodec.load(tiny_codec(tmp_path / "other", seed=1), device="cpu")
    symbols = random_symbols(rng, 3, 8)
    with Bench(SemanticDecoder(codec, lockstep=True), "results") as bench:
        for number, used in enumerate((codec, other)):
            bench.block.set_codec(used)
            bench.post("frames", frame(used, symbols, number), symbols.reshape(-1))
            _, classes = bench["results"].wait_for(number + 1)[number]
            np.testing.assert_array_equal(classes, used.decode(symbols, np.float32(0.2)).argmax(axis=1))
        bench.block.set_codec("no-such-codec")
        bench["status"].wait_for(1)
        assert bench.block.codec is other


def test_a_bad_codec_is_one_clear_error(tmp_path):
    with pytest.raises(CodecError, match="nowhere"):
        SemanticDecoder(str(tmp_path / "nowhere"))
