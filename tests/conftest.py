"""Tiny models, built in a moment and without a network."""

import pytest
import torch
from transformers import CLIPVisionModel

import adaptsign_hf  # noqa: F401 - the Auto classes know AdaptSign afterwards
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC


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
