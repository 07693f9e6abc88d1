"""The whole model against a naive one, which passes every frame of the padded clip through CLIP."""

import math

import pytest
import torch
import torch.nn.functional as F


def clips_of(lengths: list[int], seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, 3, 32, 32, generator=generator) for length in lengths]


# The naive model: every frame of the padded clip goes through CLIP, tensor names are those of the state dict.


def naive_model(weights: dict[str, torch.Tensor], clip: torch.Tensor, lstm: torch.nn.LSTM, heads: int = 2):
    """Features of a padded clip, then the BiLSTM's and the convolutions' logits (§1 of the architecture)."""

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)

    def quick_gelu(x: torch.Tensor) -> torch.Tensor:
        return x * (1.702 * x).sigmoid()

    def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        outputs = []
        for a, b, c in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
            outputs.append((a @ b.transpose(-1, -2) * a.shape[-1] ** -0.5).softmax(-1) @ c)
        return torch.cat(outputs, -1)

    def adapter(x: torch.Tensor, name: str) -> torch.Tensor:
        return linear(quick_gelu(linear(x, f"{name}.default.down_proj")), f"{name}.default.up_proj")

    vision, aggregator = "model.vision_model", "model.aggregator"
    total = 4 * math.ceil(len(clip) / 4) + 12
    frames = torch.stack([clip[min(max(t - 6, 0), len(clip) - 1)] for t in range(total)])

    patches = F.conv2d(frames, weights[f"{vision}.embeddings.patch_embedding.weight"], stride=16).flatten(2).mT
    cls = weights[f"{vision}.embeddings.class_embedding"].expand(total, 1, -1)
    x = torch.cat([cls, patches], dim=1) + weights[f"{vision}.embeddings.position_embedding.weight"]
    x = norm(x, f"{vision}.pre_layrnorm")
    query = weights[f"{aggregator}.query"].expand(total, 1, -1)
    for index in range(2):
        layer = f"{vision}.encoder.layers.{index}"
        frozen, block = f"{layer}.base_layer", f"{aggregator}.blocks.{index}"
        y = norm(x, f"{frozen}.layer_norm1")
        keys = torch.cat([y, weights[f"{layer}.adaptsign_prefix_keys.default"].expand(total, -1, -1)], dim=1)
        values = torch.cat([y, weights[f"{layer}.adaptsign_prefix_values.default"].expand(total, -1, -1)], dim=1)
        q, k, v = (linear(z, f"{frozen}.self_attn.{n}_proj") for z, n in ((y, "q"), (keys, "k"), (values, "v")))
        attended = linear(attention(q, k, v), f"{frozen}.self_attn.out_proj")
        x = x + attended + adapter(x, f"{layer}.adaptsign_attention_adapter")
        mlp = linear(quick_gelu(linear(norm(x, f"{frozen}.layer_norm2"), f"{frozen}.mlp.fc1")), f"{frozen}.mlp.fc2")
        x = x + mlp + adapter(x, f"{layer}.adaptsign_mlp_adapter")

        y, z = norm(query, f"{block}.layer_norm1"), norm(x, f"{block}.layer_norm1")
        q, k, v = linear(y, f"{block}.q_proj"), linear(z, f"{block}.k_proj"), linear(z, f"{block}.v_proj")
        query = query + linear(attention(q, k, v), f"{block}.out_proj")
        query = query + linear(quick_gelu(linear(norm(query, f"{block}.layer_norm2"), f"{block}.fc1")), f"{block}.fc2")

    y = norm(x, f"{aggregator}.cross_frame_norm")
    neighbours = F.pad(y[:, 1:], (0, 0, 0, 0, 2, 2)).unfold(0, 5, 1)  # (padded frames, patches, width, window)
    near = neighbours.permute(0, 3, 1, 2).flatten(1, 2)
    moved = torch.einsum("tp,tpd->td", (near @ y[:, 0, :, None])[..., 0].div(48**0.5).sigmoid() - 0.5, near)
    first, second = weights[f"{aggregator}.mix_weights"]
    mixed = first * norm(x[:, 0] + weights[f"{aggregator}.cross_frame_gate"] * moved, f"{aggregator}.class_norm")
    mixed = mixed + second * norm(query[:, 0], f"{aggregator}.query_norm")
    features = linear(mixed, f"{aggregator}.projection")

    hidden = features.T
    for index in range(2):
        block = f"convolutions.blocks.{index}"
        hidden = F.conv1d(hidden, weights[f"{block}.conv.weight"], weights[f"{block}.conv.bias"])
        mean, var, scale, shift = (
            weights[f"{block}.batch_norm.{name}"][:, None]
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        hidden = F.max_pool1d(((hidden - mean) / (var + 1e-5).sqrt() * scale + shift).relu()[None], 2)[0]
    classes = weights["classifier.weight"]
    classes = classes / classes.square().sum(dim=1, keepdim=True).sqrt()
    return features, lstm(hidden.T)[0] @ classes.T, hidden.T @ classes.T


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 9])
@torch.no_grad()
def test_model_equals_the_naive_one(tiny_model, length):
    (clip,) = clips_of([length])
    features, logits, conv_logits = naive_model(tiny_model.state_dict(), clip, tiny_model.bilstm.lstm)
    seen = tiny_model.model(clip[None])
    torch.testing.assert_close(seen.padded_hidden_state[0], features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(seen.last_hidden_state[0], features[6 : 6 + length], atol=1e-5, rtol=1e-5)
    output = tiny_model(clip[None])
    torch.testing.assert_close(output.logits[0], logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.conv_logits[0], conv_logits, atol=1e-5, rtol=1e-5)
    assert output.logit_lengths.tolist() == [math.ceil(length / 4)]
