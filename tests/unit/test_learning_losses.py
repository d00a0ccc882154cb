# SPDX-License-Identifier: GPL-3.0-or-later
"""The loss terms against their definitions, and at the edges where they could become NaN."""

import torch
import torch.nn.functional as F

from semantic_models.losses import RateBound, task_and_distillation

DRAW = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 10, generator=DRAW)
LABELS = torch.arange(6)
TEACHER = torch.softmax(torch.randn(6, 10, generator=DRAW), 1)


def test_terms_match_torch():
    task = F.cross_entropy(LOGITS, LABELS)
    divergence = F.kl_div(F.log_softmax(LOGITS, 1), TEACHER, reduction="batchmean")
    assert torch.allclose(task_and_distillation(LOGITS, LABELS), task)
    assert torch.allclose(task_and_distillation(LOGITS, LABELS, TEACHER, 0.7), 0.3 * task + 0.7 * divergence)


def test_label_smoothing_spreads_its_share_over_all_classes():
    targets = 0.8 * F.one_hot(LABELS, 10) + 0.2 / 10
    expected = -(targets * F.log_softmax(LOGITS, 1)).sum(1).mean()
    assert torch.allclose(task_and_distillation(LOGITS, LABELS, label_smoothing=0.2), expected)


def test_perfect_student_has_no_divergence():
    assert abs(task_and_distillation(TEACHER.log(), LABELS, TEACHER, 1.0)) < 1e-6


def test_finite_where_the_teacher_is_certain_and_the_student_wrong():
    logits = torch.zeros(1, 10)
    logits[0, 3] = 1e4
    logits.requires_grad_()
    teacher = F.one_hot(torch.tensor([0]), 10).float()
    loss = task_and_distillation(logits, torch.tensor([0]), teacher, 0.5)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_rate_is_gaussian_capacity_for_a_matched_code():
    """Unit-power symbols and a unit-power profile: log(1 + SNR) nats a symbol."""
    symbols = torch.polar(torch.ones(5, 8), torch.rand(5, 8, generator=DRAW))
    for snr_lin in (0.25, 1.0, 100.0):
        rate = RateBound(16)(symbols, torch.full((5, 8), 1 / snr_lin))
        assert torch.allclose(rate, 8 * torch.log(torch.tensor(1 + snr_lin)), rtol=1e-5)


def test_rate_bound_is_tightest_at_the_codes_own_power():
    noise_var = torch.full((4, 4), 0.1)
    symbols = torch.sqrt(torch.tensor([3.0, 0.6, 0.3, 0.1])).expand(4, 4).to(torch.complex64)
    bound = RateBound(4)
    flat = bound(symbols, noise_var)
    with torch.no_grad():
        bound.log_power.copy_(torch.tensor([3.0, 0.6, 0.3, 0.1]).log())
    matched = bound(symbols, noise_var)
    assert matched < flat
    matched.backward()
    assert bound.log_power.grad.abs().max() < 1e-5
