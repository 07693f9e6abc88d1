"""Converted networks against the naive one, which reads the released tensors; and what conversion refuses."""

import json

import pytest
import torch
from transformers import AutoModelForCTC, AutoProcessor

from adaptsign_hf.hub.conversion import convert_checkpoint, convert_tensors
from adaptsign_hf.hub.released_files import read_checkpoint

from .released_network import (
    FIXED,
    FIXED_LABELS,
    FIXED_LENGTHS,
    FIXED_NUMBERS,
    NaiveNetwork,
    Sizes,
    converted_train_step,
    glosses_of,
    random_clips,
    random_tensors,
    write_release,
)

VISUAL = "conv2d.visual"
LAYER, BLOCK = f"{VISUAL}.transformer.resblocks.1", f"{VISUAL}.transformer.aggblocks.1"
WIDE = Sizes(
    width=128,
    mlp=96,
    layers=3,
    patch=8,
    image=24,
    features=36,
    hidden=30,
    classes=9,
    prefixes=5,
    reduction=8,
    lstm_layers=1,
    both_names=False,
)
NETWORKS = {
    "two layers": Sizes(),
    "wide, small patches": WIDE,
    "one layer, plain": Sizes(layers=1, patch=8, image=16, prefixes=1, reduction=1, normalized=False),
    "four layers, plain, one name": Sizes(
        layers=4, image=48, prefixes=8, reduction=16, normalized=False, both_names=False, lstm_layers=3
    ),
    "plain, unshared": Sizes(width=192, reduction=5, normalized=False, shared=False),
    "unshared, no prefixes": Sizes(width=128, layers=1, reduction=3, shared=False, classes=30, prefixes=0),
}
networks = pytest.mark.parametrize("sizes", NETWORKS.values(), ids=NETWORKS)


@pytest.fixture
def write(tmp_path):
    """Write a checkpoint and its glosses; return both paths."""
    return lambda sizes=FIXED, tensors=None: write_release(tmp_path, sizes, tensors)


# The same numbers


@networks
@torch.no_grad()
def test_a_converted_network_equals_the_naive_one(sizes, write, tmp_path):
    convert_checkpoint(*write(sizes), tmp_path / "converted")
    model, naive = AutoModelForCTC.from_pretrained(tmp_path / "converted"), NaiveNetwork(random_tensors(sizes))
    for length in range(1, 10):
        (clip,) = random_clips(sizes, [length], seed=length)
        output = model(clip[None])
        ((logits, conv_logits),) = naive.logits([clip])
        features = model.model(clip[None]).padded_hidden_state[0]
        expected = (naive.frame_features(clip), logits, conv_logits)
        for found, wanted in zip((features, output.logits[0], output.conv_logits[0]), expected, strict=True):
            torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=0)


@networks
def test_a_training_step_equals_the_naive_ones(sizes):
    tensors, clips = random_tensors(sizes), random_clips(sizes, [9, 6, 3])
    labels = [[1, 2, 3], [4, 5], [6]]
    expected_terms, expected_norms = NaiveNetwork(tensors).train_step(clips, labels)
    terms, norms = converted_train_step(convert_tensors(tensors), clips, labels, set(tensors))
    assert terms == pytest.approx(expected_terms, rel=1e-4)
    frozen = {
        name
        for name in tensors
        if name.startswith((f"{VISUAL}.class_", f"{VISUAL}.positional_", f"{VISUAL}.conv1.", f"{VISUAL}.ln_pre."))
        or ("resblocks" in name and "Adapter" not in name and "prefix" not in name)
    }
    statistics = {name for name in tensors if "running_" in name or "num_batches" in name}
    assert norms.keys() == tensors.keys() - frozen - statistics
    counting = {name for name in norms if expected_norms[name] > 1e-4}  # BatchNorm takes some biases out again
    assert len(norms) - len(counting) <= 4 + 2 * (sizes.prefixes == 0)
    assert {name: norms[name] for name in counting} == pytest.approx(
        {name: expected_norms[name] for name in counting}, rel=1e-3
    )


def test_the_numbers_of_the_fixed_network_are_what_they_were():
    tensors, clips = random_tensors(FIXED), random_clips(FIXED, FIXED_LENGTHS)
    expected, model = json.loads(FIXED_NUMBERS.read_text()), convert_tensors(tensors)
    with torch.no_grad():
        outputs = [model(clip[None]) for clip in clips]
        features = model.model(clips[1][None]).padded_hidden_state[0]
    torch.testing.assert_close(features, torch.tensor(expected["frame_features"]), atol=1e-5, rtol=0)
    for kind in ("logits", "conv_logits"):
        for output, wanted in zip(outputs, expected[kind], strict=True):
            torch.testing.assert_close(output[kind][0], torch.tensor(wanted), atol=1e-5, rtol=0)
    terms, norms = converted_train_step(model, clips, FIXED_LABELS, set(tensors))
    assert terms == pytest.approx(expected["losses"], rel=1e-4)
    assert {name: norms[name] for name in expected["gradient_norms"]} == pytest.approx(
        expected["gradient_norms"], rel=1e-3
    )


def test_the_folder_holds_model_and_processor(write, tmp_path):
    model = convert_checkpoint(*write(), tmp_path / "new" / "converted")
    assert not model.training
    loaded = AutoModelForCTC.from_pretrained(tmp_path / "new" / "converted")
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
        assert tensor.dtype == (
            torch.int64 if name.endswith(("num_batches_tracked", "position_ids")) else torch.float32
        )
    assert not any(
        p.requires_grad for n, p in loaded.named_parameters() if "vision_model" in n and ".default" not in n
    )
    processor = AutoProcessor.from_pretrained(tmp_path / "new" / "converted")
    assert processor.tokenizer.glosses == glosses_of(FIXED)
    assert processor.video_processor.crop_size["height"] == FIXED.image


def test_statistics_of_batch_norm_are_kept(write, tmp_path):
    tensors = random_tensors(FIXED)
    blocks = convert_checkpoint(*write(), tmp_path / "converted").convolutions.blocks
    for block, position in zip(blocks, (1, 5), strict=True):
        for kind in ("running_mean", "running_var", "num_batches_tracked"):
            assert torch.equal(getattr(block.batch_norm, kind), tensors[f"conv1d.temporal_conv.{position}.{kind}"])


def test_the_bias_of_aggregations_keys_changes_nothing():
    """Ours has none."""
    tensors = random_tensors(FIXED)
    (clip,) = random_clips(FIXED, [3])
    outputs = []
    for bias in (0.0, 7.0):
        tensors[f"{BLOCK}.attn.in_proj_bias"][FIXED.width : 2 * FIXED.width] = bias
        with torch.no_grad():
            outputs.append(NaiveNetwork(tensors).frame_features(clip))
    torch.testing.assert_close(*outputs, atol=1e-12, rtol=0)


def test_half_precision_and_levels_of_data_parallel_change_only_the_rounding(write, tmp_path):
    tensors = random_tensors(FIXED)
    wrapped = {
        f"module.{name}".replace("conv2d.", "conv2d.module."): tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    model = convert_checkpoint(*write(tensors=wrapped), tmp_path / "converted")
    expected = convert_tensors({n: t.half().float() if t.is_floating_point() else t for n, t in tensors.items()})
    assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in model.state_dict().items())


# What is refused

SAMPLE = [
    f"{VISUAL}.class_embedding",
    f"{VISUAL}.ada_weight",
    f"{VISUAL}.ln_pre.bias",
    f"{VISUAL}.ln_post.weight",
    f"{VISUAL}.ln_post_cls.bias",
    f"{VISUAL}.transformer.query",
    f"{VISUAL}.transformer.temporal_ada_weight",
    f"{VISUAL}.transformer.taggblocks.ln_1.weight",
    f"{LAYER}.prefix_embedding_v",
    f"{LAYER}.attn.in_proj_weight",
    f"{LAYER}.attn.in_proj_bias",
    f"{LAYER}.S_Adapter.mlp.c_out.weight",
    f"{LAYER}.MLP_Adapter.mlp.c_in.bias",
    f"{LAYER}.mlp.c_proj.weight",
    f"{BLOCK}.attn.in_proj_weight",
    f"{BLOCK}.attn.in_proj_bias",
    f"{BLOCK}.mlp.c_fc.weight",
    "conv1d.temporal_conv.0.weight",
    "conv1d.temporal_conv.5.running_var",
    "conv1d.temporal_conv.1.num_batches_tracked",
    "temporal_model.rnn.weight_hh_l1_reverse",
    "temporal_model.rnn.bias_ih_l0",
]
# Sizes are read off these; the first dimension of some, the last of others, tells none.
TELLING_LAST = [f"{VISUAL}.proj", "classifier.weight"]
TELLING_FIRST = [
    f"{VISUAL}.conv1.weight",
    f"{VISUAL}.positional_embedding",
    f"{VISUAL}.transformer.resblocks.0.mlp.c_fc.weight",
    f"{VISUAL}.transformer.resblocks.0.S_Adapter.mlp.c_in.weight",
    f"{VISUAL}.transformer.resblocks.0.prefix_embedding_k",
    "conv1d.temporal_conv.4.weight",
]


@pytest.mark.parametrize("name", SAMPLE + TELLING_FIRST + TELLING_LAST)
def test_a_missing_tensor_is_named(name):
    tensors = random_tensors(FIXED)
    tensors[f"{name}_of_old"] = tensors.pop(name)
    with pytest.raises(ValueError, match="missing") as error:
        convert_tensors(tensors)
    assert name in str(error.value)
    assert f"{name}_of_old" not in str(error.value)


@pytest.mark.parametrize("name", [f"{name}_of_old" for name in SAMPLE] + ["logit_scale", "conv1d.fc.bias"])
def test_an_unexpected_tensor_is_named(name):
    with pytest.raises(ValueError, match="unexpected tensors: ") as error:
        convert_tensors(random_tensors(FIXED) | {name: torch.zeros(1)})
    assert name in str(error.value)


@pytest.mark.parametrize("name", SAMPLE + TELLING_FIRST + TELLING_LAST)
@pytest.mark.parametrize("fault", ["longer", "another dimension"])
def test_a_misshapen_tensor_is_named_with_both_shapes(name, fault):
    tensors = random_tensors(FIXED)
    tensor, dimension = tensors[name], 0 if name in TELLING_LAST else -1
    if tensor.ndim == 0:
        tensors[name] = tensor[None]
    elif fault == "longer":
        tensors[name] = torch.cat([tensor, tensor.narrow(dimension, 0, 1)], dim=dimension)
    else:
        tensors[name] = tensor[None]
    with pytest.raises(ValueError, match="has shape") as error:
        convert_tensors(tensors)
    assert f"the tensor {name} has shape {tuple(tensors[name].shape)}" in str(error.value)


@pytest.mark.parametrize("name", sorted({*TELLING_FIRST, *TELLING_LAST} - {f"{VISUAL}.positional_embedding"}))
def test_a_tensor_that_tells_another_size_than_the_others_is_refused(name):
    tensors = random_tensors(FIXED)
    dimension = -1 if name in TELLING_LAST else 0
    tensors[name] = torch.cat([tensors[name], tensors[name]], dim=dimension)
    with pytest.raises(ValueError, match=r"has shape .* but the sizes of the others ask for"):
        convert_tensors(tensors)


@pytest.mark.parametrize("name", ["classifier.weight", "classifier.bias", "conv1d.fc.weight", "conv1d.fc.bias"])
def test_a_part_of_two_plain_classifiers_that_is_missing_is_told(name):
    tensors = random_tensors(Sizes(normalized=False, shared=False))
    del tensors[name]
    fault = "conv1d.fc.bias" if name == "classifier.bias" else name  # without it, the classifier would be normalised
    with pytest.raises(ValueError, match=rf"(missing|unexpected).*{fault}|{fault} is missing"):
        convert_tensors(tensors)


def test_many_faults_are_counted():
    tensors = {name: tensor for name, tensor in random_tensors(FIXED).items() if ".aggblocks" not in name}
    with pytest.raises(ValueError, match=r"missing tensors: .*aggblocks\.0.*, and 19 more"):
        convert_tensors(tensors)


def test_a_network_of_another_kind_is_refused(write, tmp_path):
    checkpoint, glosses = write(tensors={"layer.weight": torch.ones(2, 2)})
    with pytest.raises(
        ValueError, match=r"Converting .*model\.pt: the tensor conv2d\.visual\.conv1\.weight is missing"
    ):
        convert_checkpoint(checkpoint, glosses, tmp_path / "converted")


def test_sizes_that_the_configuration_refuses_are_told(write, tmp_path):
    tensors = random_tensors(FIXED)
    for name in ("conv1d.temporal_conv.4.weight", "conv1d.temporal_conv.4.bias"):
        tensors[name] = tensors[name][:23]
    with pytest.raises(ValueError, match=r"Converting .*model\.pt: hidden_size is 23"):
        convert_checkpoint(*write(tensors=tensors), tmp_path / "converted")


@pytest.mark.parametrize("number", [5, 7])
def test_a_vocabulary_of_another_size_is_told_with_both_numbers(write, tmp_path, number):
    checkpoint, glosses = write()
    glosses.write_text("\n".join(f"G{index}" for index in range(number)))
    message = rf"glosses\.txt holds {number} glosses, but the classifier has 7 classes, the blank and 6 glosses"
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(checkpoint, glosses, tmp_path / "converted")
    assert not (tmp_path / "converted").exists()


@pytest.mark.parametrize(("wrong", "message"), [("A", "twice"), ("B C", "white space"), ("<blank>", "blank")])
def test_a_gloss_that_cannot_be_is_told_and_nothing_written(write, tmp_path, wrong, message):
    checkpoint, glosses = write()
    glosses.write_text("\n".join(["A", "D", "E", "F", "G", wrong]))
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(checkpoint, glosses, tmp_path / "converted")
    assert not (tmp_path / "converted").exists()


@pytest.mark.parametrize(
    ("adapter_only", "left"),
    [(True, "model.safetensors"), (True, "model.safetensors.index.json"), (False, "adapter_config.json")],
)
def test_model_and_adapter_are_not_mixed_in_one_folder(write, tmp_path, adapter_only, left):
    """transformers would read both into one model, and say nothing."""
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted" / left).touch()
    with pytest.raises(ValueError, match=rf"Converting to .*converted: there is {left} in it"):
        convert_checkpoint(*write(), tmp_path / "converted", adapter_only=adapter_only)
    assert [path.name for path in (tmp_path / "converted").iterdir()] == [left]


@pytest.mark.parametrize("adapter_only", [True, False])
def test_a_file_in_the_place_of_the_folder_is_told(write, tmp_path, adapter_only):
    (tmp_path / "converted").write_text("notes")
    with pytest.raises(ValueError, match=r"Converting to .*converted: it is a file"):
        convert_checkpoint(*write(), tmp_path / "converted", adapter_only=adapter_only)


@pytest.mark.parametrize("adapter_only", [True, False])
def test_converting_again_replaces_what_was_there(write, tmp_path, adapter_only):
    convert_checkpoint(
        *write(tensors=random_tensors(FIXED, seed=1)), tmp_path / "converted", adapter_only=adapter_only
    )
    model = convert_checkpoint(*write(), tmp_path / "converted", adapter_only=adapter_only)
    clip = model.model.vision_model if adapter_only else None
    loaded = type(model).from_pretrained(tmp_path / "converted", clip=clip)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_reading_a_written_checkpoint_gives_the_same_tensors(write):
    tensors = random_tensors(FIXED)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in read_checkpoint(write()[0]).items())
