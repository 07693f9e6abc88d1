import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adaptsign_hf.training.configuration import OptimizationConfig
from adaptsign_hf.training.optimization import build_optimizer, build_schedule


def make_model():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    model[0].requires_grad_(False)
    return model


def rates(config, steps_per_epoch):
    """The learning rate of each step of a run."""
    optimizer = build_optimizer(make_model(), config)
    schedule = build_schedule(optimizer, config, steps_per_epoch)
    seen = []
    for _ in range(config.epochs * steps_per_epoch):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_only_trained_parameters_are_optimized():
    model = make_model()
    optimizer = build_optimizer(model, OptimizationConfig())
    trained = [*model[1].parameters(), *model[2].parameters()]
    assert [id(parameter) for group in optimizer.param_groups for parameter in group["params"]] == list(
        map(id, trained)
    )


def test_the_defaults_are_the_papers():
    optimizer = build_optimizer(make_model(), OptimizationConfig())
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == optimizer.param_groups[0]["weight_decay"] == 1e-4
    expected = [1e-4] * 60 + [0.2e-4] * 30 + [0.04e-4] * 30
    assert rates(OptimizationConfig(), steps_per_epoch=3) == pytest.approx(expected)


def test_epochs_and_factor_of_the_steps_can_be_chosen():
    config = OptimizationConfig(epochs=4, learning_rate=1.0, decay_epochs=[3, 1], decay_factor=0.1)
    assert rates(config, steps_per_epoch=2) == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_rises_then_falls_to_zero():
    config = OptimizationConfig(epochs=10, learning_rate=2.0, schedule="cosine", warmup_fraction=0.2)
    seen = rates(config, steps_per_epoch=10)
    assert seen[:20] == pytest.approx([2 * (step + 1) / 21 for step in range(20)])
    assert seen[20] == pytest.approx(2)
    assert seen[60] == pytest.approx(1)
    assert seen[20:] == sorted(seen[20:], reverse=True)
    assert 0 < seen[-1] < 0.002
    assert seen[40] == pytest.approx(1 + math.cos(math.pi / 4))


@given(st.integers(1, 5), st.integers(1, 7), st.floats(0, 1))
def test_cosine_stays_between_zero_and_the_greatest_rate(epochs, steps_per_epoch, warmup_fraction):
    config = OptimizationConfig(epochs=epochs, schedule="cosine", warmup_fraction=warmup_fraction)
    seen = rates(config, steps_per_epoch)
    assert all(0 < rate <= 1e-4 + 1e-12 for rate in seen)
    top = seen.index(max(seen))
    assert seen[:top] == sorted(seen[:top])
    assert seen[top:] == sorted(seen[top:], reverse=True)
