"""Untrained models that nevertheless read something else in each step of a video."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import CLIPVisionModel

from adaptsign_hf.data.synthetic import LEXICON
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.training.building import build_model_and_processor
from adaptsign_hf.training.configuration import ModelConfig

TINY_MODEL = ModelConfig(
    image_size=32, patch_size=16, vision_width=16, vision_layers=1, vision_heads=2, feature_size=16, hidden_size=16
)


def make_reading_model(videos: Sequence[Path]) -> tuple[AdaptSignForCTC, AdaptSignProcessor]:
    """Make a model, always the same, with BatchNorm's statistics of these videos, and large weights in the BiLSTM."""
    torch.manual_seed(0)
    model, processor = build_model_and_processor(TINY_MODEL, list(LEXICON)[::2], fps=None)
    with torch.no_grad():
        for block in model.convolutions.blocks:
            block.batch_norm.momentum = None
        for weights in model.bilstm.parameters():
            weights *= 5
        model.train()(**processor(videos=list(videos)))
    return model.eval(), processor


def save_bare_clip(model: AdaptSignForCTC, folder: Path) -> None:
    """Save the CLIP of a model without its adapters."""
    clip = CLIPVisionModel(model.config.vision)
    own = model.model.vision_model.state_dict()
    names = {name.replace(".base_layer.", "."): name for name in own}
    clip.load_state_dict({name: own[names[name]] for name in clip.state_dict()})
    clip.save_pretrained(folder)
