"""Starting from CLIP checkpoints of each kind, refusing others, and sharing one CLIP among models."""

import pytest
import torch
from safetensors.torch import load_file
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

from adaptsign_hf.modeling.adapters_adaptsign import save_adapter
from adaptsign_hf.modeling.clip_loading_adaptsign import share_clip
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


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.randn(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def clip_folder(tiny_clip, tmp_path):
    tiny_clip.save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


@pytest.fixture
def languages(clip_folder, tmp_path, disturb):
    """Three adapter directories around one CLIP: of other vocabularies, other sizes, and another kind."""
    folders = []
    for index, (vocab_size, adapter) in enumerate([(5, "adaptsign"), (8, "adaptsign"), (11, "lora")]):
        fields = {"vocab_size": vocab_size, "adapter": adapter, "adapter_reduction": 2 + index, "lora_rank": 3}
        model = AdaptSignForCTC.from_clip(clip_folder, hidden_size=32, **fields)
        folders.append(tmp_path / f"language_{index}")
        save_adapter(disturb(model, index), folders[-1], str(clip_folder))
    return folders


def logits_of(model: AdaptSignForCTC, frames: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(frames).logits


def sizes_of_storages(*modules: torch.nn.Module) -> dict[int, int]:
    """Bytes of each piece of memory that the modules' saved tensors stand in."""
    tensors = [tensor for module in modules for tensor in module.state_dict().values()]
    return {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}


def bytes_of(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_three_languages_take_the_memory_of_one_backbone_and_three_adapters(clip_folder, languages, frames):
    alone = [logits_of(AdaptSignForCTC.from_pretrained(folder), frames) for folder in languages]
    vision_model = CLIPVisionModel.from_pretrained(clip_folder)
    models = [AdaptSignForCTC.from_pretrained(folder, clip=vision_model) for folder in languages]
    files = [load_file(folder / "adapter_model.safetensors") for folder in languages]

    storages = sizes_of_storages(vision_model, *models)
    assert len(storages) == len(vision_model.state_dict()) + sum(map(len, files))
    assert sum(storages.values()) == bytes_of(vision_model.parameters()) + sum(bytes_of(f.values()) for f in files)
    for model, expected in zip(models, alone, strict=True):
        assert torch.equal(logits_of(model, frames), expected)


def test_models_start_from_a_clip_in_memory(tiny_clip, clip_folder, frames):
    for adapter in ("adaptsign", "lora", None):
        fields = {"adapter": adapter, "lora_rank": 3, **SMALL}
        torch.manual_seed(0)
        copied = AdaptSignForCTC.from_clip(clip_folder, **fields)
        torch.manual_seed(0)
        shared = AdaptSignForCTC.from_clip(tiny_clip, **fields)
        assert sizes_of_storages(tiny_clip).keys() <= sizes_of_storages(shared).keys()
        assert not sizes_of_storages(tiny_clip).keys() & sizes_of_storages(copied).keys()
        assert {name for name, parameter in shared.named_parameters() if parameter.requires_grad} == {
            name for name, parameter in copied.named_parameters() if parameter.requires_grad
        }
        aggregator = shared.model.aggregator
        assert torch.equal(aggregator.class_norm.weight, tiny_clip.post_layernorm.weight)
        assert logits_of(shared, frames).isfinite().all()


def test_a_model_starts_from_the_clip_of_another(tiny_clip, frames):
    lora = AdaptSignForCTC.from_clip(tiny_clip, adapter="lora", **SMALL)
    for first in (lora, AdaptSignForCTC.from_clip(tiny_clip, **SMALL)):
        expected = logits_of(first, frames)
        trained = [name for name, parameter in first.named_parameters() if parameter.requires_grad]
        other = AdaptSignForCTC.from_clip(first.model.vision_model, **SMALL)
        assert sizes_of_storages(tiny_clip).keys() <= sizes_of_storages(other).keys()
        assert torch.equal(logits_of(first, frames), expected)
        assert [name for name, parameter in first.named_parameters() if parameter.requires_grad] == trained


def test_a_half_precision_clip_in_memory_gives_a_half_precision_model(tiny_clip):
    model = AdaptSignForCTC.from_clip(tiny_clip.to(torch.bfloat16), **SMALL)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.fixture
def sharing(clip_folder, languages):
    vision_model = CLIPVisionModel.from_pretrained(clip_folder)
    return [AdaptSignForCTC.from_pretrained(folder, clip=vision_model) for folder in languages]


def test_training_one_leaves_the_others_as_they_are(sharing, frames):
    before = [logits_of(model, frames) for model in sharing]
    learner = sharing[0].train()
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.1, weight_decay=0.1)
    learner(frames, labels=torch.tensor([[1, 2]])).loss.backward()
    optimizer.step()
    assert not torch.allclose(logits_of(learner, frames), before[0], atol=1e-2)
    for model, expected in zip(sharing[1:], before[1:], strict=True):
        assert torch.equal(logits_of(model, frames), expected)


def test_converting_one_converts_the_clip_of_all_and_the_others_refuse_until_they_follow(sharing, frames):
    before = [logits_of(model, frames) for model in sharing]
    sharing[0].to(torch.bfloat16)
    assert logits_of(sharing[0], frames.bfloat16()).dtype == torch.bfloat16
    for model in sharing[1:]:
        assert model.model.vision_model.dtype == torch.bfloat16
        assert model.classifier.weight.dtype == torch.float32
        for pixels in (frames, frames.bfloat16()):
            with pytest.raises(RuntimeError, match="dtype"):
                logits_of(model, pixels)
        model.to(torch.bfloat16)
    for model, expected in zip(sharing, before, strict=True):
        torch.testing.assert_close(logits_of(model, frames.bfloat16()).float(), expected, atol=0.1, rtol=0.1)


def test_what_converting_back_and_forth_rounds_in_clip_stays_rounded_for_all(sharing, frames):
    """As it would for one model alone; here the others lose their last digits with it."""
    before = logits_of(sharing[1], frames)
    sharing[0].to(torch.bfloat16).to(torch.float32)
    assert not torch.equal(logits_of(sharing[1], frames), before)
    torch.testing.assert_close(logits_of(sharing[1], frames), before, atol=0.1, rtol=0.1)


def test_a_clip_of_another_size_is_not_shared(tiny_model, tiny_config):
    vision = AdaptSignConfig(vision_config={**tiny_config.vision.to_dict(), "intermediate_size": 40}).vision
    with pytest.raises(ValueError, match=r"mlp\.fc1\.weight has shape \(40, 48\), but this model's has \(56, 48\)"):
        share_clip(tiny_model, CLIPVisionModel(vision))
