# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from bench import Bench, wait_until

from gr_semantic.blocks.image_sets import register_images
from gr_semantic.blocks.semantic_encoder import SemanticEncoder
from gr_semantic.errors import UserError
from semantic_models import CodecError, SemanticCodec
from semantic_models.testing import tiny_codec


def profile(images, number, **changes):
    return {"slot": number, "sequence": number, "snr_db": 7.5, "budget": 8, "images": register_images(images)} | changes


def post_frames(bench, images, count, **changes):
    for number in range(count):
        bench.post("images", profile(images, number, **changes), np.arange(number, number + 4, dtype=np.int32))


def expected(codec, images, number, budget=8):
    return codec.encode(images.images[number : number + 4], 7.5, budget).reshape(-1)


@pytest.mark.parametrize("lockstep", [True, False])
def test_encodes_like_the_codec_in_order(codec, images, lockstep):
    with Bench(SemanticEncoder(codec, link_id=9, lockstep=lockstep), "symbols") as bench:
        post_frames(bench, images, 12)
        for number, (meta, symbols) in enumerate(bench["symbols"].wait_for(12)):
            assert meta == {
                "slot": number,
                "kind": "data",
                "link_id": 9,
                "sequence": number,
                "model_id16": codec.model_id16,
                "budget": 8,
                "image_count": 4,
                "snr_db": 7.5,
            }
            np.testing.assert_array_equal(symbols, expected(codec, images, number))
    assert bench["status"].pdus == []


def test_batches_mix_budgets_and_sizes(codec, images):
    encoder = SemanticEncoder(codec, batch_frames=8)
    budgets = [8, 8, 16, 4, 4, 8]
    frames = [
        (profile(images, number, budget=budget), images.images[: number + 1], codec)
        for number, budget in enumerate(budgets)
    ]
    with Bench(encoder, "symbols") as bench:
        encoder._encode_waiting(frames)
        pdus = bench["symbols"].wait_for(len(frames))
    for (meta, symbols), (asked, pixels, _) in zip(pdus, frames, strict=True):
        assert meta["sequence"] == asked["sequence"]
        np.testing.assert_array_equal(symbols, codec.encode(pixels, 7.5, asked["budget"]).reshape(-1))


@pytest.mark.parametrize(
    "changes, indices, text",
    [
        ({"budget": 5}, [0], "budget is 5"),
        ({"images": "elsewhere"}, [0], "elsewhere"),
        ({"snr_db": float("nan")}, [0], "snr_db"),
        ({"sequence": "one"}, [0], "sequence"),
        ({}, [64], "outside"),
        ({}, [-1], "outside"),
        ({}, [], "no s32 indices"),
    ],
)
def test_wrong_input_leaves_its_slot_silent_and_goes_on(codec, images, changes, indices, text):
    with Bench(SemanticEncoder(codec, lockstep=True), "symbols") as bench:
        bench.post("images", profile(images, 0) | changes, np.array(indices, np.int32))
        bench.post("images", profile(images, 1), np.array([0], np.int32))
        silent, good = bench["symbols"].wait_for(2)
        assert silent == ({"slot": 0}, None) and good[0]["slot"] == 1
        (status,) = bench["status"].wait_for(1)
        assert status[0]["level"] == "warning" and text in status[0]["text"]


def test_a_failing_codec_is_an_error_not_a_hang(images, codec):
    class Broken:
        budgets, model_id16, image_shape = codec.budgets, 1, codec.image_shape

        def encode(self, *_):
            raise RuntimeError("out of memory")

    with Bench(SemanticEncoder(Broken(), lockstep=True), "symbols") as bench:
        bench.post("images", profile(images, 3), np.array([0], np.int32))
        assert bench["symbols"].wait_for(1) == [({"slot": 3}, None)]
        assert all(
            meta["level"] == "error" and "out of memory" in meta["text"] for meta, _ in bench["status"].wait_for(1)
        )


def test_a_full_queue_drops_the_oldest_with_a_warning(images, codec):
    encoder = SemanticEncoder(codec, queue_frames=2)
    bench = Bench(encoder, "symbols")
    encoder.worker.start = lambda: None  # nothing is taken out of the queue
    with bench:
        post_frames(bench, images, 5)
        assert len(bench["status"].wait_for(3)) == 3 and encoder.worker.dropped == 3


def test_in_lockstep_nothing_is_dropped(images, codec):
    encoder = SemanticEncoder(codec, lockstep=True, queue_frames=2)
    start, encoder.worker.start = encoder.worker.start, lambda: None
    with Bench(encoder, "symbols") as bench:
        post_frames(bench, images, 20)
        wait_until(lambda: len(encoder.worker._waiting) == 20)
        start()
        assert [meta["slot"] for meta, _ in bench["symbols"].wait_for(20)] == list(range(20))


def test_the_codec_can_be_changed_while_running(codec, images, tmp_path):
    other = SemanticCodec.load(tiny_codec(tmp_path / "other", seed=1), device="cpu")
    with Bench(SemanticEncoder(codec, lockstep=True), "symbols") as bench:
        post_frames(bench, images, 1)
        bench["symbols"].wait_for(1)
        bench.block.set_codec(tiny_codec(tmp_path / "colour", image_shape=(3, 32, 32)))
        bench.block.set_codec("no-such-codec")
        assert [meta["level"] for meta, _ in bench["status"].wait_for(2)] == ["warning"] * 2
        post_frames(bench, images, 1)
        bench["symbols"].wait_for(2)
        bench.block.set_codec(other)
        post_frames(bench, images, 1)
        sent = bench["symbols"].wait_for(3)
    for (meta, symbols), used in zip(sent, (codec, codec, other), strict=True):
        assert meta["model_id16"] == used.model_id16
        np.testing.assert_array_equal(symbols, expected(used, images, 0))


def test_a_bad_codec_is_one_clear_error(tmp_path):
    with pytest.raises(CodecError, match="nowhere"):
        SemanticEncoder(tmp_path / "nowhere")
    (tmp_path / "codec.toml").write_text("not a codec [")
    with pytest.raises(CodecError, match="codec"):
        SemanticEncoder(tmp_path)
    with pytest.raises(UserError, match="device is 'gpu'"):
        SemanticEncoder(tmp_path, device="gpu")
    with pytest.raises(UserError, match="codec"):
        SemanticEncoder("")
