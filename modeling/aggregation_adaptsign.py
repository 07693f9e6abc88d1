"""From CLIP's tokens to one feature a frame: multi-scale aggregation and cross-frame attention."""

import torch
from torch import nn
from transformers.activations import ACT2FN


class AggregationBlock(nn.Module):
    """
    One visit of the query token to the output of one CLIP layer (paper: "Multiscale Aggregation").

    `q ← q + Attn(LN(q); LN(x))`, `q ← q + MLP(LN'(q))`; one normalisation serves the query and the tokens.
    """

    def __init__(self, width: int, num_heads: int, layer_norm_eps: float):
        super().__init__()
        self.num_heads = num_heads
        self.layer_norm1 = nn.LayerNorm(width, eps=layer_norm_eps)
        self.q_proj = nn.Linear(width, width)
        # No bias for the keys: it adds the same number to every score, which the softmax takes out again.
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.layer_norm2 = nn.LayerNorm(width, eps=layer_norm_eps)
        self.fc1 = nn.Linear(width, width)
        self.activation = ACT2FN["quick_gelu"]
        self.fc2 = nn.Linear(width, width)

    def forward(self, query: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
        """
        Move the query on by one layer.

        Args:
            query: (frames, width).
            hidden_states: Output of the CLIP layer, (frames, tokens, width).

        Returns:
            The new query, (frames, width).
        """
        query = query + self.attend(self.layer_norm1(query), self.layer_norm1(hidden_states))
        return query + self.fc2(self.activation(self.fc1(self.layer_norm2(query))))

    def attend(self, query: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """
        Multi-head attention from one query to all tokens of its frame.

        A single query needs neither keys nor values of the tokens: `q·(W_k x) = (W_kᵀ q)·x` and
        `Σ a_i W_v x_i = W_v Σ a_i x_i`, per head. This turns two projections of every token into two of one vector.

        Args:
            query: (frames, width), normalised.
            tokens: (frames, tokens, width), normalised.

        Returns:
            (frames, width).
        """
        frames, width = query.shape
        value_weight = self.v_proj.weight.view(self.num_heads, width // self.num_heads, width)
        averages = self.attention_weights(query, tokens).to(tokens.dtype) @ tokens
        values = torch.einsum("fhw,hdw->fhd", averages, value_weight).reshape(frames, width) + self.v_proj.bias
        return self.out_proj(values)

    def attention_weights(self, query: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """
        How much each head takes of each token.

        Args:
            query: (frames, width), normalised.
            tokens: (frames, tokens, width), normalised.

        Returns:
            float32 (frames, heads, tokens), sums to 1 over the tokens.
        """
        frames, width = query.shape
        head_dim = width // self.num_heads
        heads = (self.num_heads, head_dim)
        queries = self.q_proj(query).view(frames, *heads) * head_dim**-0.5
        folded_queries = torch.einsum("fhd,hdw->fhw", queries, self.k_proj.weight.view(*heads, width))
        scores = folded_queries @ tokens.transpose(1, 2)
        return scores.softmax(dim=-1, dtype=torch.float32)


def cross_frame_affinities(class_tokens: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
    """
    How much class tokens take of patches in cross-frame attention: `sigmoid(c·p / √D) - ½`.

    Args:
        class_tokens: (frames, class tokens, width), normalised.
        patches: (frames, patches, width), normalised.

    Returns:
        (frames, class tokens, patches), between -½ and ½: unlike a softmax, it can also take away.
    """
    scores = class_tokens @ patches.transpose(1, 2) * patches.shape[-1] ** -0.5
    return scores.sigmoid() - 0.5


class CrossFrameProducts:
    """
    The products of cross-frame attention, from frames that arrive in chunks (paper: "Cross-frame Attention").

    For a frame `s` and the frame `s + j` near it, the product is `Σ_p (sigmoid(c_{s+j}·p / √D) - ½)·p` over the
    patches `p` of `s`: what frame `s` contributes to frame `s + j`. Each frame's patches are read once. The patches
    of the last `radius` frames wait here until the class tokens that follow them are known.
    """

    def __init__(self, radius: int):
        self.radius = radius
        self._class_tokens: torch.Tensor | None = None
        self._patches: torch.Tensor | None = None

    def push(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """
        Take the next frames and return the products that have become complete.

        Args:
            hidden_states: (frames, 1 + patches, width), normalised, the class token first.

        Returns:
            (complete frames, 2·radius + 1, width); index `j + radius` is the contribution to the frame `j` later.
        """
        class_tokens, patches = hidden_states[:, 0], hidden_states[:, 1:]
        if self._class_tokens is None or self._patches is None:
            class_tokens = torch.cat([class_tokens.new_zeros(self.radius, class_tokens.shape[1]), class_tokens])
        else:
            class_tokens = torch.cat([self._class_tokens, class_tokens])
            patches = torch.cat([self._patches, patches])
        return self._complete(class_tokens, patches)

    def finish(self) -> torch.Tensor:
        """Return the products of the frames still waiting: nothing follows them."""
        assert self._class_tokens is not None
        assert self._patches is not None
        following = self._class_tokens.new_zeros(self.radius, self._class_tokens.shape[1])
        return self._complete(torch.cat([self._class_tokens, following]), self._patches)

    def _complete(self, class_tokens: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        num_complete = max(len(class_tokens) - 2 * self.radius, 0)
        self._class_tokens = class_tokens[num_complete:]
        self._patches = patches[num_complete:]
        width = patches.shape[-1]
        if num_complete == 0:
            return patches.new_zeros(0, 2 * self.radius + 1, width)
        patches = patches[:num_complete]
        windows = class_tokens.unfold(0, 2 * self.radius + 1, 1).transpose(1, 2)  # (frames, window, width)
        return cross_frame_affinities(windows, patches) @ patches


class AdaptSignAggregator(nn.Module):
    """
    The trained modules that turn the layers of CLIP into one feature a frame.

    Args:
        width: Width of CLIP's tokens.
        num_layers: Number of CLIP's layers; each has a block of its own.
        num_heads: Attention heads of each block.
        feature_size: Size of a frame's feature.
        cross_frame_radius: Neighbouring frames on each side.
        layer_norm_eps: Of every normalisation here.
    """

    def __init__(
        self,
        width: int,
        num_layers: int,
        num_heads: int,
        feature_size: int,
        cross_frame_radius: int,
        layer_norm_eps: float = 1e-5,
    ):
        super().__init__()
        self.radius = cross_frame_radius
        self.query = nn.Parameter(torch.empty(width))
        self.blocks = nn.ModuleList(AggregationBlock(width, num_heads, layer_norm_eps) for _ in range(num_layers))
        self.cross_frame_norm = nn.LayerNorm(width, eps=layer_norm_eps)
        self.cross_frame_gate = nn.Parameter(torch.empty(()))
        self.class_norm = nn.LayerNorm(width, eps=layer_norm_eps)
        self.query_norm = nn.LayerNorm(width, eps=layer_norm_eps)
        self.mix_weights = nn.Parameter(torch.empty(2))
        self.projection = nn.Linear(width, feature_size, bias=False)

    def initial_query(self, num_frames: int) -> torch.Tensor:
        """The query token before its first visit, (frames, width): one for the whole model."""
        return self.query.expand(num_frames, -1)

    def gather_neighbours(self, products: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        """
        Sum over its neighbours what each frame of a padded clip receives.

        Padding frames are copies, so products between true frames are all there is to gather.

        Args:
            products: (true frames, 2·radius + 1, width), from `CrossFrameProducts`.
            sources: (clips, padded frames), the true frame behind each padded one; -1 outside a clip.

        Returns:
            (clips, padded frames, width).
        """
        radius, length = self.radius, sources.shape[1]
        surrounded = nn.functional.pad(sources, (radius, radius), value=-1)
        gathered = products.new_zeros(*sources.shape, products.shape[-1])
        for shift in range(2 * radius + 1):
            neighbours = surrounded[:, shift : shift + length]
            inside = (neighbours >= 0) & (sources >= 0)
            offsets = torch.where(inside, sources - neighbours + radius, 0)
            received = products[neighbours.clamp(min=0), offsets]
            gathered = gathered + received.masked_fill(~inside.unsqueeze(-1), 0)
        return gathered

    def frame_features(
        self, class_tokens: torch.Tensor, queries: torch.Tensor, products: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """
        The features of padded clips: `(w₀·LN(c + g·z) + w₁·LN(q)) · W_proj`.

        Args:
            class_tokens: CLIP's last class tokens, (true frames, width).
            queries: The query after its last visit, (true frames, width).
            products: (true frames, 2·radius + 1, width).
            sources: (clips, padded frames), the true frame behind each padded one; -1 outside a clip.

        Returns:
            (clips, padded frames, feature size), zero outside a clip.
        """
        index = sources.clamp(min=0)
        received = self.gather_neighbours(products, sources)
        class_features = self.class_norm(class_tokens[index] + self.cross_frame_gate * received)
        query_features = self.query_norm(queries)[index]
        mixed = self.mix_weights[0] * class_features + self.mix_weights[1] * query_features
        return self.projection(mixed).masked_fill((sources < 0).unsqueeze(-1), 0)


__all__ = ["AdaptSignAggregator", "AggregationBlock", "CrossFrameProducts", "cross_frame_affinities"]
