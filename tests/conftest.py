"""Tiny models and tiny copies of benchmarks, built in a moment and without a network."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import CLIPVisionModel

import adaptsign_hf  # noqa: F401 - the Auto classes know AdaptSign afterwards
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC

from .data.benchmarks.trees import LAYOUTS, Tree, write_tree


@pytest.fixture
def tiny_config() -> AdaptSignConfig:
    """32-pixel frames of 4 patches, 2 layers of width 48, features of 24, 11 classes, no dropout."""
    vision = {
        "hidden_size": 48,
        "intermediate_size": 56,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
        "projection_dim": 24,
    }
    return AdaptSignConfig(vision_config=vision, hidden_size=32, vocab_size=11, lstm_dropout=0.0)


@pytest.fixture
def tiny_model(tiny_config: AdaptSignConfig) -> AdaptSignForCTC:
    """A model in evaluation mode, the same each time, none of whose tensors is zero: every branch counts."""
    torch.manual_seed(0)
    model = AdaptSignForCTC(tiny_config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if not tensor.any() or name.endswith("bias"):
                tensor.normal_(std=0.1)
        for name, tensor in model.named_buffers():
            if name.endswith("running_mean"):
                tensor.normal_(std=0.1)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
        model.model.aggregator.cross_frame_gate.fill_(0.7)
        model.model.aggregator.mix_weights.copy_(torch.tensor([0.4, 0.8]))
    return model


@pytest.fixture
def tiny_clip(tiny_config: AdaptSignConfig) -> CLIPVisionModel:
    """The bare image encoder of the same sizes, in evaluation mode, biases not zero."""
    torch.manual_seed(1)
    clip = CLIPVisionModel(tiny_config.vision).eval()
    with torch.no_grad():
        for name, tensor in clip.named_parameters():
            if name.endswith("bias"):
                tensor.normal_(std=0.1)
    return clip


@pytest.fixture
def tiny_skeleton(tiny_config: AdaptSignConfig, tiny_model: AdaptSignForCTC) -> AdaptSignForCTC:
    """`tiny_model` without its adapters, in evaluation mode."""
    skeleton = AdaptSignForCTC(AdaptSignConfig(**{**tiny_config.to_diff_dict(), "adapter": None})).eval()
    weights = {name.replace(".base_layer.", "."): tensor for name, tensor in tiny_model.state_dict().items()}
    skeleton.load_state_dict({name: weights[name] for name in skeleton.state_dict()})
    return skeleton


@pytest.fixture
def disturb() -> Callable[..., nn.Module]:
    """Add noise to what a model trains, the statistics of BatchNorm too, as training would; zeros do not stay zero."""

    def add_noise(model: nn.Module, seed: int = 0) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
            for module in model.modules():
                if isinstance(module, nn.BatchNorm1d) and module.weight.requires_grad:
                    module.running_mean.add_(0.1 * torch.randn(module.running_mean.shape, generator=generator))
        return model

    return add_noise


@pytest.fixture
def plant_tree(tmp_path: Path) -> Callable[..., Tree]:
    """Write a copy of a benchmark, of one of the layouts in `data/benchmarks/trees.py`, to `tmp_path / "copy"`."""

    def plant(layout: str, **options) -> Tree:
        return write_tree(layout, tmp_path / "copy", **options)

    return plant


@pytest.fixture(params=LAYOUTS)
def tree(request: pytest.FixtureRequest, plant_tree: Callable[..., Tree]) -> Tree:
    """A copy of each benchmark in each of its layouts, with nothing wrong."""
    return plant_tree(request.param)
