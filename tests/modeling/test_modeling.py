"""The whole model: alone and in batches, frozen, saved and loaded, in every precision."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCTC, CLIPVisionModel

from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.ctc_adaptsign import ctc_loss, distillation_loss
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC, AdaptSignModel

many_cases = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
LENGTHS = [5, 9, 1]
LABELS = torch.tensor([[3, -100], [4, 7], [1, -100]])


def clips_of(lengths: list[int], seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, 3, 32, 32, generator=generator) for length in lengths]


def batch_of(clips: list[torch.Tensor], filler: float = 0.0) -> dict[str, torch.Tensor]:
    longest = max(map(len, clips))
    pixels = torch.full((len(clips), longest, 3, 32, 32), filler)
    mask = torch.zeros(len(clips), longest, dtype=torch.long)
    for row, clip in enumerate(clips):
        pixels[row, : len(clip)] = clip
        mask[row, : len(clip)] = 1
    return {"pixel_values": pixels, "attention_mask": mask}


def is_frozen(name: str) -> bool:
    return "vision_model." in name and "adaptsign_" not in name


@many_cases
@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.sampled_from([0.0, 50.0, float("nan")]))
@torch.no_grad()
def test_a_clip_gives_the_same_alone_and_in_any_batch(tiny_model, lengths, filler):
    clips = clips_of(lengths)
    batch = batch_of(clips, filler)
    output, seen = tiny_model(**batch), tiny_model.model(**batch)
    assert output.logit_lengths.tolist() == [math.ceil(length / 4) for length in lengths]
    assert output.logits.shape == output.conv_logits.shape == (len(lengths), math.ceil(max(lengths) / 4), 11)
    assert seen.last_hidden_state.shape == (len(lengths), max(lengths), 24)
    for row, clip in enumerate(clips):
        alone, steps = tiny_model(clip[None]), output.logit_lengths[row]
        torch.testing.assert_close(output.logits[row, :steps], alone.logits[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(output.conv_logits[row, :steps], alone.conv_logits[0], atol=1e-5, rtol=1e-5)
        features = tiny_model.model(clip[None]).last_hidden_state[0]
        torch.testing.assert_close(seen.last_hidden_state[row, : len(clip)], features, atol=1e-5, rtol=1e-5)
        assert not seen.last_hidden_state[row, len(clip) :].any()


@many_cases
@given(st.integers(1, 16), st.integers(0, 3))
@torch.no_grad()
def test_chunks_and_radius(tiny_model, chunk_size, radius):
    batch = batch_of(clips_of(LENGTHS))
    tiny_model.config.cross_frame_radius = tiny_model.model.aggregator.radius = radius
    tiny_model.config.frame_chunk_size = 64
    expected = tiny_model(**batch).logits
    tiny_model.config.frame_chunk_size = chunk_size
    torch.testing.assert_close(tiny_model(**batch).logits, expected, atol=1e-5, rtol=1e-5)


def step(model: AdaptSignForCTC, filler: float = 0.0) -> dict[str, torch.Tensor | None]:
    """The gradients of one training step."""
    model.zero_grad()
    model(**batch_of(clips_of(LENGTHS), filler), labels=LABELS).loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_filler_changes_no_gradient_and_no_statistic(tiny_model):
    other = copy.deepcopy(tiny_model).train()
    first, second = step(tiny_model.train(), 0.0), step(other, 1000.0)
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    torch.testing.assert_close(tiny_model.state_dict(), other.state_dict(), atol=0, rtol=0)


def test_losses_are_weighted_and_count_valid_steps_only(tiny_model):
    config = tiny_model.config
    config.sequence_loss_weight, config.conv_loss_weight, config.distillation_loss_weight = 2.0, 3.0, 5.0
    with torch.no_grad():
        output = tiny_model(**batch_of(clips_of(LENGTHS)), labels=LABELS)
    steps = [2, 3, 1]
    valid = torch.arange(3) < torch.tensor(steps)[:, None]
    torch.testing.assert_close(output.sequence_loss, ctc_loss(output.logits, steps, LABELS, 0))
    torch.testing.assert_close(output.conv_loss, ctc_loss(output.conv_logits, steps, LABELS, 0))
    distilled = distillation_loss(output.conv_logits, output.logits, valid, 0, 8.0)
    torch.testing.assert_close(output.distillation_loss, distilled)
    total = 2 * output.sequence_loss + 3 * output.conv_loss + 5 * output.distillation_loss
    torch.testing.assert_close(output.loss, total)


def test_without_labels_there_is_no_loss(tiny_model):
    output = tiny_model(clips_of([5])[0][None])
    assert output.loss is output.sequence_loss is output.conv_loss is output.distillation_loss is None
    assert isinstance(tiny_model(clips_of([5])[0][None], return_dict=False), tuple)


@pytest.mark.parametrize(("share", "normalize"), [(True, True), (False, True), (True, False), (False, False)])
def test_classifiers_shared_or_not(tiny_config, share, normalize):
    tiny_config.share_classifier, tiny_config.normalize_classifier = share, normalize
    model = AdaptSignForCTC(tiny_config).eval()
    assert (model.classifier.bias is None) == normalize
    assert hasattr(model, "conv_classifier") != share
    clip = clips_of([8])[0][None]
    with torch.no_grad():
        before = model(clip)
        model.classifier.weight.copy_(torch.randn(11, 32))
        after = model(clip)
    assert not torch.equal(before.logits, after.logits)
    assert torch.equal(before.conv_logits, after.conv_logits) != share


def load_again(model: AdaptSignForCTC, folder, loader: Callable = AdaptSignForCTC.from_pretrained):
    model.save_pretrained(folder)
    return loader(folder)


@pytest.mark.parametrize("loader", [None, AdaptSignForCTC.from_pretrained, AutoModelForCTC.from_pretrained])
def test_exactly_clip_is_frozen_and_all_else_learns(tiny_model, tmp_path, loader):
    model = load_again(tiny_model, tmp_path, loader) if loader else tiny_model
    model.train()
    gradients = step(model)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != is_frozen(name), name
        if is_frozen(name):
            assert gradients[name] is None, name
        else:
            assert gradients[name].isfinite().all(), name
            assert gradients[name].any(), name


def test_freezing_covers_a_fresh_and_a_headless_model(tiny_config, tmp_path):
    model = AdaptSignForCTC(tiny_config).train()
    headless = load_again(model, tmp_path, AutoModel.from_pretrained)
    assert type(headless) is AdaptSignModel
    for each in (model, headless):
        for name, parameter in each.named_parameters():
            assert parameter.requires_grad != is_frozen(name), name
    info = AdaptSignForCTC.from_pretrained(tmp_path, output_loading_info=True)
    assert not info[0].model.vision_model.embeddings.class_embedding.requires_grad
    assert not info[1]["missing_keys"]
    assert not info[1]["unexpected_keys"]


def test_adam_leaves_clip_bit_identical_and_moves_all_else(tiny_config):
    torch.manual_seed(0)
    model = AdaptSignForCTC(tiny_config).train()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    for _ in range(3):
        step(model)
        optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == is_frozen(name), name


def is_zero_at_first(name: str) -> bool:
    return "up_proj" in name or name.endswith("cross_frame_gate")


def test_zero_initialised_tensors_are_zero_when_built_and_when_loaded(tiny_config, tmp_path):
    model = AdaptSignForCTC(tiny_config)
    loaded = load_again(model, tmp_path)
    for each in (model, loaded):
        zero = [name for name, _ in each.named_parameters() if is_zero_at_first(name)]
        assert len(zero) == 2 * 2 * 2 + 1
        for name in zero:
            assert not each.get_parameter(name).any(), name
        assert torch.equal(each.model.aggregator.mix_weights, torch.tensor([0.5, 0.5]))
        for name, parameter in each.named_parameters():
            assert parameter.isfinite().all(), name
            if name.endswith("prefix_keys.default") or name.endswith("aggregator.query"):
                assert parameter.any(), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loaded_values_are_those_saved_bit_for_bit(tiny_model, tmp_path, dtype):
    clip = clips_of([7])[0][None]
    model = tiny_model.to(dtype)
    loaded = load_again(model, tmp_path)
    assert loaded.dtype == dtype
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    with torch.no_grad():
        tolerance = 1e-5 if dtype == torch.float32 else 0.05
        torch.testing.assert_close(loaded(clip).logits, model(clip).logits, atol=tolerance, rtol=tolerance)


@pytest.fixture
def uninitialised_memory_is_nan():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("uninitialised_memory_is_nan")
def test_what_a_checkpoint_lacks_is_initialised(tiny_model, tmp_path):
    layer = "model.vision_model.encoder.layers.1"
    lacking = [
        f"{layer}.adaptsign_attention_adapter.default.up_proj.weight",
        f"{layer}.adaptsign_mlp_adapter.default.up_proj.bias",
        f"{layer}.adaptsign_mlp_adapter.default.down_proj.weight",
        f"{layer}.adaptsign_prefix_keys.default",
        "model.aggregator.query",
        "model.aggregator.cross_frame_gate",
        "model.aggregator.mix_weights",
        "model.aggregator.projection.weight",
        "model.aggregator.blocks.0.q_proj.weight",
        "model.aggregator.blocks.0.layer_norm1.weight",
        "convolutions.blocks.0.conv.weight",
        "convolutions.blocks.0.batch_norm.running_var",
        "bilstm.lstm.weight_hh_l1_reverse",
        "classifier.weight",
    ]
    tiny_model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for name in lacking:
        del tensors[name]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded, info = AdaptSignForCTC.from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == set(lacking)
    for name, tensor in loaded.state_dict().items():
        if name not in lacking:
            assert torch.equal(tensor, tiny_model.state_dict()[name]), name
        else:
            assert tensor.isfinite().all(), name
            assert bool(tensor.any()) != is_zero_at_first(name), name
            assert tensor.abs().max() <= 1, name
    assert torch.equal(loaded.model.aggregator.mix_weights, torch.tensor([0.5, 0.5]))
    assert torch.equal(loaded.convolutions.blocks[0].batch_norm.running_var, torch.ones(32))
    assert torch.equal(loaded.model.aggregator.blocks[0].layer_norm1.weight, torch.ones(48))
    assert loaded.model.aggregator.query.std().item() == pytest.approx(48**-0.5, rel=0.5)
    for name, parameter in loaded.named_parameters():
        assert parameter.requires_grad != is_frozen(name), name


def test_a_clip_that_no_checkpoint_gave_starts_as_clip_does(tiny_config):
    torch.manual_seed(0)
    built = AdaptSignForCTC(tiny_config)
    loaded = AdaptSignForCTC.from_pretrained(None, config=tiny_config, state_dict={})
    for name, parameter in built.named_parameters():
        if is_frozen(name) and parameter.ndim > 1:
            assert loaded.get_parameter(name).std().item() == pytest.approx(parameter.std().item(), rel=0.5), name


def test_headless_model_gives_the_features_of_the_full_one(tiny_model, tmp_path):
    headless = load_again(tiny_model, tmp_path, AutoModel.from_pretrained)
    batch = batch_of(clips_of(LENGTHS))
    with torch.no_grad():
        torch.testing.assert_close(
            headless(**batch).last_hidden_state,
            tiny_model.model(**batch).last_hidden_state,
            atol=1e-5,
            rtol=1e-5,
        )


def test_without_adapters_clip_is_bare_bit_for_bit(tiny_model):
    vision_model = tiny_model.model.vision_model
    bare = CLIPVisionModel(tiny_model.config.vision).eval()
    weights = {name.replace(".base_layer.", "."): tensor for name, tensor in vision_model.state_dict().items()}
    bare.load_state_dict({name: weights[name] for name in bare.state_dict()})
    frames = clips_of([3])[0]
    with torch.no_grad():
        expected = bare(frames).last_hidden_state
        adapted = tiny_model.model.read_layers(frames)[0]
        for layer in vision_model.encoder.layers:
            layer.enable_adapters(False)
        assert torch.equal(tiny_model.model.read_layers(frames)[0], expected)
    assert not torch.allclose(adapted, expected, atol=1e-2)


@pytest.mark.parametrize(("share", "normalize"), [(True, True), (False, False)])
def test_replace_vocabulary_keeps_shared_glosses_and_the_blank(tiny_config, share, normalize):
    tiny_config.share_classifier, tiny_config.normalize_classifier = share, normalize
    model = AdaptSignForCTC(tiny_config).to(torch.bfloat16)
    old, new = [f"G{i}" for i in range(1, 11)], ["NEW", "G10", "G2", "OTHER"]
    names = ["classifier"] if share else ["classifier", "conv_classifier"]
    before = {name: copy.deepcopy(getattr(model, name)) for name in names}
    model.replace_vocabulary(old, new)
    assert model.config.vocab_size == model.model.config.vocab_size == 5
    for name in names:
        was, now = before[name], getattr(model, name)
        assert (now.out_features, now.weight.dtype, now.weight.requires_grad) == (5, torch.bfloat16, True)
        for parameter in ("weight", "bias")[: 1 if normalize else 2]:
            old_rows, new_rows = getattr(was, parameter), getattr(now, parameter)
            assert torch.equal(new_rows[[0, 2, 3]], old_rows[[0, 10, 2]])
        for row in (1, 4):
            assert now.weight[row].any()
            assert not any(torch.equal(now.weight[row], other) for other in was.weight)
    assert model(clips_of([4])[0][None]).logits.shape == (1, 1, 5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pixel_values": torch.zeros(5, 3, 32, 32)}, "AdaptSignProcessor"),
        ({"pixel_values": torch.zeros(2, 0, 3, 32, 32), "attention_mask": None}, "no frame"),
        ({"attention_mask": torch.tensor([[0] * 5, [1] * 5])}, "clip 0 is all zero"),
        ({"attention_mask": torch.tensor([[1] * 5, [1, 1, 0, 1, 1]])}, "clip 1 is not a run of ones"),
        ({"attention_mask": torch.ones(2, 4)}, r"must be \(2, 5\)"),
        ({"labels": torch.tensor([1, 2])}, r"labels has shape \(2,\)"),
        ({"labels": torch.tensor([[1]])}, r"labels has shape \(1, 1\)"),
        ({"labels": torch.tensor([[1, 2], [3, 11]])}, r"labels.*11"),
        ({"labels": torch.tensor([[1, 2], [3, 0]])}, "labels.*blank"),
        ({"labels": torch.tensor([[1, -100, 2], [3, 4, 5]])}, "labels.*behind"),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_bad_input_is_refused_with_a_reason(tiny_model, changed, message, training):
    inputs = {"pixel_values": torch.zeros(2, 5, 3, 32, 32), "attention_mask": torch.ones(2, 5)} | changed
    with pytest.raises(ValueError, match=message):
        tiny_model.train(training)(**inputs)


def test_sdpa_and_eager_agree(tiny_model):
    batch = batch_of(clips_of(LENGTHS))
    outputs = []
    for implementation in ("sdpa", "eager"):
        tiny_model.set_attn_implementation(implementation)
        assert tiny_model.model.vision_model.config._attn_implementation == implementation
        with torch.no_grad():
            outputs.append(tiny_model(**batch).logits)
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", ["autocast", "bfloat16", "float16"])
def test_lower_precision_is_finite_and_close(tiny_model, mode):
    batch = batch_of(clips_of(LENGTHS))
    with torch.no_grad():
        expected = tiny_model(**batch).logits
        model = tiny_model if mode == "autocast" else tiny_model.to(getattr(torch, mode))
    with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
        output = model.train()(**batch, labels=LABELS)
        with torch.no_grad():
            logits = model.eval()(**batch).logits
    torch.testing.assert_close(logits.float(), expected, atol=0.1, rtol=0.1)
    assert output.loss.dtype == torch.float32
    output.loss.backward()
    for name, parameter in model.named_parameters():
        assert is_frozen(name) or parameter.grad.isfinite().all(), name


def test_activation_checkpointing_keeps_every_gradient(tiny_model):
    plain = copy.deepcopy(tiny_model).train()
    tiny_model.train().activation_checkpointing_enable()
    calls = []
    layer = tiny_model.model.vision_model.encoder.layers[0]
    checkpoint = layer._gradient_checkpointing_func
    layer._gradient_checkpointing_func = lambda *args: calls.append(1) or checkpoint(*args)
    actual = step(tiny_model)
    assert calls
    torch.testing.assert_close(actual, step(plain), atol=1e-6, rtol=1e-5)


def test_a_skeleton_has_no_adapters(tiny_config):
    config = AdaptSignConfig(**{**tiny_config.to_diff_dict(), "adapter": None})
    model = AdaptSignForCTC(config)
    assert not any("adaptsign_" in name for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != is_frozen(name), name


def test_a_long_clip_keeps_only_a_few_numbers_of_each_frame(tiny_model, monkeypatch):
    tiny_model.config.frame_chunk_size = 4
    waiting = []
    cat = torch.cat

    def watch(tensors, *args, **kwargs):
        joined = cat(tensors, *args, **kwargs)
        if len(joined) == 40:  # what was collected from all chunks
            waiting.append(tensors)
        return joined

    with torch.no_grad():
        monkeypatch.setattr(torch, "cat", watch)
        tiny_model.model.read_frames(torch.randn(40, 3, 32, 32))
    assert len(waiting) == 3
    # A view would keep all tokens of all frames alive.
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensors in waiting for tensor in tensors)
