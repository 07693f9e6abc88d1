"""The PEFT method "adaptsign": attention and MLP adapters and prefix tokens around a frozen CLIP layer.

Importing this module registers the method, so that `peft.get_peft_model(model, AdaptSignAdapterConfig())` works.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from peft import PeftConfig, PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import register_peft_method
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.clip.modeling_clip import CLIPAttention, CLIPEncoderLayer, eager_attention_forward

# Layers of CLIP's image encoder, alone or inside a larger model; a text encoder beside it is left as it is.
CLIP_VISION_LAYERS = r"(?!.*text_model)(.*\.)?encoder\.layers\.\d+"


def _add_peft_type(name: str) -> None:
    """Extend the `PeftType` enum by one member: PEFT looks every method up there and offers no other way."""
    if name in PeftType.__members__:
        return
    member = str.__new__(PeftType, name)
    member._name_ = name
    member._value_ = name
    type.__setattr__(PeftType, name, member)
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member
    PeftType._member_names_.append(name)


_add_peft_type("ADAPTSIGN")


@dataclass
class AdaptSignAdapterConfig(PeftConfig):
    """
    Configuration of the adapters of AdaptSign (paper: "Attention & FFN Adaption", "Prefix Embedding").

    Args:
        reduction (`int`): Width of the layer over the width of an adapter's bottleneck.
        num_prefix_tokens (`int`): Learnable rows appended to the inputs of the key and value projections.
        target_modules (`str` or `list[str]`): The layers to adapt, as a regular expression or a list of names.
        exclude_modules (`str` or `list[str]`): Layers to leave as they are.
        modules_to_save (`list[str]`): Modules beside the adapters to train and save.
    """

    reduction: int = field(default=4, metadata={"help": "Width of the layer over the width of the bottleneck."})
    num_prefix_tokens: int = field(default=8, metadata={"help": "Learnable rows beside the keys and values."})
    target_modules: list[str] | str | None = field(
        default=CLIP_VISION_LAYERS, metadata={"help": "The CLIP layers to adapt: a regular expression or names."}
    )
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "Layers to leave as they are."})
    modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "Modules beside the adapters that are trained and saved."}
    )

    def __post_init__(self):
        super().__post_init__()
        self.peft_type = PeftType("ADAPTSIGN")
        if self.reduction < 1:
            raise ValueError(f"The adapters' reduction is {self.reduction}: it must be at least 1.")
        if self.num_prefix_tokens < 0:
            raise ValueError(f"num_prefix_tokens is {self.num_prefix_tokens}: it must not be negative.")


class BottleneckAdapter(nn.Module):
    """`A(x) = W_up · QuickGELU(W_down · x + b) + b'`, zero at first (paper: "Attention & FFN Adaption")."""

    def __init__(self, width: int, reduction: int):
        super().__init__()
        self.down_proj = nn.Linear(width, width // reduction)
        self.activation = ACT2FN["quick_gelu"]
        self.up_proj = nn.Linear(width // reduction, width)

    @torch.no_grad()
    def initialize(self) -> None:
        """Draw the starting values; tensors already loaded from a checkpoint are left alone."""
        init.xavier_uniform_(self.down_proj.weight)
        init.zeros_(self.down_proj.bias)
        init.zeros_(self.up_proj.weight)
        init.zeros_(self.up_proj.bias)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map (..., width) to (..., width)."""
        dtype = self.down_proj.weight.dtype  # float32, unless told otherwise, when PEFT adapts a half-precision CLIP
        if hidden_states.dtype != dtype:
            return self(hidden_states.to(dtype)).to(hidden_states.dtype)
        return self.up_proj(self.activation(self.down_proj(hidden_states)))


def prefix_attention(
    attention: CLIPAttention,
    hidden_states: torch.Tensor,
    prefix_keys: torch.Tensor,
    prefix_values: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    **kwargs,
) -> torch.Tensor:
    """
    CLIP's self-attention with learnable rows beside the keys' and the values' inputs (paper: "Prefix Embedding").

    The rows are the same for every frame, so each passes through its projection once, not once a frame.

    Args:
        attention: CLIP's attention, whose projections are used.
        hidden_states: (frames, tokens, width), normalised.
        prefix_keys, prefix_values: (prefix tokens, width).

    Returns:
        (frames, tokens, width).
    """
    frames, tokens, width = hidden_states.shape

    def split_heads(states: torch.Tensor) -> torch.Tensor:
        return states.view(*states.shape[:-1], attention.num_heads, attention.head_dim).transpose(-3, -2)

    def append_prefix(projection: nn.Module, prefix: torch.Tensor) -> torch.Tensor:
        rows = split_heads(projection(prefix.to(hidden_states.dtype))).expand(frames, -1, -1, -1)
        return torch.cat([split_heads(projection(hidden_states)), rows], dim=2)

    attend: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
        attention.config._attn_implementation, eager_attention_forward
    )
    output, _ = attend(
        attention,
        split_heads(attention.q_proj(hidden_states)),
        append_prefix(attention.k_proj, prefix_keys),
        append_prefix(attention.v_proj, prefix_values),
        attention_mask,
        scaling=attention.scale,
        dropout=attention.dropout if attention.training else 0.0,
        **kwargs,
    )
    return attention.out_proj(output.reshape(frames, tokens, width))


class AdaptSignLayer(CLIPEncoderLayer, BaseTunerLayer):
    """
    A frozen CLIP layer with the adapters of AdaptSign around it.

    A subclass of `CLIPEncoderLayer`, so that all that looks for that class (hooks, activation checkpointing, sharding)
    finds it; the frozen layer itself is `base_layer`.
    """

    adapter_layer_names = (
        "adaptsign_attention_adapter",
        "adaptsign_mlp_adapter",
        "adaptsign_prefix_keys",
        "adaptsign_prefix_values",
    )

    def __init__(self, base_layer: CLIPEncoderLayer, adapter_name: str, config: AdaptSignAdapterConfig):
        nn.Module.__init__(self)  # not CLIPEncoderLayer's: it would build a second set of CLIP's weights
        self.base_layer = base_layer
        self.embed_dim = base_layer.embed_dim
        self.adaptsign_attention_adapter = nn.ModuleDict()
        self.adaptsign_mlp_adapter = nn.ModuleDict()
        self.adaptsign_prefix_keys = nn.ParameterDict()
        self.adaptsign_prefix_values = nn.ParameterDict()
        self.merged_adapters: list[str] = []
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: AdaptSignAdapterConfig) -> None:
        """Add the adapter `adapter_name`, freshly initialised, and make it the active one."""
        self.adaptsign_attention_adapter[adapter_name] = BottleneckAdapter(self.embed_dim, config.reduction)
        self.adaptsign_mlp_adapter[adapter_name] = BottleneckAdapter(self.embed_dim, config.reduction)
        shape = (config.num_prefix_tokens, self.embed_dim)
        self.adaptsign_prefix_keys[adapter_name] = nn.Parameter(torch.empty(shape))
        self.adaptsign_prefix_values[adapter_name] = nn.Parameter(torch.empty(shape))
        self.initialize_adapter(adapter_name)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(adapter_name, inference_mode=config.inference_mode)

    @torch.no_grad()
    def initialize_adapter(self, adapter_name: str) -> None:
        """Draw the adapter's starting values; tensors already loaded from a checkpoint are left alone."""
        for adapter in (self.adaptsign_attention_adapter[adapter_name], self.adaptsign_mlp_adapter[adapter_name]):
            adapter.initialize()  # type: ignore[operator]  # torch types a ModuleDict's members as Module
        init.normal_(self.adaptsign_prefix_keys[adapter_name], std=0.02)
        init.normal_(self.adaptsign_prefix_values[adapter_name], std=0.02)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        """
        Map (frames, tokens, width) to the same shape: `x + Attn(LN x) + A_s(x)`, then `x + MLP(LN x) + A_m(x)`.

        Raises:
            ValueError: If several adapters are active at once.
        """
        layer = self.base_layer
        if self.disable_adapters or not self.active_adapters:
            return layer(hidden_states, attention_mask, **kwargs)
        if len(self.active_adapters) > 1:
            raise ValueError(
                f"The adapters {self.active_adapters} are all active, but AdaptSign's adapters are not linear and "
                "cannot be added up: choose one with `set_adapter`."
            )
        name = self.active_adapters[0]
        attended = prefix_attention(
            layer.self_attn,
            layer.layer_norm1(hidden_states),
            self.adaptsign_prefix_keys[name],
            self.adaptsign_prefix_values[name],
            attention_mask,
            **kwargs,
        )
        hidden_states = hidden_states + attended + self.adaptsign_attention_adapter[name](hidden_states)
        expanded = layer.mlp(layer.layer_norm2(hidden_states))
        return hidden_states + expanded + self.adaptsign_mlp_adapter[name](hidden_states)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Refuse: an adapter with a non-linearity has no equivalent change of CLIP's weights."""
        raise ValueError(
            "AdaptSign's adapters cannot be merged into CLIP's weights, because they are not linear. "
            "Use `unload()` to remove them, or keep them beside the weights."
        )

    def unmerge(self) -> None:
        """Refuse, as nothing can have been merged."""
        raise ValueError("AdaptSign's adapters are never merged, so there is nothing to unmerge.")

    def _get_base_layer_device_and_dtype(self, base_layer: CLIPEncoderLayer):
        weight = base_layer.layer_norm1.weight
        return weight.device, weight.dtype


class AdaptSignTuner(BaseTuner):
    """Wraps each CLIP layer that the configuration targets in an `AdaptSignLayer`."""

    prefix: str = "adaptsign_"
    tuner_layer_cls = AdaptSignLayer
    target_module_mapping: dict = {"clip_vision_model": CLIP_VISION_LAYERS}  # noqa: RUF012 - PEFT's own form

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        assert isinstance(peft_config, AdaptSignAdapterConfig)
        if isinstance(target, AdaptSignLayer):
            target.update_layer(adapter_name, peft_config)
            target.set_adapter(self.active_adapters, inference_mode=peft_config.inference_mode)
        elif isinstance(target, CLIPEncoderLayer):
            layer = AdaptSignLayer(target, adapter_name, peft_config)
            if adapter_name not in self.active_adapters:
                layer.requires_grad_(False)
            setattr(parent, target_name, layer)
        else:
            raise ValueError(
                f"AdaptSign adapts CLIP's encoder layers, but {current_key!r} is a {type(target).__name__}: "
                "change `target_modules`."
            )

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        # The default finds the name right before a tensor's own; ours may stand further up: `default.up_proj.bias`.
        return re.sub(rf"\b({cls.prefix}\w+)\.{re.escape(adapter_name)}(?=\.|$)", r"\1", key)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        setattr(parent, child_name, new_module)  # the default looks for `.weight`, which a CLIP layer does not have


# The module may be imported twice, from the package and as remote code: the second import must not register again.
if PeftType("ADAPTSIGN") not in PEFT_TYPE_TO_CONFIG_MAPPING:
    register_peft_method(name="adaptsign", config_cls=AdaptSignAdapterConfig, model_cls=AdaptSignTuner)

__all__ = ["AdaptSignAdapterConfig", "AdaptSignLayer", "AdaptSignTuner", "BottleneckAdapter"]
