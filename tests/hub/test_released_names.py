import pytest
import torch

from adaptsign_hf.hub.released_names import entries, read_config
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC

from .released_network import Sizes, random_tensors

VISUAL = "conv2d.visual"
NETWORKS = [
    Sizes(),
    Sizes(both_names=False, layers=1, lstm_layers=1),
    Sizes(normalized=False, prefixes=0),
    Sizes(normalized=False, both_names=False),
    Sizes(normalized=False, shared=False, layers=3),
    Sizes(shared=False, width=128, lstm_layers=3),
]


@pytest.mark.parametrize("sizes", NETWORKS)
def test_every_tensor_of_both_is_named_once(sizes):
    tensors = random_tensors(sizes)
    config = read_config(tensors)
    listed = list(entries(config, set(tensors)))
    with torch.device("meta"):
        model = AdaptSignForCTC(config)
    own = {name for name in model.state_dict() if not name.endswith("position_ids")}
    assert sorted(entry.released for entry in listed) == sorted(tensors)
    ours = [name for entry in listed for name in entry.ours]
    assert set(ours) == own
    twice = {name for name in ours if ours.count(name) > 1}
    two_names = sizes.shared and sizes.both_names
    assert twice == {name for name in own if two_names and name.startswith("classifier.")}


@pytest.mark.parametrize("sizes", NETWORKS)
def test_every_form_goes_back(sizes):
    tensors = random_tensors(sizes)
    for entry in entries(read_config(tensors), set(tensors)):
        expected = tensors[entry.released]
        if "aggblocks" in entry.released and entry.released.endswith("in_proj_bias"):
            expected.chunk(3)[1].zero_()  # of the keys, which changes nothing
        parts = entry.form.to_ours(expected)
        assert len(parts) == len(entry.ours)
        assert torch.equal(entry.form.to_released(*parts), expected), entry.released


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(),
        Sizes(width=128, mlp=100, layers=3, patch=8, image=40, features=36, hidden=30, classes=12, prefixes=9),
        Sizes(width=192, reduction=5, lstm_layers=3, layers=1, prefixes=0),
        Sizes(reduction=3),
        Sizes(reduction=64),
        Sizes(normalized=False, shared=False, hidden=14, classes=14),
    ],
)
def test_sizes_are_read_off_the_tensors(sizes):
    config = read_config(random_tensors(sizes))
    vision = config.vision
    found = Sizes(
        width=vision.hidden_size,
        mlp=vision.intermediate_size,
        layers=vision.num_hidden_layers,
        patch=vision.patch_size,
        image=vision.image_size,
        features=vision.projection_dim,
        hidden=config.hidden_size,
        classes=config.vocab_size,
        prefixes=config.num_prefix_tokens,
        reduction=config.adapter_reduction,
        lstm_layers=config.num_lstm_layers,
        normalized=config.normalize_classifier,
        shared=config.share_classifier,
    )
    assert found == sizes
    assert vision.num_attention_heads == sizes.width // 64
    assert (vision.hidden_act, vision.layer_norm_eps, config.adapter) == ("quick_gelu", 1e-5, "adaptsign")


@pytest.mark.parametrize("sizes", [Sizes(), Sizes(normalized=False)])
def test_a_copy_of_the_classifier_under_its_second_name_is_the_same_classifier(sizes):
    tensors = {name: tensor.clone() for name, tensor in random_tensors(sizes).items()}
    assert read_config(tensors).share_classifier
    tensors["conv1d.fc.weight"][0, 0] += 1
    assert not read_config(tensors).share_classifier


def test_the_class_tokens_normalisation_becomes_clips_last_one_too():
    tensors = random_tensors(Sizes())
    (entry,) = (entry for entry in entries(read_config(tensors), set(tensors)) if "ln_post.weight" in entry.released)
    assert entry.ours == ["model.aggregator.class_norm.weight", "model.vision_model.post_layernorm.weight"]


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("conv1.weight", (48, 3, 16, 16), "the width of CLIP is 48, which heads of 64 do not fill"),
        ("conv1.weight", (64, 3, 16), r"conv1\.weight has shape \(64, 3, 16\): 4 dimensions were expected"),
        ("positional_embedding", (7, 64), "positional_embedding has 7 rows: one more than a square of patches"),
        ("transformer.resblocks.0.S_Adapter.mlp.c_in.weight", (40, 64), "bottleneck is 40, .* of the width 64"),
        ("transformer.resblocks.0.S_Adapter.mlp.c_in.weight", (0, 64), "bottleneck is 0, .* of the width 64"),
        ("transformer.resblocks.0.S_Adapter.mlp.c_in.weight", (65, 64), "bottleneck is 65, .* of the width 64"),
    ],
)
def test_sizes_that_fit_no_network_are_refused(name, shape, message):
    tensors = random_tensors(Sizes()) | {f"{VISUAL}.{name}": torch.zeros(shape)}
    with pytest.raises(ValueError, match=message):
        read_config(tensors)
