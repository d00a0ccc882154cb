# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from bench import Bench, random_symbols

from gr_semantic.blocks.semantic_decoder import SemanticDecoder
from gr_semantic.blocks.symbol_channel import SymbolChannel
from gr_semantic.errors import UserError


def frame(sequence, **changes):
    fields = {"slot": sequence, "kind": "data", "link_id": 1, "sequence": sequence, "model_id16": 7, "budget": 16}
    return fields | {"image_count": 64, "snr_db": 3.0} | changes


def test_noise_has_the_level_asked_for_and_can_be_moved(rng):
    symbols = random_symbols(rng, 64, 16).reshape(-1)
    with Bench(SymbolChannel(6.0, seed=1), "frames", "constellation") as bench:
        for number, snr_db in enumerate((6.0, -4.0)):
            bench.block.set_snr_db(snr_db)
            bench.post("symbols", frame(number), symbols)
            meta, noisy = bench["frames"].wait_for(number + 1)[number]
            np.testing.assert_array_equal(bench["constellation"].wait_for(number + 1)[number][1], noisy)
            variance = 10 ** (-snr_db / 10)
            assert np.mean(np.abs(noisy - symbols) ** 2) == pytest.approx(variance, rel=0.12)
            assert abs(np.mean(noisy - symbols)) < 4 * np.sqrt(variance / len(symbols))
            np.testing.assert_allclose(meta["noise_var"], variance, rtol=1e-6)
            assert meta["measured_snr_db"] == snr_db and meta["start_sample"] == number
            assert {key: meta[key] for key in frame(number)} == frame(number)


def test_wrong_input_is_dropped_with_a_warning(rng):
    with Bench(SymbolChannel(), "frames") as bench:
        bench.post("symbols", {"slot": 3})  # an empty slot
        bench.post("symbols", frame(0))
        bench.post("symbols", frame(1), np.zeros(4, np.float32))
        bench.block.set_snr_db(1000)
        warnings = bench["status"].wait_for(3)
        bench.post("symbols", frame(2), random_symbols(rng, 64, 16).reshape(-1))
        bench["frames"].wait_for(1)
    assert "snr_db is 1000" in " ".join(meta["text"] for meta, _ in warnings)
    assert bench.block.snr_db == 10.0


def test_its_frames_are_what_the_decoder_takes(codec, images):
    symbols = codec.encode(images.images, 30.0, 16)
    channel, decoder = SymbolChannel(30.0), SemanticDecoder(codec, lockstep=True)
    with Bench(decoder, "results") as bench:
        bench.channel = channel
        with Bench(channel, "frames") as first:
            first.post("symbols", frame(0, model_id16=codec.model_id16), symbols.reshape(-1))
            ((meta, noisy),) = first["frames"].wait_for(1)
        bench.post("frames", meta, noisy)
        ((_, classes),) = bench["results"].wait_for(1)
    expected = codec.decode(noisy.reshape(64, 16), np.float32(1e-3)).argmax(axis=1)
    assert np.mean(classes == expected) > 0.98  # 1e-3 in single precision is not the same on both ways


def test_settings_are_checked():
    with pytest.raises(UserError, match="snr_db"):
        SymbolChannel(float("nan"))
    with pytest.raises(UserError, match="seed"):
        SymbolChannel(seed=-1)
