"""The network that AdaptSign's authors released, written plainly on its own tensors; and random checkpoints of it."""

import json
import random
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from adaptsign_hf.hub.released_names import entries
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC

VISUAL = "conv2d.visual"
HEAD = 64


@dataclass(frozen=True)
class Sizes:
    """Sizes of a network; each differs from the others, so that none can stand in for another."""

    width: int = 64
    mlp: int = 80
    layers: int = 2
    patch: int = 16
    image: int = 32
    features: int = 20
    hidden: int = 24
    classes: int = 7
    prefixes: int = 3
    reduction: int = 4
    lstm_layers: int = 2
    normalized: bool = True
    shared: bool = True
    both_names: bool = True  # of a shared classifier


def random_tensors(sizes: Sizes, seed: int = 0) -> dict[str, torch.Tensor]:
    """
    Draw the tensors of a released network; all of them matter, biases and gates too.

    From even distributions, which a generator gives bit for bit on every machine.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}

    def draw(name: str, *shape: int, mean: float = 0.0, spread: float = 1.0) -> None:
        tensors[name] = mean + spread * (2 * torch.rand(*shape, generator=generator) - 1)

    def linear(name: str, outputs: int, inputs: int) -> None:
        draw(f"{name}.weight", outputs, inputs, spread=(2 / inputs) ** 0.5)
        draw(f"{name}.bias", outputs, spread=0.2)

    def norm(name: str, size: int) -> None:
        draw(f"{name}.weight", size, mean=1.0, spread=0.4)
        draw(f"{name}.bias", size, spread=0.2)

    def attention(name: str) -> None:
        draw(f"{name}.in_proj_weight", 3 * width, width, spread=(2 / width) ** 0.5)
        draw(f"{name}.in_proj_bias", 3 * width, spread=0.2)
        linear(f"{name}.out_proj", width, width)

    width = sizes.width
    draw(f"{VISUAL}.class_embedding", width)
    draw(f"{VISUAL}.positional_embedding", (sizes.image // sizes.patch) ** 2 + 1, width)
    draw(f"{VISUAL}.proj", width, sizes.features, spread=width**-0.5)
    draw(f"{VISUAL}.ada_weight", 2, mean=0.6, spread=0.3)
    draw(f"{VISUAL}.conv1.weight", width, 3, sizes.patch, sizes.patch, spread=1 / sizes.patch)
    norm(f"{VISUAL}.ln_pre", width)
    draw(f"{VISUAL}.transformer.query", 1, 1, width)
    draw(f"{VISUAL}.transformer.temporal_ada_weight", 1, mean=0.7, spread=0.1)
    for layer in range(sizes.layers):
        block = f"{VISUAL}.transformer.resblocks.{layer}"
        draw(f"{block}.prefix_embedding_k", sizes.prefixes, 1, width, spread=2.0)
        draw(f"{block}.prefix_embedding_v", sizes.prefixes, 1, width, spread=2.0)
        attention(f"{block}.attn")
        norm(f"{block}.ln_1", width)
        linear(f"{block}.mlp.c_fc", sizes.mlp, width)
        linear(f"{block}.mlp.c_proj", width, sizes.mlp)
        norm(f"{block}.ln_2", width)
        for adapter in ("S_Adapter", "MLP_Adapter"):
            linear(f"{block}.{adapter}.mlp.c_in", width // sizes.reduction, width)
            linear(f"{block}.{adapter}.mlp.c_out", width, width // sizes.reduction)
    for layer in range(sizes.layers):
        block = f"{VISUAL}.transformer.aggblocks.{layer}"
        attention(f"{block}.attn")
        norm(f"{block}.ln_1", width)
        linear(f"{block}.mlp.c_fc", width, width)
        linear(f"{block}.mlp.c_proj", width, width)
        norm(f"{block}.ln_2", width)
    norm(f"{VISUAL}.transformer.taggblocks.ln_1", width)
    norm(f"{VISUAL}.ln_post", width)
    norm(f"{VISUAL}.ln_post_cls", width)
    for position, channels in ((0, sizes.features), (4, sizes.hidden)):
        draw(f"conv1d.temporal_conv.{position}.weight", sizes.hidden, channels, 5, spread=(0.6 / channels) ** 0.5)
        draw(f"conv1d.temporal_conv.{position}.bias", sizes.hidden, spread=0.2)
        batch_norm = f"conv1d.temporal_conv.{position + 1}"
        norm(batch_norm, sizes.hidden)
        draw(f"{batch_norm}.running_mean", sizes.hidden, spread=0.2)
        draw(f"{batch_norm}.running_var", sizes.hidden, mean=1.0, spread=0.5)
        tensors[f"{batch_norm}.num_batches_tracked"] = torch.tensor(12 + position)
    half = sizes.hidden // 2
    for layer in range(sizes.lstm_layers):
        for direction in ("", "_reverse"):
            for kind, inputs in (("ih", sizes.hidden), ("hh", half)):
                weight, bias = (f"temporal_model.rnn.{part}_{kind}_l{layer}{direction}" for part in ("weight", "bias"))
                draw(weight, 4 * half, inputs, spread=2 * inputs**-0.5)
                draw(bias, 4 * half, spread=0.2)
    for name in ("classifier",) if sizes.shared else ("classifier", "conv1d.fc"):
        if sizes.normalized:
            draw(f"{name}.weight", sizes.hidden, sizes.classes)
        else:
            linear(name, sizes.classes, sizes.hidden)
    if sizes.shared and sizes.both_names:
        tensors |= {
            f"conv1d.fc.{kind}": tensors[f"classifier.{kind}"] for kind in ("weight", "bias")[: 2 - sizes.normalized]
        }
    return tensors


def random_clips(sizes: Sizes, lengths: list[int], seed: int = 0) -> list[torch.Tensor]:
    """Draw the normalised pixels of clips, each (frames, 3, height, width)."""
    generator = torch.Generator().manual_seed(seed)
    return [2 * torch.rand(length, 3, sizes.image, sizes.image, generator=generator) - 1 for length in lengths]


def write_checkpoint(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """Write all that a released checkpoint holds: the network, and where training stood."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=1e-4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [20, 30], gamma=0.2)
    weight.grad = torch.ones(3)
    optimizer.step()
    scheduler.step()
    random_state = {
        "torch": torch.Generator().manual_seed(1).get_state(),
        "cuda": [],
        "numpy": np.random.RandomState(1).get_state(),
        "random": random.Random(1).getstate(),
    }
    content = {
        "epoch": 39,
        "model_state_dict": OrderedDict(tensors),
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": scheduler.state_dict(),
        "rng_state": random_state,
    }
    torch.save(content, path)
    return path


def glosses_of(sizes: Sizes) -> list[str]:
    """Return as many glosses as the network knows."""
    return [f"GLOSS-{number}" for number in range(1, sizes.classes)]


def write_release(folder: Path, sizes: Sizes, tensors: dict[str, torch.Tensor] | None = None) -> tuple[Path, Path]:
    """Write a checkpoint, by default of random tensors, and its glosses; return both paths."""
    glosses = folder / "glosses.txt"
    glosses.write_text("\n".join(glosses_of(sizes)))
    return write_checkpoint(folder / "model.pt", tensors or random_tensors(sizes)), glosses


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * (1.702 * x).sigmoid()


class NaiveNetwork:
    """
    §1 of the architecture, clip by clip in float64; every frame of a padded clip goes through CLIP.

    Args:
        tensors: By their released names.
    """

    def __init__(self, tensors: dict[str, torch.Tensor]):
        self.tensors = {name: tensor.double().requires_grad_() for name, tensor in tensors.items()}
        for kind in ("weight", "bias"):
            second, first = f"conv1d.fc.{kind}", f"classifier.{kind}"
            if second in tensors and torch.equal(tensors[second], tensors[first]):
                self.tensors[second] = self.tensors[first]  # one tensor of two names gets the gradients of both

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], 1e-5)

    def mlp(self, x: torch.Tensor, first: str, second: str) -> torch.Tensor:
        return self.linear(quick_gelu(self.linear(x, first)), second)

    def attention(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, name: str) -> torch.Tensor:
        weights = self.tensors[f"{name}.in_proj_weight"].chunk(3)
        biases = self.tensors[f"{name}.in_proj_bias"].chunk(3)
        q, k, v = map(F.linear, (queries, keys, values), weights, biases)
        heads = zip(q.split(HEAD, -1), k.split(HEAD, -1), v.split(HEAD, -1), strict=True)
        return self.linear(
            torch.cat([(a @ b.mT / HEAD**0.5).softmax(-1) @ c for a, b, c in heads], -1), f"{name}.out_proj"
        )

    def frame_features(self, clip: torch.Tensor) -> torch.Tensor:
        """Return the features (padded frames, feature size) of a clip (frames, 3, height, width)."""
        tensors, transformer = self.tensors, f"{VISUAL}.transformer"
        total = (len(clip) + 3) // 4 * 4 + 12
        frames = torch.stack([clip[min(max(t - 6, 0), len(clip) - 1)] for t in range(total)]).double()
        kernel = tensors[f"{VISUAL}.conv1.weight"]
        patches = F.conv2d(frames, kernel, stride=kernel.shape[-1]).flatten(2).mT
        width = patches.shape[-1]
        x = torch.cat([tensors[f"{VISUAL}.class_embedding"].expand(total, 1, -1), patches], dim=1)
        x = self.norm(x + tensors[f"{VISUAL}.positional_embedding"], f"{VISUAL}.ln_pre")
        query = tensors[f"{transformer}.query"].expand(total, 1, -1)
        for layer in range(sum(name.endswith("prefix_embedding_k") for name in tensors)):
            block = f"{transformer}.resblocks.{layer}"
            y = self.norm(x, f"{block}.ln_1")
            prefixes = [tensors[f"{block}.prefix_embedding_{kind}"][:, 0].expand(total, -1, -1) for kind in "kv"]
            keys, values = (torch.cat([y, prefix], dim=1) for prefix in prefixes)
            adapted = self.mlp(x, f"{block}.S_Adapter.mlp.c_in", f"{block}.S_Adapter.mlp.c_out")
            x = x + self.attention(y, keys, values, f"{block}.attn") + adapted
            adapted = self.mlp(x, f"{block}.MLP_Adapter.mlp.c_in", f"{block}.MLP_Adapter.mlp.c_out")
            x = x + self.mlp(self.norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc", f"{block}.mlp.c_proj") + adapted

            block = f"{transformer}.aggblocks.{layer}"
            y = self.norm(x, f"{block}.ln_1")
            query = query + self.attention(self.norm(query, f"{block}.ln_1"), y, y, f"{block}.attn")
            query = query + self.mlp(self.norm(query, f"{block}.ln_2"), f"{block}.mlp.c_fc", f"{block}.mlp.c_proj")

        y = self.norm(x, f"{transformer}.taggblocks.ln_1")
        received = []
        for t in range(total):
            near = y[max(t - 2, 0) : t + 3, 1:].flatten(0, 1)
            received.append(((near @ y[t, 0] / width**0.5).sigmoid() - 0.5) @ near)
        class_token = x[:, 0] + tensors[f"{transformer}.temporal_ada_weight"] * torch.stack(received)
        first, second = tensors[f"{VISUAL}.ada_weight"]
        mixed = first * self.norm(class_token, f"{VISUAL}.ln_post")
        mixed = mixed + second * self.norm(query[:, 0], f"{VISUAL}.ln_post_cls")
        return mixed @ tensors[f"{VISUAL}.proj"]

    def convolve(self, clips: list[torch.Tensor], training: bool) -> list[torch.Tensor]:
        """Shorten the features of clips to steps; in training, BatchNorm takes its statistics from all of them."""
        for position in (0, 4):
            conv, batch_norm = (f"conv1d.temporal_conv.{position + offset}" for offset in (0, 1))
            kernel, bias = self.tensors[f"{conv}.weight"], self.tensors[f"{conv}.bias"]
            clips = [F.conv1d(clip.T, kernel, bias).T for clip in clips]
            mean, var = (self.tensors[f"{batch_norm}.running_{kind}"] for kind in ("mean", "var"))
            if training:
                mean, var = torch.cat(clips).mean(dim=0), torch.cat(clips).var(dim=0, unbiased=False)
            scale, shift = self.tensors[f"{batch_norm}.weight"], self.tensors[f"{batch_norm}.bias"]
            clips = [((clip - mean) / (var + 1e-5).sqrt() * scale + shift).relu() for clip in clips]
            clips = [F.max_pool1d(clip.T, 2).T for clip in clips]
        return clips

    def bilstm(self, steps: torch.Tensor) -> torch.Tensor:
        """Read the steps (steps, hidden size) of one clip."""
        for layer in range(sum(name.startswith("temporal_model.rnn.weight_ih") for name in self.tensors) // 2):
            outputs = []
            for direction in ("", "_reverse"):
                w_in, w_own, b_in, b_own = (
                    self.tensors[f"temporal_model.rnn.{kind}_l{layer}{direction}"]
                    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                )
                state = cell = torch.zeros_like(w_own[0])
                states = []
                for step in steps.flip(0) if direction else steps:
                    i, f, g, o = (w_in @ step + b_in + w_own @ state + b_own).chunk(4)
                    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
                    state = o.sigmoid() * cell.tanh()
                    states.append(state)
                outputs.append(torch.stack(states[::-1] if direction else states))
            steps = torch.cat(outputs, dim=1)
        return steps

    def classify(self, steps: torch.Tensor, name: str) -> torch.Tensor:
        name = name if f"{name}.weight" in self.tensors else "classifier"
        if f"{name}.bias" in self.tensors:
            return self.linear(steps, name)
        weight = self.tensors[f"{name}.weight"]
        return steps @ (weight / weight.square().sum(dim=0).sqrt())

    def logits(self, clips: list[torch.Tensor], training: bool = False) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the BiLSTM's and the convolutions' logits of each clip, both (steps, classes)."""
        steps = self.convolve([self.frame_features(clip) for clip in clips], training)
        return [(self.classify(self.bilstm(clip), "classifier"), self.classify(clip, "conv1d.fc")) for clip in steps]

    def train_step(
        self, clips: list[torch.Tensor], labels: list[list[int]]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return the weighted terms of the loss, and the norm of its gradient for each tensor that has one."""
        logits = self.logits(clips, training=True)
        terms = {}
        for kind, outputs in zip(("SeqCTC", "ConvCTC"), zip(*logits, strict=True), strict=True):
            losses = [
                F.ctc_loss(
                    output.log_softmax(-1)[:, None], torch.tensor([row]), [len(output)], [len(row)], reduction="sum"
                )
                for output, row in zip(outputs, labels, strict=True)
            ]
            terms[kind] = sum(losses) / len(losses)
        teacher, student = ((torch.cat(rows)[:, 1:] / 8).softmax(-1) for rows in zip(*logits, strict=True))
        teacher = teacher.detach()
        terms["Dist"] = 25 * 64 * (teacher * (teacher / student).log()).sum(-1).mean()
        sum(terms.values()).backward()
        norms = {name: t.grad.norm().item() for name, t in self.tensors.items() if t.grad is not None}
        return {kind: term.item() for kind, term in terms.items()}, norms


def converted_train_step(
    model: AdaptSignForCTC, clips: list[torch.Tensor], labels: list[list[int]], released_names: set[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return what `NaiveNetwork.train_step` returns, of a converted model, by the released names of what it trains."""
    model.train()
    model.bilstm.lstm.dropout = 0.0
    output = model(
        torch.nn.utils.rnn.pad_sequence(clips, batch_first=True),
        torch.nn.utils.rnn.pad_sequence([torch.ones(len(clip)) for clip in clips], batch_first=True),
        labels=torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, labels)), batch_first=True, padding_value=-100),
    )
    model.zero_grad()
    output.loss.backward()
    terms = {"SeqCTC": output.sequence_loss, "ConvCTC": output.conv_loss, "Dist": 25 * output.distillation_loss}
    torch.testing.assert_close(sum(terms.values()), output.loss)
    squares = {name: p.grad.double().square().sum() for name, p in model.named_parameters() if p.grad is not None}
    norms = {
        entry.released: sum(squares[name] for name in entry.ours if name in squares) ** 0.5
        for entry in entries(model.config, released_names)
        if squares.keys() & set(entry.ours)
    }
    return {kind: term.item() for kind, term in terms.items()}, {name: float(norm) for name, norm in norms.items()}


# Numbers of one network, which lie in released_network.json: neither the naive one nor ours drifts unseen.
FIXED = Sizes()
FIXED_LENGTHS, FIXED_LABELS = [9, 6], [[1, 2], [3]]
FIXED_NUMBERS = Path(__file__).with_suffix(".json")
FIXED_GRADIENTS = (
    f"{VISUAL}.transformer.resblocks.0.prefix_embedding_k",
    f"{VISUAL}.transformer.resblocks.0.S_Adapter.mlp.c_in.weight",
    f"{VISUAL}.transformer.resblocks.1.MLP_Adapter.mlp.c_out.bias",
    f"{VISUAL}.transformer.aggblocks.1.attn.in_proj_weight",
    f"{VISUAL}.transformer.query",
    f"{VISUAL}.transformer.temporal_ada_weight",
    f"{VISUAL}.ada_weight",
    f"{VISUAL}.proj",
    "conv1d.temporal_conv.4.weight",
    "temporal_model.rnn.weight_hh_l1_reverse",
    "classifier.weight",
)


def fixed_numbers() -> dict:
    """Compute features and logits of each clip alone, and a training step with both, by the naive network."""
    network, clips = NaiveNetwork(random_tensors(FIXED)), random_clips(FIXED, FIXED_LENGTHS)
    with torch.no_grad():
        both = [network.logits([clip])[0] for clip in clips]
        features = network.frame_features(clips[1])
    losses, norms = network.train_step(clips, FIXED_LABELS)
    return {
        "frame_features": features.tolist(),
        "logits": [logits.tolist() for logits, _ in both],
        "conv_logits": [conv_logits.tolist() for _, conv_logits in both],
        "losses": losses,
        "gradient_norms": {name: norms[name] for name in FIXED_GRADIENTS},
    }


if __name__ == "__main__":
    rounded = json.loads(json.dumps(fixed_numbers()), parse_float=lambda text: round(float(text), 10))
    FIXED_NUMBERS.write_text(json.dumps(rounded) + "\n", encoding="utf-8")
