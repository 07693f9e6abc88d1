"""What the tensors of a released checkpoint are called, what they are in ours, and the sizes they tell."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isqrt

import torch
from transformers import CLIPVisionConfig

from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig

VISUAL = "conv2d.visual"
CLIP, AGGREGATOR = "model.vision_model", "model.aggregator"
HEAD_WIDTH = 64  # CLIP's attention heads, of every size


@dataclass(frozen=True)
class Form:
    """How a released tensor becomes ours, and back; both ways are views or copies, no number changes."""

    to_ours: Callable[[torch.Tensor], list[torch.Tensor]]
    to_released: Callable[..., torch.Tensor]


SAME = Form(lambda tensor: [tensor], lambda tensor: tensor)
TWICE = Form(lambda tensor: [tensor, tensor], lambda first, _: first)
TRANSPOSED = Form(lambda tensor: [tensor.T], lambda tensor: tensor.T)
PREFIX = Form(lambda tensor: [tensor.squeeze(1)], lambda tensor: tensor.unsqueeze(1))
QUERY = Form(lambda tensor: [tensor.flatten()], lambda tensor: tensor.view(1, 1, -1))
SCALAR = Form(lambda tensor: [tensor.squeeze(0)], lambda tensor: tensor.unsqueeze(0))
THREE_IN_ONE = Form(lambda tensor: list(tensor.chunk(3)), lambda *tensors: torch.cat(tensors))
# A bias of the keys adds the same to all scores of a query, which softmax takes out again: ours has none.
TWO_OF_THREE = Form(
    lambda tensor: [tensor.chunk(3)[0], tensor.chunk(3)[2]],
    lambda query, value: torch.cat([query, torch.zeros_like(query), value]),
)


@dataclass(frozen=True)
class Entry:
    """A released tensor, the names of ours that it becomes, and the form of the change."""

    released: str
    ours: list[str]
    form: Form


def entries(config: AdaptSignConfig, released_names: set[str]) -> Iterator[Entry]:
    """
    List every tensor of the released network of these sizes.

    Args:
        config: Sizes.
        released_names: Names in the checkpoint; a shared classifier may be in it once or twice.
    """
    yield Entry(f"{VISUAL}.class_embedding", [f"{CLIP}.embeddings.class_embedding"], SAME)
    yield Entry(f"{VISUAL}.positional_embedding", [f"{CLIP}.embeddings.position_embedding.weight"], SAME)
    yield Entry(f"{VISUAL}.conv1.weight", [f"{CLIP}.embeddings.patch_embedding.weight"], SAME)
    yield from pair(f"{VISUAL}.ln_pre", f"{CLIP}.pre_layrnorm")
    # The names mislead: "post" normalises the class token, "post_cls" the query.
    for kind in ("weight", "bias"):
        both = [f"{AGGREGATOR}.class_norm.{kind}", f"{CLIP}.post_layernorm.{kind}"]
        yield Entry(f"{VISUAL}.ln_post.{kind}", both, TWICE)
    yield from pair(f"{VISUAL}.ln_post_cls", f"{AGGREGATOR}.query_norm")
    yield from pair(f"{VISUAL}.transformer.taggblocks.ln_1", f"{AGGREGATOR}.cross_frame_norm")
    yield Entry(f"{VISUAL}.transformer.query", [f"{AGGREGATOR}.query"], QUERY)
    yield Entry(f"{VISUAL}.transformer.temporal_ada_weight", [f"{AGGREGATOR}.cross_frame_gate"], SCALAR)
    yield Entry(f"{VISUAL}.ada_weight", [f"{AGGREGATOR}.mix_weights"], SAME)
    yield Entry(f"{VISUAL}.proj", [f"{AGGREGATOR}.projection.weight"], TRANSPOSED)
    for layer in range(config.vision.num_hidden_layers):
        yield from layer_entries(f"{VISUAL}.transformer.resblocks.{layer}", f"{CLIP}.encoder.layers.{layer}")
        yield from aggregation_entries(f"{VISUAL}.transformer.aggblocks.{layer}", f"{AGGREGATOR}.blocks.{layer}")
    yield from head_entries(config, released_names)


def pair(released: str, ours: str) -> Iterator[Entry]:
    """List a module's weight and bias."""
    for kind in ("weight", "bias"):
        yield Entry(f"{released}.{kind}", [f"{ours}.{kind}"], SAME)


def layer_entries(released: str, ours: str) -> Iterator[Entry]:
    """List a layer of CLIP with its adapters and prefixes."""
    frozen = f"{ours}.base_layer"
    for kind in ("weight", "bias"):
        projections = [f"{frozen}.self_attn.{name}_proj.{kind}" for name in ("q", "k", "v")]
        yield Entry(f"{released}.attn.in_proj_{kind}", projections, THREE_IN_ONE)
    yield from pair(f"{released}.attn.out_proj", f"{frozen}.self_attn.out_proj")
    yield from pair(f"{released}.ln_1", f"{frozen}.layer_norm1")
    yield from pair(f"{released}.ln_2", f"{frozen}.layer_norm2")
    yield from pair(f"{released}.mlp.c_fc", f"{frozen}.mlp.fc1")
    yield from pair(f"{released}.mlp.c_proj", f"{frozen}.mlp.fc2")
    for their_name, our_name in (("S_Adapter", "attention"), ("MLP_Adapter", "mlp")):
        adapter = f"{ours}.adaptsign_{our_name}_adapter.default"
        yield from pair(f"{released}.{their_name}.mlp.c_in", f"{adapter}.down_proj")
        yield from pair(f"{released}.{their_name}.mlp.c_out", f"{adapter}.up_proj")
    yield Entry(f"{released}.prefix_embedding_k", [f"{ours}.adaptsign_prefix_keys.default"], PREFIX)
    yield Entry(f"{released}.prefix_embedding_v", [f"{ours}.adaptsign_prefix_values.default"], PREFIX)


def aggregation_entries(released: str, ours: str) -> Iterator[Entry]:
    """List an aggregation block."""
    weights = [f"{ours}.{name}_proj.weight" for name in ("q", "k", "v")]
    yield Entry(f"{released}.attn.in_proj_weight", weights, THREE_IN_ONE)
    yield Entry(f"{released}.attn.in_proj_bias", [f"{ours}.q_proj.bias", f"{ours}.v_proj.bias"], TWO_OF_THREE)
    yield from pair(f"{released}.attn.out_proj", f"{ours}.out_proj")
    yield from pair(f"{released}.ln_1", f"{ours}.layer_norm1")
    yield from pair(f"{released}.ln_2", f"{ours}.layer_norm2")
    yield from pair(f"{released}.mlp.c_fc", f"{ours}.fc1")
    yield from pair(f"{released}.mlp.c_proj", f"{ours}.fc2")


def head_entries(config: AdaptSignConfig, released_names: set[str]) -> Iterator[Entry]:
    """List the convolutions, the BiLSTM and the classifiers."""
    for block, position in enumerate((0, 4)):  # convolution, BatchNorm, ReLU, pool, and again
        yield from pair(f"conv1d.temporal_conv.{position}", f"convolutions.blocks.{block}.conv")
        for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            statistics = [f"convolutions.blocks.{block}.batch_norm.{kind}"]
            yield Entry(f"conv1d.temporal_conv.{position + 1}.{kind}", statistics, SAME)
    for layer in range(config.num_lstm_layers):
        for direction in ("", "_reverse"):
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                name = f"{kind}_l{layer}{direction}"
                yield Entry(f"temporal_model.rnn.{name}", [f"bilstm.lstm.{name}"], SAME)
    weight_form = TRANSPOSED if config.normalize_classifier else SAME
    classifiers = {"classifier": "classifier"}
    if not config.share_classifier:
        classifiers["conv1d.fc"] = "conv_classifier"
    elif "conv1d.fc.weight" in released_names:  # the same tensor by its second name
        classifiers["conv1d.fc"] = "classifier"
    for released, ours in classifiers.items():
        yield Entry(f"{released}.weight", [f"{ours}.weight"], weight_form)
        if not config.normalize_classifier:
            yield Entry(f"{released}.bias", [f"{ours}.bias"], SAME)


def read_config(state: dict[str, torch.Tensor]) -> AdaptSignConfig:
    """
    Read the sizes of a released network off its tensors.

    Args:
        state: Tensors by their released names.

    Raises:
        ValueError: If a tensor that tells a size is missing or misshapen, or the sizes fit no network of ours.
    """

    def shape(name: str, num_dimensions: int) -> tuple[int, ...]:
        if name not in state:
            raise ValueError(f"the tensor {name} is missing.")
        found = tuple(state[name].shape)
        if len(found) != num_dimensions:
            raise ValueError(f"the tensor {name} has shape {found}: {num_dimensions} dimensions were expected.")
        return found

    layer = f"{VISUAL}.transformer.resblocks.0"
    width, _, patch_size, _ = shape(f"{VISUAL}.conv1.weight", 4)
    num_tokens, _ = shape(f"{VISUAL}.positional_embedding", 2)
    if isqrt(num_tokens - 1) ** 2 != num_tokens - 1:
        raise ValueError(
            f"the tensor {VISUAL}.positional_embedding has {num_tokens} rows: one more than a square of patches was "
            "expected."
        )
    if width % HEAD_WIDTH:
        raise ValueError(f"the width of CLIP is {width}, which heads of {HEAD_WIDTH} do not fill.")
    bottleneck, _ = shape(f"{layer}.S_Adapter.mlp.c_in.weight", 2)
    if not 0 < bottleneck <= width or width // (width // bottleneck) != bottleneck:
        raise ValueError(f"the adapters' bottleneck is {bottleneck}, which is no fraction of the width {width}.")
    hidden_size, _, _ = shape("conv1d.temporal_conv.4.weight", 3)
    vision_config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=shape(f"{layer}.mlp.c_fc.weight", 2)[0],
        projection_dim=shape(f"{VISUAL}.proj", 2)[1],
        num_hidden_layers=count(state, f"{VISUAL}.transformer.resblocks."),
        num_attention_heads=width // HEAD_WIDTH,
        patch_size=patch_size,
        image_size=patch_size * isqrt(num_tokens - 1),
    )
    normalized = "classifier.bias" not in state
    return AdaptSignConfig(
        vision_config=vision_config,
        vocab_size=shape("classifier.weight", 2)[1 if normalized else 0],
        adapter_reduction=width // bottleneck,
        num_prefix_tokens=shape(f"{layer}.prefix_embedding_k", 3)[0],
        hidden_size=hidden_size,
        num_lstm_layers=count(state, "temporal_model.rnn.weight_ih_l"),
        normalize_classifier=normalized,
        share_classifier=shares_classifier(state),
    )


def count(state: dict[str, torch.Tensor], prefix: str) -> int:
    """Return one more than the greatest number that follows `prefix` in a name."""
    numbers = [name.removeprefix(prefix).partition(".")[0] for name in state if name.startswith(prefix)]
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)


def shares_classifier(state: dict[str, torch.Tensor]) -> bool:
    """Return whether both outputs have one classifier: the second is absent, or a copy of the first."""
    return all(
        f"conv1d.fc.{kind}" not in state
        or (f"classifier.{kind}" in state and torch.equal(state[f"conv1d.fc.{kind}"], state[f"classifier.{kind}"]))
        for kind in ("weight", "bias")
    )
