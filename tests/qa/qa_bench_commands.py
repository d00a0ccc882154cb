# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks measure what they claim to: everything is found and decoded. Times themselves are not tested."""

import pytest
import torch

from gr_semantic.bench import codec as bench_codec
from gr_semantic.bench import loop, path, replay, stock_ofdm
from gr_semantic.bench.plain_loop import STAGES
from semantic_models import SemanticCodec, load_images
from semantic_models.testing import tiny_codec

IMAGES = "fashion-mnist:test[0:100]"


@pytest.fixture
def codec(tmp_path):
    torch.set_num_threads(1)
    return SemanticCodec.load(tiny_codec(tmp_path / "tiny", budgets=(4, 8)), "cpu")


@pytest.fixture
def name(tmp_path):
    return str(tmp_path / "tiny")


def test_loop(codec, name):
    one, many = loop.measure(codec, load_images(IMAGES), name, 10)
    assert (one["images_per_frame"], many["images_per_frame"]) == (1, 48) and one["slots"] == 10
    for row in (one, many):
        assert row["accuracy"] is not None and row["images_per_s"] > 0 and row["plain_images_per_s"] > 0


def test_replay(codec, name, monkeypatch):
    stock_frames = stock_ofdm.frames
    monkeypatch.setattr(stock_ofdm, "frames", lambda count, payload_symbols: stock_frames(20, payload_symbols))
    for row in replay.measure(codec, name, IMAGES, 1.0):
        assert row["frames"] == "49/49" and 0 <= row["accuracy"] <= 1
        assert row["seconds"] == pytest.approx(1, abs=0.03)


def test_path(codec, name):
    rows = path.measure(codec, load_images(IMAGES), name, 10, per_frame=(1,))
    stages = [row for row in rows if not row["stage"].startswith("-")]
    assert [row["stage"] for row in stages] == [*STAGES, "GNU Radio and messages", "all"]
    assert sum(row["share"] for row in stages[:-1]) == pytest.approx(1)


def test_codec(codec, name):
    rows = bench_codec.measure(name, batches=(1, 3))
    assert [(row["batch"], row["call"]) for row in rows] == [(n, c) for n in (1, 3) for c in ("encode", "decode")]
    assert all(row["ratio"] == row["eager_ms"] / row["codec_ms"] for row in rows)
