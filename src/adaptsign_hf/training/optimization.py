"""The optimizer and the course of its learning rate."""

import math

import torch
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from adaptsign_hf.training.configuration import OptimizationConfig


def build_optimizer(model: torch.nn.Module, config: OptimizationConfig) -> Optimizer:
    """Return Adam over the trained parameters (paper: implementation details)."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Adam(trained, lr=config.learning_rate, weight_decay=config.weight_decay)


def build_schedule(optimizer: Optimizer, config: OptimizationConfig, steps_per_epoch: int) -> LambdaLR:
    """
    Return the course of the learning rate, to be moved on once a step.

    Args:
        optimizer: Whose rate is set.
        config: Its shape.
        steps_per_epoch: Optimizer steps in an epoch.
    """
    total_steps = config.epochs * steps_per_epoch
    warmup_steps = config.warmup_fraction * total_steps

    def step_factor(step: int) -> float:
        epoch = step // steps_per_epoch
        return config.decay_factor ** sum(epoch >= decay_epoch for decay_epoch in config.decay_epochs)

    def cosine_factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1)))

    return LambdaLR(optimizer, step_factor if config.schedule == "step" else cosine_factor)
