from dataclasses import replace

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

from adaptsign_hf.modeling.adapters_adaptsign import save_adapter
from adaptsign_hf.training.building import build_model_and_processor
from adaptsign_hf.training.configuration import ModelConfig

GLOSSES = ["FOG", "RAIN", "SUN"]
SIZES = {"adapter_reduction": 2, "num_prefix_tokens": 3, "hidden_size": 20, "lstm_dropout": 0.1}
TINY = ModelConfig(
    image_size=32,
    patch_size=16,
    vision_width=24,
    vision_layers=2,
    vision_heads=2,
    feature_size=12,
    position_std=0.3,
    distillation_loss_weight=7.0,
    **SIZES,
)


def build(config=TINY, glosses=GLOSSES, fps=None):
    torch.manual_seed(0)
    return build_model_and_processor(config, glosses, fps)


@pytest.fixture
def trained(tmp_path):
    """A saved model, as training leaves it."""
    model, processor = build(fps=12.5)
    model.save_pretrained(tmp_path / "trained")
    processor.save_pretrained(tmp_path / "trained")
    return str(tmp_path / "trained"), model


def test_a_random_model_has_the_sizes_of_the_recipe():
    model, processor = build()
    vision = model.config.vision
    assert (vision.image_size, vision.patch_size, vision.hidden_size, vision.intermediate_size) == (32, 16, 24, 96)
    assert (vision.num_hidden_layers, vision.num_attention_heads, vision.projection_dim) == (2, 2, 12)
    assert {name: getattr(model.config, name) for name in SIZES} == SIZES
    assert model.config.distillation_loss_weight == 7
    assert model.config.vocab_size == 4
    assert processor.tokenizer.glosses == GLOSSES


def test_filters_of_a_random_model_see_edges_not_colours():
    embeddings = build()[0].model.vision_model.embeddings
    filters = embeddings.patch_embedding.weight
    torch.testing.assert_close(filters.mean(dim=(2, 3)), torch.zeros(24, 3), rtol=0, atol=1e-6)
    assert filters.std().item() == pytest.approx(2 / (3 * 16 * 16) ** 0.5, rel=0.05)
    assert embeddings.position_embedding.weight.std().item() == pytest.approx(0.3, rel=0.3)
    # So a frame of one colour is the same to it as any other.
    grey = torch.full((1, 3, 32, 32), 0.5)
    torch.testing.assert_close(embeddings(grey), embeddings(-grey), rtol=0, atol=1e-5)


def test_frames_are_resized_to_eight_sevenths_of_the_crop():
    video_processor = build(fps=12.5)[1].video_processor
    assert (video_processor.crop_size["height"], video_processor.crop_size["width"]) == (32, 32)
    assert (video_processor.size["height"], video_processor.size["width"]) == (37, 37)
    assert video_processor.fps == 12.5


def test_a_model_starts_from_a_clip_checkpoint(tmp_path):
    torch.manual_seed(1)
    vision = CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=40,
        projection_dim=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=48,
        patch_size=16,
    )
    clip = CLIPVisionModelWithProjection(vision)
    clip.save_pretrained(tmp_path)
    model, processor = build(ModelConfig(clip=str(tmp_path), image_size=224, **SIZES))
    ours = model.model.vision_model.state_dict()
    for name, value in clip.vision_model.state_dict().items():
        kept = [other for key, other in ours.items() if key.replace(".base_layer.", ".") == name]
        assert len(kept) == 1, name
        assert torch.equal(kept[0], value), name
    assert {name: getattr(model.config, name) for name in SIZES} == SIZES
    assert model.config.vision.image_size == 48
    assert processor.video_processor.crop_size["height"] == 48  # the checkpoint's, not the recipe's


def test_two_starting_points_are_refused():
    with pytest.raises(ValueError, match=r"clip \(a\) and pretrained \(b\)"):
        build(ModelConfig(clip="a", pretrained="b"))


def test_going_on_keeps_a_vocabulary_that_suffices(trained):
    path, saved = trained
    model, processor = build(ModelConfig(pretrained=path, hidden_size=4), ["SUN", "FOG"])
    assert processor.tokenizer.glosses == GLOSSES
    assert processor.video_processor.fps == 12.5
    for (name, value), other in zip(saved.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    assert not any(parameter.requires_grad for parameter in model.model.vision_model.embeddings.parameters())


def test_going_on_replaces_a_vocabulary_that_lacks_a_gloss(trained):
    path, saved = trained
    model, processor = build(ModelConfig(pretrained=path), ["CLOUD", "SUN", "WIND"])
    assert processor.tokenizer.glosses == ["CLOUD", "SUN", "WIND"]
    assert processor.video_processor.fps == 12.5
    assert model.config.vocab_size == 4
    old, new = saved.classifier.weight, model.classifier.weight
    assert torch.equal(new[0], old[0])  # the blank
    assert torch.equal(new[2], old[3])  # SUN
    assert not torch.equal(new[1], old[1])
    for (name, value), other in zip(saved.state_dict().items(), model.state_dict().values(), strict=True):
        if "classifier" not in name:
            assert torch.equal(value, other), name


def test_lora_instead_of_the_adapters():
    model, _ = build(replace(TINY, adapter="lora", lora_rank=5))
    assert (model.config.adapter, model.config.lora_rank) == ("lora", 5)
    inside = {name: parameter for name, parameter in model.named_parameters() if "vision_model." in name}
    assert not any("adaptsign_" in name for name in inside)
    assert {name for name, parameter in inside.items() if parameter.requires_grad} == {
        name for name in inside if "lora_" in name
    }
    assert {parameter.shape[0] for name, parameter in inside.items() if "lora_A" in name} == {5}


@pytest.mark.parametrize("freeze", [False, True])
def test_the_released_faults_on_demand(freeze):
    model, _ = build(replace(TINY, freeze_query_and_first_prefixes=freeze))
    layers = model.model.vision_model.encoder.layers
    assert model.model.aggregator.query.requires_grad != freeze
    assert layers[0].adaptsign_prefix_keys["default"].requires_grad != freeze
    assert layers[0].adaptsign_prefix_values["default"].requires_grad != freeze
    assert layers[1].adaptsign_prefix_keys["default"].requires_grad


@pytest.mark.parametrize("adapter", ["adaptsign", "lora"])
def test_going_on_from_an_adapter_directory(tmp_path, adapter):
    CLIPVisionModel(build()[0].config.vision).save_pretrained(tmp_path / "clip")
    model, processor = build(replace(TINY, clip=str(tmp_path / "clip"), adapter=adapter, lora_rank=5))
    save_adapter(model, tmp_path / "adapter", str(tmp_path / "clip"))
    processor.save_pretrained(tmp_path / "adapter")
    loaded, processor = build(ModelConfig(pretrained=str(tmp_path / "adapter")))
    assert processor.tokenizer.glosses == GLOSSES
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    for name, parameter in loaded.named_parameters():
        assert parameter.requires_grad == model.get_parameter(name).requires_grad, name
