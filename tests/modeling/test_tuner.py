"""The adapted CLIP layer against its formula, and the PEFT method around it."""

import math

import pytest
import torch
from peft import AutoPeftModel, PeftConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPVisionModel

from adaptsign_hf.modeling.tuner_adaptsign import AdaptSignAdapterConfig, AdaptSignLayer, prefix_attention


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def peft_model(tiny_clip: CLIPVisionModel) -> PeftModel:
    """Bare CLIP with PEFT's adapters, none of whose tensors is zero."""
    model = get_peft_model(tiny_clip, AdaptSignAdapterConfig(num_prefix_tokens=3)).eval()
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if "adaptsign_" in name:
            nn.init.normal_(parameter, std=0.2)
    return model


def features_of(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(pixels).last_hidden_state


def attention_by_concatenation(attention: nn.Module, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor):
    """One frame, x (tokens, width): the prefix rows are further tokens for the keys' and the values' projections."""
    q = attention.q_proj(x)
    k = attention.k_proj(torch.cat([x, keys]))
    v = attention.v_proj(torch.cat([x, values]))
    heads, size = [], attention.head_dim
    for head in range(attention.num_heads):
        part = slice(head * size, (head + 1) * size)
        weights = (q[:, part] @ k[:, part].T / math.sqrt(size)).softmax(dim=-1)
        heads.append(weights @ v[:, part])
    return attention.out_proj(torch.cat(heads, dim=-1))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("num_prefix_tokens", [0, 1, 5])
def test_prefix_attention_equals_concatenated_rows_in_each_frame(tiny_clip, num_prefix_tokens, implementation):
    tiny_clip.set_attn_implementation(implementation)
    attention = tiny_clip.encoder.layers[0].self_attn
    keys, values = torch.randn(2, num_prefix_tokens, 48)
    x = torch.randn(4, 5, 48)
    with torch.no_grad():
        expected = torch.stack([attention_by_concatenation(attention, frame, keys, values) for frame in x])
        actual = prefix_attention(attention, x, keys, values)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def adapter_by_formula(adapter: nn.Module, x: torch.Tensor) -> torch.Tensor:
    hidden = x @ adapter.down_proj.weight.T + adapter.down_proj.bias
    return (hidden * (1.702 * hidden).sigmoid()) @ adapter.up_proj.weight.T + adapter.up_proj.bias


def test_layer_follows_the_formula(peft_model):
    layer: AdaptSignLayer = peft_model.base_model.model.encoder.layers[1]
    frozen = layer.base_layer
    keys, values = layer.adaptsign_prefix_keys["default"], layer.adaptsign_prefix_values["default"]
    assert keys.shape == values.shape == (3, 48)
    frames = torch.randn(2, 5, 48)
    with torch.no_grad():
        for x, actual in zip(frames, layer(frames, None), strict=True):
            attended = attention_by_concatenation(frozen.self_attn, frozen.layer_norm1(x), keys, values)
            x = x + attended + adapter_by_formula(layer.adaptsign_attention_adapter["default"], x)
            mlp = frozen.mlp(frozen.layer_norm2(x))
            x = x + mlp + adapter_by_formula(layer.adaptsign_mlp_adapter["default"], x)
            torch.testing.assert_close(actual, x, atol=1e-5, rtol=1e-5)


def test_bottleneck_is_a_quarter_of_the_width(tiny_clip):
    layer = get_peft_model(tiny_clip, AdaptSignAdapterConfig()).base_model.model.encoder.layers[0]
    for adapter in (layer.adaptsign_attention_adapter["default"], layer.adaptsign_mlp_adapter["default"]):
        assert adapter.down_proj.weight.shape == (12, 48)
        assert adapter.up_proj.weight.shape == (48, 12)
    assert layer.adaptsign_prefix_keys["default"].shape == (8, 48)


def test_fresh_adapters_start_at_zero_and_without_prefixes_change_nothing(tiny_clip, pixels):
    expected = features_of(tiny_clip, pixels)
    model = get_peft_model(tiny_clip, AdaptSignAdapterConfig(num_prefix_tokens=0))
    for name, parameter in model.named_parameters():
        if "up_proj" in name:
            assert not parameter.any(), name
    torch.testing.assert_close(features_of(model, pixels), expected, atol=1e-6, rtol=1e-6)


def test_peft_trains_the_adapters_only(peft_model, pixels):
    trainable = {name for name, parameter in peft_model.named_parameters() if parameter.requires_grad}
    assert trainable == {name for name, _ in peft_model.named_parameters() if "adaptsign_" in name}
    assert len(trainable) == 2 * (2 * 4 + 2)
    peft_model.train()(pixels).last_hidden_state.square().sum().backward()
    for name, parameter in peft_model.named_parameters():
        if name in trainable:
            assert parameter.grad.any(), name
        else:
            assert parameter.grad is None, name


def test_disabled_adapters_are_bare_clip_bit_for_bit(tiny_clip, tiny_config, peft_model, pixels):
    bare = CLIPVisionModel(tiny_config.vision).eval()
    weights = {name.replace(".base_layer.", "."): tensor for name, tensor in tiny_clip.state_dict().items()}
    bare.load_state_dict({name: weights[name] for name in bare.state_dict()})
    with peft_model.disable_adapter():
        assert torch.equal(features_of(peft_model, pixels), features_of(bare, pixels))
    assert not torch.allclose(features_of(peft_model, pixels), features_of(bare, pixels), atol=1e-2)
    assert torch.equal(features_of(peft_model.unload(), pixels), features_of(bare, pixels))


def test_merging_is_refused(peft_model):
    with pytest.raises(ValueError, match="not linear"):
        peft_model.merge_and_unload()
    with pytest.raises(ValueError, match="not linear"):
        peft_model.merge_adapter()


@pytest.mark.parametrize("name", ["default", "other"])
def test_saved_adapter_loads_bit_for_bit_under_any_name(peft_model, pixels, tmp_path, name):
    expected = features_of(peft_model, pixels)
    peft_model.save_pretrained(tmp_path / "adapter")
    assert not any("default" in key for key in load_file(tmp_path / "adapter" / "adapter_model.safetensors"))
    peft_model.unload().save_pretrained(tmp_path / "clip")
    bare = CLIPVisionModel.from_pretrained(tmp_path / "clip")
    loaded = PeftModel.from_pretrained(bare, tmp_path / "adapter", adapter_name=name).eval()
    assert torch.equal(features_of(loaded, pixels), expected)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_an_adapter_that_is_not_called_default_is_saved_and_loaded(peft_model, pixels, tmp_path):
    peft_model.add_adapter("other", AdaptSignAdapterConfig(num_prefix_tokens=2))
    peft_model.set_adapter("other")
    for name, parameter in peft_model.named_parameters():
        if ".other" in name:
            nn.init.normal_(parameter, std=0.2)
    expected = features_of(peft_model, pixels)
    peft_model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(peft_model.unload(), tmp_path / "other").eval()
    assert torch.equal(features_of(loaded, pixels), expected)


@pytest.mark.parametrize("name", ["default", "other"])
def test_transformers_loads_a_saved_adapter(peft_model, pixels, tmp_path, name):
    expected = features_of(peft_model, pixels)
    peft_model.save_pretrained(tmp_path / "adapter")
    weights = {key: tensor.clone() for key, tensor in peft_model.state_dict().items() if "adaptsign_" in key}
    bare = peft_model.unload()
    bare.load_adapter(str(tmp_path / "adapter"), adapter_name=name)
    loaded = bare.state_dict()
    for key, tensor in weights.items():
        assert torch.equal(loaded[key.removeprefix("base_model.model.").replace(".default", f".{name}")], tensor), key
    # Memory that was mapped from a file may be aligned differently, which changes the last bit of a product.
    torch.testing.assert_close(features_of(bare, pixels), expected, atol=1e-5, rtol=1e-5)


def test_auto_peft_finds_base_and_adapter(peft_model, pixels, tmp_path):
    expected = features_of(peft_model, pixels)
    peft_model.peft_config["default"].base_model_name_or_path = str(tmp_path / "clip")
    peft_model.save_pretrained(tmp_path / "adapter")
    peft_model.unload().save_pretrained(tmp_path / "clip")
    loaded = AutoPeftModel.from_pretrained(tmp_path / "adapter").eval()
    assert torch.equal(features_of(loaded, pixels), expected)


def test_config_survives_json(tmp_path):
    config = AdaptSignAdapterConfig(reduction=16, num_prefix_tokens=3, modules_to_save=["classifier"])
    config.save_pretrained(tmp_path)
    loaded = PeftConfig.from_pretrained(tmp_path)
    assert type(loaded) is AdaptSignAdapterConfig
    assert loaded.to_dict() == config.to_dict()
    assert loaded.peft_type == "ADAPTSIGN"


@pytest.mark.parametrize(("field", "value"), [("reduction", 0), ("num_prefix_tokens", -1)])
def test_impossible_adapters_are_refused(field, value):
    with pytest.raises(ValueError, match=rf"{field} is {value}"):
        AdaptSignAdapterConfig(**{field: value})


def test_a_second_adapter_is_separate_and_both_at_once_are_refused(peft_model, pixels):
    expected = features_of(peft_model, pixels)
    peft_model.add_adapter("other", AdaptSignAdapterConfig(reduction=8, num_prefix_tokens=2))
    assert torch.equal(features_of(peft_model, pixels), expected)
    peft_model.set_adapter("other")
    assert not torch.allclose(features_of(peft_model, pixels), expected, atol=1e-2)
    peft_model.base_model.set_adapter(["default", "other"])
    with pytest.raises(ValueError, match=r"default.*other.*set_adapter"):
        features_of(peft_model, pixels)


@pytest.mark.parametrize("target", ["mlp", "fc1", "layer_norm1", "embeddings"])
def test_only_clip_layers_can_be_adapted(tiny_clip, target):
    with pytest.raises(ValueError, match="target_modules"):
        get_peft_model(tiny_clip, AdaptSignAdapterConfig(target_modules=[target]))


def test_chosen_layers_only(tiny_clip):
    model = get_peft_model(tiny_clip, AdaptSignAdapterConfig(target_modules=r"encoder\.layers\.1"))
    kinds = [type(layer).__name__ for layer in model.base_model.model.encoder.layers]
    assert kinds == ["CLIPEncoderLayer", "AdaptSignLayer"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_adapters_of_a_half_precision_clip(tiny_clip, pixels, dtype):
    """PEFT keeps adapters in float32 beside a half-precision model unless told not to."""
    expected = features_of(tiny_clip, pixels)
    for autocast_adapter_dtype in (True, False):
        model = get_peft_model(
            tiny_clip.to(dtype),
            AdaptSignAdapterConfig(num_prefix_tokens=0),
            autocast_adapter_dtype=autocast_adapter_dtype,
        ).eval()
        layer = model.base_model.model.encoder.layers[0]
        kept = torch.float32 if autocast_adapter_dtype else dtype
        assert layer.adaptsign_mlp_adapter["default"].down_proj.weight.dtype == kept
        features = features_of(model, pixels)
        assert features.dtype == dtype
        torch.testing.assert_close(features.float(), expected, atol=0.1, rtol=0.1)
        model.unload()


def names_of(model: nn.Module, name: str) -> set[str]:
    """The parameters of one adapter; of two layers, each with two bottlenecks of four tensors and two prefixes."""
    names = {key for key, _ in model.named_parameters() if f".{name}." in key or key.endswith(f".{name}")}
    assert len(names) in (0, 20)
    return names


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_training_step_moves_the_adapters_only(peft_model, pixels):
    before = {name: parameter.detach().clone() for name, parameter in peft_model.named_parameters()}
    optimizer = torch.optim.Adam(peft_model.parameters(), lr=1e-3, weight_decay=1e-4)
    peft_model.train()(pixels).last_hidden_state.square().sum().backward()
    optimizer.step()
    for name, parameter in peft_model.named_parameters():
        assert torch.equal(parameter, before[name]) != ("adaptsign_" in name), name


def test_saved_adapter_loads_without_memory_for_fresh_values(peft_model, tmp_path):
    expected = {key: tensor for key, tensor in peft_model.state_dict().items() if "adaptsign_" in key}
    peft_model.save_pretrained(tmp_path)
    bare = peft_model.unload()
    loaded = PeftModel.from_pretrained(bare, tmp_path, low_cpu_mem_usage=True)
    actual = {key: tensor for key, tensor in loaded.state_dict().items() if "adaptsign_" in key}
    assert actual.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(actual[key], tensor), key


def test_deleting_the_active_adapter_falls_back_to_another(peft_model, pixels):
    expected = features_of(peft_model, pixels)
    peft_model.add_adapter("other", AdaptSignAdapterConfig(num_prefix_tokens=2))
    peft_model.add_adapter("third", AdaptSignAdapterConfig(num_prefix_tokens=1))
    peft_model.set_adapter("other")
    assert trained(peft_model) == names_of(peft_model, "other")
    peft_model.delete_adapter("third")
    assert peft_model.active_adapters == ["other"]
    with pytest.warns(UserWarning, match="Setting active adapter to default"):
        peft_model.delete_adapter("other")
    assert peft_model.active_adapters == ["default"]
    assert torch.equal(features_of(peft_model, pixels), expected)
    assert trained(peft_model) == names_of(peft_model, "default")
    assert names_of(peft_model, "other") == names_of(peft_model, "third") == set()


def test_without_any_adapter_left_it_is_bare_clip_bit_for_bit(peft_model, pixels):
    with peft_model.disable_adapter():
        expected = features_of(peft_model, pixels)
    peft_model.delete_adapter("default")
    # Not through the PeftModel itself, which looks for the configuration of an active adapter.
    assert torch.equal(features_of(peft_model.base_model.model, pixels), expected)


def test_checkpointing_keeps_every_gradient(peft_model, pixels):
    def gradients():
        peft_model.zero_grad()
        peft_model.train()(pixels).last_hidden_state.square().sum().backward()
        return {name: peft_model.get_parameter(name).grad.clone() for name in trained(peft_model)}

    plain = gradients()
    peft_model.activation_checkpointing_enable({"use_reentrant": False})
    calls = []
    for layer in peft_model.base_model.model.encoder.layers:
        checkpoint = layer._gradient_checkpointing_func
        layer._gradient_checkpointing_func = lambda *args, run=checkpoint: calls.append(1) or run(*args)
    torch.testing.assert_close(gradients(), plain, atol=1e-6, rtol=1e-5)
    assert len(calls) == 2


def test_autocast(peft_model, pixels):
    expected = features_of(peft_model, pixels)
    with torch.autocast("cpu", torch.bfloat16):
        features = peft_model.train()(pixels).last_hidden_state
    torch.testing.assert_close(features.float(), expected, atol=0.1, rtol=0.1)
    features.float().square().sum().backward()
    for name in trained(peft_model):
        assert peft_model.get_parameter(name).grad.isfinite().all(), name


def test_attention_implementations_agree(peft_model, pixels):
    expected = features_of(peft_model, pixels)
    peft_model.base_model.model.set_attn_implementation("eager")
    torch.testing.assert_close(features_of(peft_model, pixels), expected, atol=1e-5, rtol=1e-5)


@pytest.fixture
def adapted_clip(tiny_clip: CLIPVisionModel, disturb) -> CLIPVisionModel:
    """CLIP to which transformers added the adapter "one"."""
    tiny_clip.add_adapter(AdaptSignAdapterConfig(num_prefix_tokens=3), "one")
    return disturb(tiny_clip)


def test_transformers_adds_switches_and_deletes_adapters(tiny_clip, pixels, disturb):
    bare = features_of(tiny_clip, pixels)
    outputs = {}
    for seed, name in enumerate(["one", "two"]):
        tiny_clip.add_adapter(AdaptSignAdapterConfig(num_prefix_tokens=3), name)
        assert tiny_clip.active_adapters() == [name]
        assert trained(tiny_clip) == names_of(tiny_clip, name)
        outputs[name] = features_of(disturb(tiny_clip, seed), pixels)
    assert not torch.allclose(outputs["one"], outputs["two"], atol=1e-2)
    for name in ("one", "two"):
        tiny_clip.set_adapter(name)
        assert trained(tiny_clip) == names_of(tiny_clip, name)
        assert torch.equal(features_of(tiny_clip, pixels), outputs[name])
    with pytest.warns(UserWarning, match="Setting active adapter to one"):
        tiny_clip.delete_adapter("two")
    assert torch.equal(features_of(tiny_clip, pixels), outputs["one"])
    tiny_clip.delete_adapter("one")
    assert torch.equal(features_of(tiny_clip, pixels), bare)


def test_transformers_disables_and_enables_adapters(tiny_clip, pixels, disturb):
    bare = features_of(tiny_clip, pixels)
    tiny_clip.add_adapter(AdaptSignAdapterConfig(num_prefix_tokens=3))
    expected = features_of(disturb(tiny_clip), pixels)
    tiny_clip.disable_adapters()
    assert torch.equal(features_of(tiny_clip, pixels), bare)
    assert trained(tiny_clip) == set()
    tiny_clip.enable_adapters()
    assert torch.equal(features_of(tiny_clip, pixels), expected)
    assert trained(tiny_clip) == names_of(tiny_clip, "default")


@pytest.mark.parametrize("is_trainable", [False, True])
def test_an_adapter_that_transformers_loads_leaves_the_others_alone(adapted_clip, tmp_path, is_trainable):
    before = {key: tensor.clone() for key, tensor in adapted_clip.state_dict().items()}
    adapted_clip.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    adapted_clip.load_adapter(str(tmp_path), "two", is_trainable=is_trainable)
    after = adapted_clip.state_dict()
    for key, tensor in before.items():
        assert torch.equal(after[key], tensor), key
        if ".one" in key:
            assert torch.equal(after[key.replace(".one", ".two")], tensor), key
    assert trained(adapted_clip) - names_of(adapted_clip, "one") == (
        names_of(adapted_clip, "two") if is_trainable else set()
    )
    adapted_clip.set_adapter("two")
    assert trained(adapted_clip) == names_of(adapted_clip, "two")
