"""The processor and the model that a run starts from."""

import math

import torch
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionEmbeddings

from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.modeling.tokenization_adaptsign import AdaptSignTokenizer
from adaptsign_hf.training.configuration import ModelConfig


def build_model_and_processor(
    config: ModelConfig, glosses: list[str], fps: float | None
) -> tuple[AdaptSignForCTC, AdaptSignProcessor]:
    """
    Build what a run starts from: a trained model, a CLIP checkpoint, or a random CLIP.

    Args:
        config: Which of them, and sizes.
        glosses: The training glosses, in the order of their ids.
        fps: Frames a second to which videos are resampled, or None. A trained model keeps its own.

    Raises:
        ValueError: If both a CLIP and a trained model are given.
    """
    if config.clip and config.pretrained:
        raise ValueError(
            f"Both clip ({config.clip}) and pretrained ({config.pretrained}) are given: start from one of them."
        )
    if config.pretrained:
        return continue_from(config.pretrained, glosses)
    sizes: dict = {
        "vocab_size": len(glosses) + 1,
        "adapter": config.adapter,
        "adapter_reduction": config.adapter_reduction,
        "lora_rank": config.lora_rank,
        "num_prefix_tokens": config.num_prefix_tokens,
        "freeze_query_and_first_prefixes": config.freeze_query_and_first_prefixes,
        "hidden_size": config.hidden_size,
        "lstm_dropout": config.lstm_dropout,
        "distillation_loss_weight": config.distillation_loss_weight,
    }
    model = AdaptSignForCTC.from_clip(config.clip, **sizes) if config.clip else build_random_model(config, sizes)
    image_size = model.config.vision.image_size
    assert isinstance(image_size, int)
    return model, AdaptSignProcessor.from_glosses(glosses, image_size, fps)


def continue_from(name_or_path: str, glosses: list[str]) -> tuple[AdaptSignForCTC, AdaptSignProcessor]:
    """Load a trained model; if it lacks any of the glosses, their vocabulary replaces its own."""
    model = AdaptSignForCTC.from_pretrained(name_or_path)
    processor = AdaptSignProcessor.from_pretrained(name_or_path)
    if not set(glosses) <= set(processor.tokenizer.glosses):
        model.replace_vocabulary(processor.tokenizer.glosses, glosses)
        processor = AdaptSignProcessor(processor.video_processor, AdaptSignTokenizer.from_glosses(glosses))
    return model, processor


def build_random_model(config: ModelConfig, sizes: dict) -> AdaptSignForCTC:
    """Build a model around a small CLIP that nobody trained, for trials without a checkpoint."""
    vision_config = CLIPVisionConfig(
        hidden_size=config.vision_width,
        intermediate_size=4 * config.vision_width,
        projection_dim=config.feature_size,
        num_hidden_layers=config.vision_layers,
        num_attention_heads=config.vision_heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
    )
    model = AdaptSignForCTC(AdaptSignConfig(vision_config=vision_config, **sizes))
    draw_embeddings(model.model.vision_model.embeddings, config.position_std)
    return model


@torch.no_grad()
def draw_embeddings(embeddings: CLIPVisionEmbeddings, position_std: float) -> None:
    """
    Redraw the first layer of a random CLIP so that it tells, as a trained one does, what is where.

    CLIP's own initialisation gives filters that mostly see the colour of a patch, and positions that its content
    drowns; a network on top then learns the clothes and the wall before the hands. Trained filters find edges.

    Args:
        embeddings: Of an untrained CLIP.
        position_std: Spread of the positions.
    """
    filters = embeddings.patch_embedding.weight
    filters.normal_(std=2 / math.sqrt(filters[0].numel()))
    filters.sub_(filters.mean(dim=(2, 3), keepdim=True))
    embeddings.position_embedding.weight.normal_(std=position_std)
