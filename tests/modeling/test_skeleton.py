"""A skeleton, the network without adapters, to which PEFT and transformers add them: one directory an adapter."""

import copy
import json

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel, AutoModelForCTC

from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC, AdaptSignModel
from adaptsign_hf.modeling.tuner_adaptsign import AdaptSignAdapterConfig

HEAD = ["aggregator", "convolutions", "bilstm", "classifier"]
LABELS = torch.tensor([[3, 5]])
# Memory that was mapped from a file may be aligned differently, which changes the last bit of a product.
LAST_BIT = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def clip() -> torch.Tensor:
    return torch.randn(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def adapter(**changed) -> AdaptSignAdapterConfig:
    return AdaptSignAdapterConfig(**{"num_prefix_tokens": 3, "modules_to_save": list(HEAD)} | changed)


def logits_of(model: nn.Module, clip: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(clip).logits


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def tensors_of(model: nn.Module, name: str) -> dict[str, torch.Tensor]:
    """The tensors of one adapter and of the modules beside it, without its name."""
    state = model.state_dict()
    return {key.replace(f".{name}", ""): value.clone() for key, value in state.items() if f".{name}" in key}


def names_of(model: nn.Module, name: str) -> set[str]:
    return {key for key, _ in model.named_parameters() if f".{name}." in key or key.endswith(f".{name}")}


@pytest.fixture
def peft_model(tiny_skeleton, disturb) -> PeftModel:
    return disturb(get_peft_model(tiny_skeleton, adapter())).eval()


@pytest.fixture
def adapted(tiny_skeleton, disturb, tmp_path) -> AdaptSignForCTC:
    """A saved skeleton to which transformers added the adapter "one"."""
    tiny_skeleton.save_pretrained(tmp_path / "skeleton")
    model = AdaptSignForCTC.from_pretrained(tmp_path / "skeleton")
    model.add_adapter(adapter(), "one")
    return disturb(model)


def test_peft_trains_the_adapters_and_the_head(peft_model, clip):
    assert trained(peft_model) == names_of(peft_model, "default")
    assert not any("original_module" in name for name in trained(peft_model))
    before = {name: parameter.detach().clone() for name, parameter in peft_model.named_parameters()}
    optimizer = torch.optim.Adam(peft_model.parameters(), lr=1e-3, weight_decay=1e-4)
    peft_model.train()(clip, labels=LABELS).loss.backward()
    optimizer.step()
    for name, parameter in peft_model.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


def test_a_training_step_moves_the_statistics_of_the_adapters_own_batch_norm(peft_model, clip):
    before = {name: tensor.clone() for name, tensor in peft_model.named_buffers() if "running" in name}
    peft_model.train()(clip, labels=LABELS)
    for name, tensor in peft_model.named_buffers():
        if "running" in name:
            assert torch.equal(tensor, before[name]) == ("original_module" in name), name


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_peft_saves_the_adapter_only_and_loads_it_bit_for_bit(peft_model, clip, tmp_path, low_cpu_mem_usage):
    expected, tensors = logits_of(peft_model, clip), tensors_of(peft_model, "default")
    peft_model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert len(saved) == len(tensors)
    assert all("adaptsign_" in name or "vision_model" not in name for name in saved)
    bare = peft_model.unload()
    nn.init.ones_(bare.classifier.weight)  # the trained one comes from the adapter's file
    loaded = PeftModel.from_pretrained(bare, tmp_path, low_cpu_mem_usage=low_cpu_mem_usage)
    for name, tensor in tensors_of(loaded, "default").items():
        assert torch.equal(tensor, tensors[name]), name
    torch.testing.assert_close(logits_of(loaded, clip), expected, **LAST_BIT)
    assert trained(loaded) == set()


def test_an_adapter_loaded_for_training_trains_what_it_trained(peft_model, tmp_path):
    trainable = trained(peft_model)
    peft_model.save_pretrained(tmp_path)
    assert trained(PeftModel.from_pretrained(peft_model.unload(), tmp_path, is_trainable=True)) == trainable


def test_disabled_is_the_skeleton_bit_for_bit(tiny_skeleton, disturb, clip):
    expected = logits_of(tiny_skeleton, clip)
    model = disturb(get_peft_model(tiny_skeleton, adapter()))
    with model.disable_adapter():
        assert torch.equal(logits_of(model, clip), expected)
    assert not torch.allclose(logits_of(model, clip), expected, atol=1e-2)


def test_unloaded_it_is_bare_clip_below_the_trained_head(tiny_skeleton, disturb, clip):
    """PEFT leaves the modules that it saved, trained, in the place of the skeleton's."""
    before = copy.deepcopy(tiny_skeleton)
    model = disturb(get_peft_model(tiny_skeleton, adapter()))
    query = model.base_model.model.model.aggregator.query.detach().clone()
    bare = model.unload()
    assert type(bare) is AdaptSignForCTC
    assert bare.state_dict().keys() == before.state_dict().keys()
    with torch.no_grad():
        tokens, expected = (each.model.vision_model(clip[0]).last_hidden_state for each in (bare, before))
    assert torch.equal(tokens, expected)
    assert torch.equal(bare.model.aggregator.query, query)


def test_merging_a_skeletons_adapter_is_refused(peft_model):
    with pytest.raises(ValueError, match="not linear"):
        peft_model.merge_and_unload()


def test_peft_switches_and_deletes_adapters(peft_model, disturb, clip):
    expected = logits_of(peft_model, clip)
    peft_model.add_adapter("other", adapter(reduction=8))
    assert trained(peft_model) == names_of(peft_model, "default")
    peft_model.set_adapter("other")
    assert trained(peft_model) == names_of(peft_model, "other")
    assert not torch.equal(logits_of(disturb(peft_model, 1), clip), expected)
    with pytest.warns(UserWarning, match="Setting active adapter to default"):
        peft_model.delete_adapter("other")
    assert names_of(peft_model, "other") == set()
    assert trained(peft_model) == names_of(peft_model, "default")
    assert torch.equal(logits_of(peft_model, clip), expected)


def test_checkpointing_keeps_every_gradient(peft_model, clip):
    def gradients():
        peft_model.zero_grad()
        peft_model.train()(clip, labels=LABELS).loss.backward()
        return {name: parameter.grad.clone() for name, parameter in peft_model.named_parameters() if name in names}

    names = trained(peft_model)
    plain = gradients()
    peft_model.activation_checkpointing_enable({"use_reentrant": False})
    layers = peft_model.base_model.model.model.vision_model.encoder.layers
    assert all(layer.gradient_checkpointing for layer in layers)
    torch.testing.assert_close(gradients(), plain, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision(peft_model, clip, autocast):
    expected = logits_of(peft_model, clip)
    model = peft_model if autocast else peft_model.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        torch.testing.assert_close(logits_of(model, clip).float(), expected, atol=0.1, rtol=0.1)
        model.train()(clip, labels=LABELS).loss.backward()
    for name in trained(model):
        assert model.get_parameter(name).grad.isfinite().all(), name


def test_attention_implementations_agree(peft_model, clip):
    expected = logits_of(peft_model, clip)
    peft_model.base_model.model.set_attn_implementation("eager")
    torch.testing.assert_close(logits_of(peft_model, clip), expected, **LAST_BIT)


def test_transformers_adds_an_adapter_and_trains_it_and_the_head(adapted):
    assert adapted.active_adapters() == ["one"]
    assert trained(adapted) == names_of(adapted, "one")
    adapted.eval().train()
    assert trained(adapted) == names_of(adapted, "one")


def test_transformers_disables_and_enables(adapted, tmp_path, clip):
    expected, trainable = logits_of(adapted, clip), trained(adapted)
    adapted.disable_adapters()
    skeleton = AdaptSignForCTC.from_pretrained(tmp_path / "skeleton")
    assert torch.equal(logits_of(adapted, clip), logits_of(skeleton, clip))
    assert trained(adapted) == set()
    adapted.enable_adapters()
    assert torch.equal(logits_of(adapted, clip), expected)
    assert trained(adapted) == trainable


def test_transformers_saves_nothing_but_the_adapter(adapted, tmp_path):
    adapted.save_pretrained(tmp_path / "adapter")
    files = {path.name for path in (tmp_path / "adapter").iterdir()} - {p.name for p in tmp_path.rglob("*.py")}
    assert files == {"adapter_config.json", "adapter_model.safetensors"}
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    own = tensors_of(adapted, "one")
    assert len(saved) == len(own)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert sum(key.endswith(name) for key in saved) == 2
    assert all("adaptsign_" in name or "vision_model" not in name for name in saved)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "skeleton")


@pytest.mark.parametrize("loader", [AutoModelForCTC, AdaptSignForCTC])
def test_an_adapter_directory_loads_the_skeleton_it_names(adapted, tmp_path, clip, loader):
    adapted.save_pretrained(tmp_path / "adapter")
    loaded = loader.from_pretrained(tmp_path / "adapter")
    assert type(loaded) is AdaptSignForCTC
    expected = tensors_of(adapted, "one")
    actual = tensors_of(loaded, "default")
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name
    torch.testing.assert_close(logits_of(loaded, clip), logits_of(adapted, clip), **LAST_BIT)
    assert trained(loaded) == names_of(loaded, "default")


def test_the_headless_model_loads_its_part_of_an_adapter_directory(adapted, tmp_path):
    adapted.save_pretrained(tmp_path / "adapter")
    headless = AutoModel.from_pretrained(tmp_path / "adapter")
    assert type(headless) is AdaptSignModel
    expected = adapted.model.state_dict()
    actual = headless.state_dict()
    assert len(actual) == len(expected)
    for name, tensor in expected.items():
        assert torch.equal(actual[name.replace(".one", ".default")], tensor), name


@pytest.mark.parametrize("is_trainable", [False, True])
def test_a_loaded_adapter_is_trained_only_if_asked(adapted, tmp_path, is_trainable):
    adapted.save_pretrained(tmp_path / "adapter")
    model = AdaptSignForCTC.from_pretrained(tmp_path / "skeleton")
    model.load_adapter(str(tmp_path / "adapter"), "two", is_trainable=is_trainable)
    assert trained(model) == (names_of(model, "two") if is_trainable else set())


def test_a_second_adapter_brings_its_head_and_leaves_the_first_alone(adapted, disturb, tmp_path, clip):
    first, first_logits = tensors_of(adapted, "one"), logits_of(adapted, clip)
    other = AdaptSignForCTC.from_pretrained(tmp_path / "skeleton")
    other.add_adapter(adapter(reduction=6, num_prefix_tokens=2))
    second_logits = logits_of(disturb(other, seed=1), clip)
    other.save_pretrained(tmp_path / "second")

    adapted.load_adapter(str(tmp_path / "second"), "two")
    torch.testing.assert_close(logits_of(adapted, clip), second_logits, **LAST_BIT)
    for name, active in (("one", first_logits), ("two", second_logits)):
        adapted.set_adapter(name)
        assert adapted.active_adapters() == [name]
        torch.testing.assert_close(logits_of(adapted, clip), active, **LAST_BIT)
        assert trained(adapted) == names_of(adapted, name)
    for name, tensor in tensors_of(adapted, "one").items():
        assert torch.equal(tensor, first[name]), name


def test_transformers_deletes_the_active_adapter_and_the_last(adapted, tmp_path, clip):
    expected = logits_of(adapted, clip)
    adapted.add_adapter(adapter(), "two")
    assert trained(adapted) == names_of(adapted, "two")
    with pytest.warns(UserWarning, match="Setting active adapter to one"):
        adapted.delete_adapter("two")
    assert torch.equal(logits_of(adapted, clip), expected)
    assert trained(adapted) == names_of(adapted, "one")
    assert names_of(adapted, "two") == set()
    adapted.delete_adapter("one")
    skeleton = AdaptSignForCTC.from_pretrained(tmp_path / "skeleton")
    assert torch.equal(logits_of(adapted, clip), logits_of(skeleton, clip))
    assert trained(adapted) == set()


def test_an_adapter_without_a_head_uses_the_skeletons(adapted, tmp_path, disturb, clip):
    adapted.add_adapter(AdaptSignAdapterConfig(num_prefix_tokens=3), "two")
    assert trained(disturb(adapted)) == names_of(adapted, "two")
    skeleton = AdaptSignForCTC.from_pretrained(tmp_path / "skeleton")
    assert torch.equal(adapted.model.aggregator.query, skeleton.model.aggregator.query)
    assert not torch.allclose(logits_of(adapted, clip), logits_of(skeleton, clip), atol=1e-2)


def test_an_unknown_adapter_is_refused_by_name(adapted, tiny_skeleton):
    with pytest.raises(ValueError, match=r"'three': the model has \['one'\]"):
        adapted.set_adapter("three")
    with pytest.raises(ValueError, match=r"'three': the model has \[\]"):
        tiny_skeleton.set_adapter("three")


def test_the_vocabulary_of_an_adapters_classifier_is_not_replaced(adapted):
    with pytest.raises(ValueError, match="Replace the vocabulary of the skeleton"):
        adapted.replace_vocabulary([f"G{index}" for index in range(1, 11)], ["A"])
    assert adapted.config.vocab_size == 11
