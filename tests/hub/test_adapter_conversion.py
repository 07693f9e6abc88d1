"""A checkpoint converted without its CLIP: what is written, and every way to load it."""

import json
import logging

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCTC, AutoProcessor, CLIPVisionModel

from adaptsign_hf.hub import conversion
from adaptsign_hf.hub.conversion import convert_checkpoint
from adaptsign_hf.modeling.clip_loading_adaptsign import clip_tensors
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC

from .released_network import Sizes, glosses_of, random_clips, random_tensors, write_release

SIZES = Sizes()


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A checkpoint and its glosses."""
    return write_release(tmp_path_factory.mktemp("release"), SIZES)


@pytest.fixture(scope="module")
def full(release, tmp_path_factory):
    """The whole model."""
    return convert_checkpoint(*release, tmp_path_factory.mktemp("full"))


def clip_in(model):
    """A CLIP in memory, as it was before training; of its last normalisation nothing may depend."""
    clip = CLIPVisionModel(model.config.vision)
    _, unexpected = clip.load_state_dict(clip_tensors(model.model.vision_model), strict=False)
    assert not unexpected
    with torch.no_grad():
        clip.post_layernorm.weight.fill_(3)
    return clip.eval()


@pytest.fixture(scope="module")
def clip_folder(full, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    clip_in(full).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter_folder(release, clip_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    convert_checkpoint(*release, folder, adapter_only=True, clip=str(clip_folder))
    return folder


@pytest.fixture(scope="module")
def nameless_folder(release, tmp_path_factory):
    """An adapter that names no CLIP, as none is known of these sizes."""
    folder = tmp_path_factory.mktemp("nameless")
    convert_checkpoint(*release, folder, adapter_only=True)
    return folder


@torch.no_grad()
def assert_same_logits(model, full):
    """Up to rounding, which depends on where in memory a file's tensors come to lie."""
    (clip,) = random_clips(SIZES, [6])
    assert not model.training
    found, expected = model(clip[None]), full(clip[None])
    for kind in ("logits", "conv_logits"):
        torch.testing.assert_close(found[kind], expected[kind], atol=1e-6, rtol=0)


def assert_same_model(model, full):
    """Bit for bit, but for the normalisation that is not used."""
    found, expected = model.state_dict(), full.state_dict()
    assert found.keys() == expected.keys()
    different = {name for name, tensor in expected.items() if not torch.equal(found[name], tensor)}
    assert different <= {f"model.vision_model.post_layernorm.{kind}" for kind in ("weight", "bias")}
    assert_same_logits(model, full)


# What is written


def test_the_folder_holds_what_was_trained_and_its_processor(adapter_folder, clip_folder):
    names = {path.name for path in adapter_folder.iterdir() if path.suffix != ".py"}
    assert names >= {"adapter_config.json", "adapter_model.safetensors", "config.json", "processor_config.json"}
    assert "model.safetensors" not in names
    config = json.loads((adapter_folder / "adapter_config.json").read_text())
    assert (config["peft_type"], config["base_model_name_or_path"]) == ("ADAPTSIGN", str(clip_folder))
    assert (config["reduction"], config["num_prefix_tokens"]) == (SIZES.reduction, SIZES.prefixes)
    assert AutoProcessor.from_pretrained(adapter_folder).tokenizer.glosses == glosses_of(SIZES)


def test_no_tensor_of_clip_is_in_the_file(adapter_folder, full):
    held = load_file(adapter_folder / "adapter_model.safetensors")
    assert not [name for name in held if "vision_model" in name and "adaptsign_" not in name]
    trained = {name: value for name, value in full.state_dict().items() if "vision_model" not in name}
    adapters = {name for name in full.state_dict() if "adaptsign_" in name}
    assert len(held) == len(trained) + len(adapters)
    assert sum(value.numel() for value in held.values()) == sum(
        value.numel() for name, value in full.state_dict().items() if name in trained or name in adapters
    )


def test_the_clip_of_known_sizes_is_named(release, clip_folder, full, tmp_path, monkeypatch):
    sizes = (SIZES.width, SIZES.layers, SIZES.patch, SIZES.image)
    monkeypatch.setitem(conversion.OPENAI_CLIPS, sizes, str(clip_folder))
    convert_checkpoint(*release, tmp_path / "adapter", adapter_only=True)
    assert_same_model(AdaptSignForCTC.from_pretrained(tmp_path / "adapter"), full)


def test_the_sizes_of_openais_clips_are_theirs():
    for (width, layers, patch, image), name in conversion.OPENAI_CLIPS.items():
        assert width == {"base": 768, "large": 1024}[name.split("-")[2]]
        assert layers == {"base": 12, "large": 24}[name.split("-")[2]]
        assert name.split("-")[3] == f"patch{patch}"
        assert image == (336 if name.endswith("-336") else 224)


def test_an_adapter_of_unknown_sizes_names_no_clip_and_says_so(release, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        convert_checkpoint(*release, tmp_path / "adapter", adapter_only=True)
    assert "No CLIP of these sizes is known" in caplog.text
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None


# How it loads


@pytest.mark.parametrize("model_class", [AdaptSignForCTC, AutoModelForCTC])
def test_it_loads_with_the_clip_it_names(model_class, adapter_folder, full):
    model = model_class.from_pretrained(adapter_folder)
    assert_same_model(model, full)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable == {name for name, parameter in full.named_parameters() if parameter.requires_grad}


def test_it_loads_without_the_head(adapter_folder, full):
    (clip,) = random_clips(SIZES, [6])
    with torch.no_grad():
        found = AutoModel.from_pretrained(adapter_folder)(clip[None]).padded_hidden_state
        torch.testing.assert_close(found, full.model(clip[None]).padded_hidden_state, atol=1e-6, rtol=0)


def test_peft_loads_it_into_a_skeleton(adapter_folder, clip_folder, full):
    config = AdaptSignConfig.from_pretrained(adapter_folder, adapter=None)
    skeleton = AdaptSignForCTC.from_clip(clip_folder, config)
    assert_same_logits(PeftModel.from_pretrained(skeleton, adapter_folder).eval(), full)


@pytest.mark.parametrize("kind", [str, lambda folder: folder])
def test_a_clip_that_is_named_when_loading_is_taken(kind, nameless_folder, clip_folder, full):
    assert_same_model(AdaptSignForCTC.from_pretrained(nameless_folder, clip=kind(clip_folder)), full)


@pytest.mark.parametrize("model_class", [AdaptSignForCTC, AutoModelForCTC])
def test_a_clip_in_memory_is_shared(model_class, nameless_folder, clip_folder, full):
    clip = CLIPVisionModel.from_pretrained(clip_folder)
    models = [model_class.from_pretrained(nameless_folder, clip=clip) for _ in range(2)]
    for model in models:
        assert_same_model(model, full)
        ours = clip_tensors(model.model.vision_model)
        for name, parameter in clip.named_parameters():
            assert ours[name].data_ptr() == parameter.data_ptr()
    first, second = (
        {name: p for name, p in model.named_parameters() if ".default" in name or "vision_model" not in name}
        for model in models
    )
    assert not any(parameter.data_ptr() == second[name].data_ptr() for name, parameter in first.items())


def test_a_clip_in_memory_goes_before_the_one_that_is_named(adapter_folder, full):
    other = clip_in(full)
    with torch.no_grad():
        other.embeddings.class_embedding += 1
    loaded = AdaptSignForCTC.from_pretrained(adapter_folder, clip=other)
    embedding = loaded.model.vision_model.embeddings.class_embedding
    assert embedding.data_ptr() == other.embeddings.class_embedding.data_ptr()


@pytest.mark.parametrize("model_class", [AdaptSignForCTC, AutoModelForCTC])
def test_without_any_clip_loading_says_what_to_give(model_class, nameless_folder):
    with pytest.raises(ValueError, match=r"it names no CLIP\. Give the one it was trained on: clip="):
        model_class.from_pretrained(nameless_folder)


# Another CLIP than the checkpoint's


@pytest.mark.parametrize("name", ["embeddings.class_embedding", "encoder.layers.1.mlp.fc2.bias"])
def test_another_clip_is_refused_by_a_tensor(name, release, full, tmp_path):
    other = clip_in(full)
    with torch.no_grad():
        other.get_parameter(name)[0] += 0.5
    other.save_pretrained(tmp_path / "clip")
    with pytest.raises(
        ValueError, match=rf"CLIP .*clip is not the one in the checkpoint: {name} differs by up to 0\.5"
    ):
        convert_checkpoint(*release, tmp_path / "adapter", adapter_only=True, clip=str(tmp_path / "clip"))
    assert not (tmp_path / "adapter").exists()


def test_the_rounding_of_a_half_precision_clip_is_no_difference(tmp_path):
    """OpenAI's own weights are in half precision; checkpoints of training hold them in float32."""
    tensors = random_tensors(SIZES)
    frozen = [name for name in tensors if "visual" in name and "Adapter" not in name and "prefix" not in name]
    release = write_release(tmp_path, SIZES, tensors | {name: tensors[name].half().float() for name in frozen})
    clip_in(convert_checkpoint(*release, tmp_path / "full")).half().save_pretrained(tmp_path / "clip")
    convert_checkpoint(*release, tmp_path / "adapter", adapter_only=True, clip=str(tmp_path / "clip"))


@pytest.mark.parametrize(
    "sizes", [Sizes(width=128), Sizes(layers=1), Sizes(layers=3), Sizes(image=48), Sizes(patch=8), Sizes(mlp=81)]
)
def test_a_clip_of_another_size_is_refused_by_a_tensor(sizes, release, tmp_path):
    other = conversion.convert_tensors(random_tensors(sizes))
    clip_in(other).save_pretrained(tmp_path / "clip")
    with pytest.raises(
        ValueError, match=r"clip is of another size than the checkpoint's: (embeddings|encoder)\.[\w.]+"
    ):
        convert_checkpoint(*release, tmp_path / "adapter", adapter_only=True, clip=str(tmp_path / "clip"))


def test_a_clip_of_another_size_is_refused_when_loading(nameless_folder):
    other = clip_in(conversion.convert_tensors(random_tensors(Sizes(mlp=81))))
    with pytest.raises(ValueError, match=r"the tensor encoder\.layers\.0\.mlp\.fc1\.weight of the CLIP has shape"):
        AdaptSignForCTC.from_pretrained(nameless_folder, clip=other)


@pytest.mark.parametrize("there", [True, False])
def test_a_clip_that_cannot_be_read_is_told_in_one_line(release, tmp_path, there):
    if there:
        (tmp_path / "clip").mkdir()
    with pytest.raises(ValueError, match=r"Reading the CLIP .*clip: ") as error:
        convert_checkpoint(*release, tmp_path / "adapter", adapter_only=True, clip=str(tmp_path / "clip"))
    assert "\n" not in str(error.value)
