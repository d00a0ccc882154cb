# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that are a simplex, and the receiver that correlates with them."""

import numpy as np
import pytest
import torch

from semantic_models import CodecError
from semantic_models.channel_adaptive import send_prefix
from semantic_models.code_words import Correlator, simplex_words
from semantic_models.limit import simplex_accuracy
from semantic_models.student import Student


@pytest.mark.parametrize("words", (5, 9))
def test_a_prefix_of_whole_blocks_has_equal_and_least_correlations(words):
    torch.manual_seed(1)
    block = (words - 1) // 2  # symbols
    code = simplex_words(words, 3 * block + 1)
    for symbols in (block, 2 * block, 3 * block):
        sent = send_prefix(code.T.contiguous(), symbols)
        assert torch.allclose(torch.complex(*code.chunk(2))[:symbols].T, sent, atol=1e-5)  # of unit power as they are
        correlations = (sent @ sent.conj().T).real / symbols
        expected = torch.full((words, words), -1 / (words - 1)).fill_diagonal_(1.0)
        assert torch.allclose(correlations, expected, atol=1e-5)
    assert torch.linalg.matrix_rank(code) == words - 1


@pytest.mark.parametrize("symbols", (9, 18))
def test_words_and_correlator_reach_the_limit(symbols):
    """10 words in 9 numbers a block: 18 or 36 numbers are whole blocks."""
    torch.manual_seed(2)
    code, snr_db, trials = simplex_words(10, 18), -7.0, 6000
    sent, noise_var = send_prefix(code.T.contiguous(), symbols).repeat(trials, 1), 10 ** (0.1 * -snr_db)
    received = sent + noise_var**0.5 * torch.randn_like(sent)
    decided = Correlator(code)(received, torch.full(received.shape, noise_var)).argmax(1)
    accuracy = (decided == torch.arange(10).repeat(trials)).double().mean().item()
    limit = float(simplex_accuracy(10, symbols / noise_var))
    assert 0.3 < limit < 0.95
    assert accuracy == pytest.approx(limit, abs=4 * (limit * (1 - limit) / (10 * trials)) ** 0.5)


def test_the_correlator_decides_as_the_likelihoods_do_and_says_at_most_so_much():
    torch.manual_seed(3)
    code = simplex_words(6, 12)
    words = torch.complex(*code.chunk(2)).T
    noise_var = 10 ** (3 * torch.rand(500, 8) - 2)  # 0.01 to 10, another one for each symbol
    received = words[torch.arange(500) % 6, :8] + noise_var.sqrt() * torch.randn(500, 8, dtype=torch.complex64)
    correlator = Correlator(code)
    logits = correlator(received, noise_var)
    energy = words[:, :8].abs().square()
    likelihoods = -((received[:, None] - words[:, :8]).abs().square() / noise_var[:, None]).sum(2)
    likelihoods += (energy / noise_var[:, None]).sum(2)  # words of unequal energy: the correlator knows unit rows
    assert torch.equal(logits.argmax(1), likelihoods.argmax(1))
    with torch.no_grad():
        correlator.log_most.fill_(np.log(1e9))
        assert torch.allclose(
            correlator(received, noise_var).log_softmax(1), likelihoods.log_softmax(1), rtol=1e-3, atol=1e-2
        )
        correlator.log_most.fill_(np.log(4.0))
        for quiet in (1e-3, 0.0):
            said = correlator(words[:, :8], torch.full((6, 8), quiet))
            assert torch.isfinite(said).all() and 0 < said.max() < 2 * 4 * energy.mean(1).max() * 1.01


def test_a_correlator_needs_words():
    with pytest.raises(CodecError, match="decoder_hidden: words needs code_words"):
        Student((1, 28, 28), 10, 8, decoder_hidden="words")
