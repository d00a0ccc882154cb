# SPDX-License-Identifier: GPL-3.0-or-later
"""SemanticCodec beside the eager torch module with the same weights."""

import time

import numpy as np
import torch

from ..paths import codec_folder

BATCHES = (1, 32, 256)
SNR_DB = 10.0
_CALLS = 30


def measure(name: str, device: str = "cpu", batches=BATCHES) -> list[dict]:
    """Rows {device, batch, call, codec_ms, eager_ms, ratio}: milliseconds of a call with arrays in and out.

    Median of 30 calls with one CPU thread: processor time on a CPU, wall-clock time on a GPU. The eager module gets and
    gives the same arrays, as the student is trained: batch norms, no fixed chunks, no checks.
    """
    from semantic_models import SemanticCodec
    from semantic_models.codec_folder import read_codec
    from semantic_models.teacher import to_unit

    codec = SemanticCodec.load(codec_folder(name), device)
    config, tensors, _ = read_codec(codec_folder(name))
    eager = config.build()
    eager.load_state_dict(tensors)
    eager.eval().to(device)
    budget, rng, rows = max(codec.budgets), np.random.default_rng(0), []

    @torch.inference_mode()
    def eager_encode(images):
        level = torch.full((len(images),), SNR_DB, device=device)
        return eager.send(eager.encoder(to_unit(images, torch.device(device))), level, budget).cpu().numpy()

    @torch.inference_mode()
    def eager_decode(symbols, noise_var):
        received = (torch.from_numpy(values).to(device) for values in (symbols, noise_var))
        return eager.decode(*received).cpu().numpy()

    for batch in batches:
        images = rng.integers(0, 256, (batch, *codec.image_shape), np.uint8)
        symbols, noise_var = codec.encode(images, SNR_DB, budget), np.full((batch, budget), 0.1, np.float32)
        pairs = {
            "encode": (codec.encode, eager_encode, (images, SNR_DB, budget), (images,)),
            "decode": (codec.decode, eager_decode, (symbols, noise_var), (symbols, noise_var)),
        }
        for call, (ours, theirs, args, eager_args) in pairs.items():
            clock = time.process_time if device == "cpu" else time.perf_counter
            ours_ms, theirs_ms = _medians_ms(clock, (ours, args), (theirs, eager_args))
            rows.append({"device": device, "batch": batch, "call": call, "codec_ms": ours_ms, "eager_ms": theirs_ms})
            rows[-1]["ratio"] = theirs_ms / ours_ms
    return rows


def _medians_ms(clock, *calls) -> list[float]:
    """Median time of each (function, arguments), taken in turns: what else the machine does falls on all alike."""
    for function, args in calls * 3:
        function(*args)
    times = [[] for _ in calls]
    for _ in range(_CALLS):
        for (function, args), own in zip(calls, times, strict=True):
            began = clock()
            function(*args)
            own.append(1e3 * (clock() - began))
    return [float(np.median(own)) for own in times]
