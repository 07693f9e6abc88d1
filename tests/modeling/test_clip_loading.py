"""Starting from CLIP checkpoints of each kind, and refusing others."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    ViTConfig,
    ViTModel,
)

from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC

TEXT = {
    "vocab_size": 20,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SMALL = {"hidden_size": 32, "vocab_size": 11}
KINDS = ["CLIPModel", "CLIPVisionModel", "CLIPVisionModelWithProjection"]


def build_clip(kind: str, config: AdaptSignConfig):
    torch.manual_seed(3)
    if kind == "CLIPModel":
        vision = config.vision.to_dict()
        clip = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=vision["projection_dim"]))
    else:
        clip = {"CLIPVisionModel": CLIPVisionModel, "CLIPVisionModelWithProjection": CLIPVisionModelWithProjection}[
            kind
        ](config.vision)
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # no bias is zero, no norm is the identity
    return clip.eval()


@pytest.fixture(params=KINDS)
def clip(request, tiny_config):
    return build_clip(request.param, tiny_config)


def frozen_weights(model: AdaptSignForCTC) -> dict[str, torch.Tensor]:
    weights = model.model.vision_model.state_dict()
    return {key.replace(".base_layer.", "."): value for key, value in weights.items() if "adaptsign_" not in key}


def test_every_kind_of_clip_gives_its_encoder_and_projection(clip, tmp_path):
    clip.save_pretrained(tmp_path)
    model = AdaptSignForCTC.from_clip(tmp_path, **SMALL)

    vision = clip if isinstance(clip, CLIPVisionModel) else clip.vision_model
    expected = vision.state_dict()
    actual = frozen_weights(model)
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name
    aggregator = model.model.aggregator
    assert torch.equal(aggregator.class_norm.weight, vision.post_layernorm.weight)
    assert torch.equal(aggregator.class_norm.bias, vision.post_layernorm.bias)
    if isinstance(clip, CLIPVisionModel):
        assert aggregator.projection.weight.std().item() == pytest.approx(48**-0.5, rel=0.2)
    else:
        assert torch.equal(aggregator.projection.weight, clip.visual_projection.weight)


def test_what_starts_from_clip_is_frozen_and_what_is_new_is_fresh(clip, tmp_path):
    clip.save_pretrained(tmp_path)
    model = AdaptSignForCTC.from_clip(tmp_path, **SMALL)
    assert model.config.vocab_size == model.classifier.out_features == 11
    assert model.config.vision.projection_dim == 24
    for name, parameter in model.named_parameters():
        frozen = ".vision_model." in name and "adaptsign_" not in name
        assert parameter.requires_grad != frozen, name
        assert parameter.isfinite().all(), name
        if "up_proj" in name or name.endswith("cross_frame_gate"):
            assert not parameter.any(), name
    copied = model.model.aggregator.class_norm.weight
    assert copied.data_ptr() != model.model.vision_model.post_layernorm.weight.data_ptr()


def test_layers_equal_bare_clips_while_adapters_are_fresh_and_without_prefixes(clip, tmp_path):
    clip.save_pretrained(tmp_path)
    model = AdaptSignForCTC.from_clip(tmp_path, num_prefix_tokens=0, **SMALL).eval()
    vision = clip if isinstance(clip, CLIPVisionModel) else clip.vision_model
    frames = torch.randn(3, 3, 32, 32)
    hidden = []
    for layer in model.model.vision_model.encoder.layers:
        layer.register_forward_hook(lambda module, inputs, output: hidden.append(output))
    with torch.no_grad():
        expected = vision(frames, output_hidden_states=True).hidden_states[1:]
        model(frames[None])
    assert len(hidden) == len(expected) == 2
    for actual, bare in zip(hidden, expected, strict=True):
        torch.testing.assert_close(actual, bare, atol=1e-5, rtol=1e-5)


def test_a_config_keeps_its_fields_but_takes_clips_sizes(tiny_config, tmp_path):
    build_clip("CLIPVisionModelWithProjection", tiny_config).save_pretrained(tmp_path)
    config = AdaptSignConfig(hidden_size=16, vocab_size=5, share_classifier=False, lstm_dropout=0.1)
    before = config.to_dict()
    model = AdaptSignForCTC.from_clip(tmp_path, config)
    assert (model.config.hidden_size, model.config.vocab_size, model.config.lstm_dropout) == (16, 5, 0.1)
    assert not model.config.share_classifier
    assert model.config.vision.hidden_size == 48
    assert config.to_dict() == before


def test_config_and_fields_together_are_refused(tiny_config, tmp_path):
    with pytest.raises(ValueError, match=r"config and the fields \['vocab_size'\]"):
        AdaptSignForCTC.from_clip(tmp_path, tiny_config, vocab_size=5)


@pytest.mark.parametrize("kind", ["bert", "vit", "clip text"])
def test_other_checkpoints_are_refused(kind, tmp_path):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if kind == "bert":
        other = BertModel(BertConfig(vocab_size=20, **sizes))
    elif kind == "vit":
        other = ViTModel(ViTConfig(image_size=32, patch_size=16, **sizes))
    else:
        other = CLIPTextModel(CLIPTextConfig(**TEXT))
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"is not a CLIP checkpoint with an image encoder"):
        AdaptSignForCTC.from_clip(tmp_path, **SMALL)


def test_a_projection_of_another_size_than_declared_is_refused(tiny_config, tmp_path):
    """Rather than replaced by a random one without a word."""
    vision = {**tiny_config.vision.to_dict(), "projection_dim": 12}
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=24)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"of another size.*visual_projection\.weight"):
        AdaptSignForCTC.from_clip(tmp_path, **SMALL)


def test_saved_after_starting_from_clip_loads_the_same(tiny_config, tmp_path):
    build_clip("CLIPModel", tiny_config).save_pretrained(tmp_path / "clip")
    model = AdaptSignForCTC.from_clip(tmp_path / "clip", **SMALL).eval()
    model.save_pretrained(tmp_path / "ours")
    loaded = AdaptSignForCTC.from_pretrained(tmp_path / "ours")
    expected = model.state_dict()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
