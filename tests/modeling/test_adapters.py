"""Directories that hold nothing but what was trained, read together with the CLIP they belong to."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, AutoModelForCTC, CLIPVisionModel

from adaptsign_hf.modeling.adapters_adaptsign import save_adapter
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC, AdaptSignModel

FILE = "adapter_model.safetensors"
LOADERS = [AutoModelForCTC, AdaptSignForCTC]


@pytest.fixture
def clip() -> torch.Tensor:
    return torch.randn(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def clip_folder(tiny_clip, tmp_path):
    tiny_clip.save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


@pytest.fixture(params=["adaptsign", "lora"])
def model(request, clip_folder, tiny_config, disturb) -> AdaptSignForCTC:
    """A trained model around the checkpoint of CLIP."""
    config = AdaptSignConfig(**{**tiny_config.to_diff_dict(), "adapter": request.param, "lora_rank": 3})
    return disturb(AdaptSignForCTC.from_clip(clip_folder, config)).eval()


@pytest.fixture
def folder(model, clip_folder, tmp_path):
    save_adapter(model, tmp_path / "adapter", str(clip_folder))
    return tmp_path / "adapter"


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def assert_same(actual: nn.Module, expected: nn.Module) -> None:
    tensors = expected.state_dict()
    assert actual.state_dict().keys() == tensors.keys()
    for name, tensor in actual.state_dict().items():
        assert tensor.dtype == tensors[name].dtype, name
        assert torch.equal(tensor, tensors[name]), name


def test_a_directory_holds_what_was_trained_and_no_tensor_of_clip(model, folder):
    saved = load_file(folder / FILE)
    statistics = [name for name, _ in model.named_buffers() if "batch_norm" in name]
    assert len(saved) == len(trained(model)) + len(statistics)
    for name, tensor in saved.items():
        assert "vision_model" not in name or "lora_" in name or "adaptsign_" in name, name
        ours = name.removeprefix("base_model.model.")
        if "vision_model" not in name:
            assert torch.equal(tensor, model.state_dict()[ours]), name
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(folder.parent / "clip")
    assert config["inference_mode"]
    assert config["modules_to_save"] == ["aggregator", "convolutions", "bilstm", "classifier"]


@pytest.mark.parametrize("loader", LOADERS)
def test_loaded_with_the_clip_it_names_it_is_the_same_bit_for_bit(model, folder, clip, loader):
    loaded, info = loader.from_pretrained(folder, output_loading_info=True)
    assert type(loaded) is AdaptSignForCTC
    assert not loaded.training
    assert not any(info.values())
    assert_same(loaded, model)
    assert trained(loaded) == trained(model)
    with torch.no_grad():
        torch.testing.assert_close(loaded(clip).logits, model(clip).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("loader", LOADERS)
def test_loaded_with_a_clip_that_is_given(model, folder, clip_folder, tmp_path, loader):
    moved = clip_folder.rename(tmp_path / "moved")
    assert_same(loader.from_pretrained(folder, clip=moved), model)
    vision_model = CLIPVisionModel.from_pretrained(moved)
    loaded = loader.from_pretrained(folder, clip=vision_model)
    assert_same(loaded, model)
    assert loaded.model.vision_model.embeddings.class_embedding is vision_model.embeddings.class_embedding


def test_the_headless_model_takes_its_part(model, folder):
    headless, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert type(headless) is AdaptSignModel
    assert not any(info.values())
    assert_same(headless, model.model)
    assert {f"model.{name}" for name in trained(headless)} == {
        name for name in trained(model) if name.startswith("model.")
    }


def test_peft_reads_a_directory_into_a_skeleton(model, folder, clip_folder, clip):
    """It is an ordinary one of PEFT's; PEFT itself does not know where to find the skeleton."""
    config = AdaptSignConfig(**{**model.config.to_diff_dict(), "adapter": None})
    loaded = PeftModel.from_pretrained(AdaptSignForCTC.from_clip(clip_folder, config), folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(clip).logits, model(clip).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("share", [False, True])
def test_separate_classifiers_travel_too(clip_folder, tiny_config, disturb, share):
    config = AdaptSignConfig(**{**tiny_config.to_diff_dict(), "share_classifier": share})
    model = disturb(AdaptSignForCTC.from_clip(clip_folder, config))
    save_adapter(model, clip_folder.parent / "adapter", str(clip_folder))
    assert_same(AdaptSignForCTC.from_pretrained(clip_folder.parent / "adapter"), model)


def test_a_directory_keeps_its_precision(model, clip_folder, tmp_path):
    save_adapter(model.to(torch.bfloat16), tmp_path / "half", str(clip_folder))
    assert_same(AdaptSignForCTC.from_pretrained(tmp_path / "half"), model)
    assert_same(AdaptSignForCTC.from_pretrained(tmp_path / "half", dtype="auto"), model)
    assert AdaptSignForCTC.from_pretrained(tmp_path / "half", dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize("loader", LOADERS)
def test_another_precision_can_be_asked_for(model, folder, loader):
    assert_same(loader.from_pretrained(folder, dtype=torch.bfloat16), model.to(torch.bfloat16))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_beside_a_clip_in_memory_all_is_of_its_precision(model, folder, clip_folder, dtype):
    other = {"bfloat16": "float32", "float32": "bfloat16"}[dtype]
    vision_model = CLIPVisionModel.from_pretrained(clip_folder, dtype=dtype)
    for asked in ({}, {"dtype": "auto"}, {"dtype": dtype}):
        loaded = AdaptSignForCTC.from_pretrained(folder, clip=vision_model, **asked)
        assert {parameter.dtype for parameter in loaded.parameters()} == {getattr(torch, dtype)}
        assert loaded.config.dtype == getattr(torch, dtype)
    with pytest.raises(ValueError, match=f"dtype is {other}.*torch.{dtype}: convert the CLIP first"):
        AdaptSignForCTC.from_pretrained(folder, clip=vision_model, dtype=other)


def test_a_skeleton_has_nothing_to_save(tiny_skeleton, tmp_path):
    with pytest.raises(ValueError, match="is a skeleton"):
        save_adapter(tiny_skeleton, tmp_path / "adapter", "clip")
    assert not (tmp_path / "adapter").exists()


@pytest.mark.parametrize("loader", [*LOADERS, AutoModel])
def test_an_adapter_that_names_no_clip_asks_for_one(model, tmp_path, loader):
    save_adapter(model, tmp_path / "adapter", None)
    with pytest.raises(ValueError, match=r"adapter: it names no CLIP.*clip=\.\.\."):
        loader.from_pretrained(tmp_path / "adapter")


@pytest.mark.parametrize("loader", LOADERS)
def test_a_full_checkpoint_takes_no_clip(tiny_model, tiny_clip, tmp_path, loader):
    tiny_model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="a clip is given, but this is no directory of an adapter alone"):
        loader.from_pretrained(tmp_path, clip=tiny_clip)


def change_file(folder, **changed) -> None:
    """Replace tensors of an adapter's file; None takes one away."""
    tensors = load_file(folder / FILE) | changed
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, folder / FILE)


@pytest.mark.parametrize("model", ["adaptsign"], indirect=True)
@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("model.aggregator.query", None, "is missing"),
        ("model.aggregator.query", torch.zeros(7), r"has shape \(7,\) instead of \(48,\)"),
        ("model.vision_model.post_layernorm.weight", torch.zeros(48), "belongs to no part of the model"),
        ("something", torch.zeros(1), "belongs to no part of the model"),
    ],
)
def test_a_damaged_file_is_told_by_the_tensors_name(folder, name, tensor, message):
    change_file(folder, **{f"base_model.model.{name}": tensor})
    with pytest.raises(ValueError, match=rf"adapter: .*base_model\.model\.{name}.* {message}"):
        AdaptSignForCTC.from_pretrained(folder)


def test_a_headless_model_looks_at_its_own_tensors_only(folder):
    change_file(folder, **{"base_model.model.classifier.weight": torch.zeros(3)})
    AutoModel.from_pretrained(folder)
    change_file(folder, **{"base_model.model.model.aggregator.query": None})
    with pytest.raises(ValueError, match=r"aggregator\.query of the adapter is missing"):
        AutoModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden_size": 32}, r"class_embedding of the CLIP has shape \(32,\) instead of \(48,\)"),
        ({"intermediate_size": 40}, r"mlp\.fc1\.weight of the CLIP has shape \(40, 48\) instead of \(56, 48\)"),
        ({"image_size": 64}, r"position_embedding\.weight of the CLIP has shape \(17, 48\)"),
        ({"num_hidden_layers": 1}, "a CLIP of 2 layers, but this one has 1"),
        ({"num_hidden_layers": 3}, "a CLIP of 2 layers, but this one has 3"),
    ],
)
@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("model", ["adaptsign"], indirect=True)
def test_a_clip_of_another_size_is_refused(folder, tiny_config, tmp_path, changed, message, in_memory):
    other = CLIPVisionModel(AdaptSignConfig(vision_config={**tiny_config.vision.to_dict(), **changed}).vision)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match=message):
        AdaptSignForCTC.from_pretrained(folder, clip=other if in_memory else tmp_path / "other")
