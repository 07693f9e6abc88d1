"""The adapters that a model builds into CLIP, and directories that hold nothing but what was trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, inject_adapter_in_model
from peft.functional import set_adapter
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModel, PreTrainedConfig
from transformers.dynamic_module_utils import custom_object_save
from transformers.integrations import PeftAdapterMixin
from transformers.utils import cached_file

from .clip_loading_adaptsign import clip_tensors, read_clip, share_clip
from .configuration_adaptsign import AdaptSignConfig
from .tuner_adaptsign import AdaptSignAdapterConfig, AdaptSignTuner

ADAPTER_NAME = "default"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
# All linear layers of a CLIP layer: the strong form of LoRA.
LORA_TARGETS = r"(.*\.)?encoder\.layers\.\d+\.(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])"


class AdapterMethods(PeftAdapterMixin):
    """
    transformers' methods for adapters, made to take along what is trained beside them (PEFT's `modules_to_save`).

    As they come, a second adapter that is loaded computes with the skeleton's own head, the head of an adapter that
    is no longer active stays trainable, and enabling adapters leaves the heads disabled.
    """

    def load_adapter(self, peft_model_id=None, adapter_name=None, *args, **kwargs):
        """Load an adapter, as transformers does, and make it active; it can be trained only if `is_trainable`."""
        info = super().load_adapter(peft_model_id, adapter_name, *args, **kwargs)
        adapter_name = adapter_name or ADAPTER_NAME
        self.set_adapter(adapter_name)
        if self.peft_config[adapter_name].inference_mode:  # not `is_trainable`
            for module in self.modules():  # type: ignore[attr-defined]  # a mixin of models
                if isinstance(module, BaseTunerLayer | ModulesToSaveWrapper):
                    module.requires_grad_(False)
        return info

    def set_adapter(self, adapter_name: list[str] | str) -> None:
        """
        Make an adapter the active one; it alone can be trained.

        Raises:
            ValueError: If there is no such adapter.
        """
        known = list(getattr(self, "peft_config", {}))
        if not set([adapter_name] if isinstance(adapter_name, str) else adapter_name) <= set(known):
            raise ValueError(f"Setting the adapter {adapter_name!r}: the model has {known}.")
        set_adapter(self, adapter_name)
        for module in self.modules():  # type: ignore[attr-defined]
            if isinstance(module, ModulesToSaveWrapper):
                for name, saved in module.modules_to_save.items():
                    saved.requires_grad_(name in module.active_adapters)

    def enable_adapters(self) -> None:
        """Compute with the active adapter again after `disable_adapters`."""
        super().enable_adapters()
        for module in self.modules():  # type: ignore[attr-defined]
            if isinstance(module, ModulesToSaveWrapper):
                module.enable_adapters(True)


def adapter_config(config: AdaptSignConfig) -> AdaptSignAdapterConfig | LoraConfig | None:
    """Return PEFT's description of the adapters that a model of this configuration builds in, or None."""
    if config.adapter == "adaptsign":
        return AdaptSignAdapterConfig(reduction=config.adapter_reduction, num_prefix_tokens=config.num_prefix_tokens)
    if config.adapter == "lora":
        return LoraConfig(r=config.lora_rank, lora_alpha=config.lora_rank, target_modules=LORA_TARGETS)
    return None


def inject_adapters(vision_model: CLIPVisionModel, config: AdaptSignConfig) -> None:
    """Build the adapters of a configuration into CLIP."""
    adapters = adapter_config(config)
    if isinstance(adapters, AdaptSignAdapterConfig):
        # Not through PEFT's table of methods: beside a copy of this module from the Hub, it knows only one of the two.
        AdaptSignTuner(vision_model, adapters, ADAPTER_NAME)
    elif adapters is not None:
        inject_adapter_in_model(adapters, vision_model, ADAPTER_NAME)


def adapter_tensor_names(model: Any) -> dict[str, str]:
    """
    Name the tensors of a model that an adapter directory holds: adapters, and all that is no part of CLIP.

    Args:
        model: An `AdaptSignForCTC` or `AdaptSignModel` with adapters built in.

    Returns:
        The name in the model's state dict to the name that PEFT gives it in a file of an `AdaptSignForCTC`.
    """
    marker = f".{ADAPTER_NAME}"
    prefix = PEFT_PREFIX + ("model." if model.base_model is model else "")
    return {
        name: prefix + name.replace(marker, "")
        for name in model.state_dict()
        if "vision_model." not in name or marker in name
    }


def save_adapter(model: Any, folder: str | Path, clip: str | None) -> None:
    """
    Write what was trained, without CLIP, as a PEFT directory that `AdaptSignForCTC.from_pretrained` reads.

    Args:
        model: An `AdaptSignForCTC` with adapters built in.
        folder: Where to.
        clip: The CLIP checkpoint that the adapters belong to, a directory or a name on the Hub. With None, a reader
            has to name it.

    Raises:
        ValueError: If the model is a skeleton without adapters of its own.
    """
    adapters = adapter_config(model.config)
    if adapters is None:
        raise ValueError(
            "Saving an adapter: the model is a skeleton; save what PEFT added to it by `save_pretrained`."
        )
    adapters.base_model_name_or_path = clip
    adapters.inference_mode = True
    adapters.modules_to_save = ["aggregator", *(name for name, _ in model.named_children() if name != "model")]
    state = model.state_dict()
    tensors = {peft: state[ours].contiguous() for ours, peft in adapter_tensor_names(model).items()}
    Path(folder).mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.dtype = str(model.dtype).removeprefix("torch.")
    if model.is_remote_code():
        model.config.name_auto_classes()
        custom_object_save(model, str(folder), config=model.config)
    model.config.save_pretrained(folder)
    adapters.save_pretrained(str(folder))
    save_file(tensors, Path(folder) / ADAPTER_WEIGHTS, metadata={"format": "pt"})


def find_adapter(name_or_path: Any, options: dict) -> str | None:
    """
    Find the weights of a directory that `save_adapter` wrote; None for a full checkpoint, or another kind of adapter.

    Args:
        name_or_path: A directory or a name on the Hub.
        options: Arguments of `from_pretrained`, of which those about the Hub are used.
    """
    if name_or_path is None:
        return None
    hub = {name: options[name] for name in HUB_OPTIONS if name in options}

    def find(filename: str) -> str | None:
        return cached_file(name_or_path, filename, **hub, _raise_exceptions_for_missing_entries=False)

    if find("adapter_config.json") is None or find("config.json") is None:
        return None
    if find("model.safetensors") is not None or find("model.safetensors.index.json") is not None:
        return None
    return find(ADAPTER_WEIGHTS)


def load_adapter_only(load: Callable, model_class: type, name_or_path: Any, clip: Any, options: dict) -> Any:
    """
    Load an adapter directory and the CLIP it belongs to; see `AdaptSignForCTC.from_pretrained`.

    Args:
        load: `PreTrainedModel.from_pretrained` of the class.
        model_class: `AdaptSignForCTC` or `AdaptSignModel`.
        name_or_path: The adapter directory, or its name on the Hub.
        clip: The CLIP to use, a name, a directory or a `CLIPVisionModel`; None for the one that the adapter names.
        options: Arguments of `from_pretrained`.

    Raises:
        ValueError: If no CLIP is named, adapter and CLIP do not belong together, or a CLIP in memory is of another
            dtype than the one asked for.
    """
    options = dict(options)
    dtype = options.pop("dtype", None)  # not for the configuration, which would take "auto" for a dtype
    options.pop("adapter_kwargs", None)  # AutoModel's; it has found the adapter too
    path = find_adapter(name_or_path, options)
    assert path is not None
    config = options.pop("config", None)
    if not isinstance(config, PreTrainedConfig):
        config, options = AdaptSignConfig.from_pretrained(name_or_path, return_unused_kwargs=True, **options)
    clip = named_clip(name_or_path, options) if clip is None else clip
    if clip is None:
        raise ValueError(
            f"Loading the adapter {name_or_path}: it names no CLIP. Give the one it was trained on: clip=..."
        )
    if isinstance(clip, CLIPVisionModel):
        vision_model = clip
        wanted = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
        if wanted not in (None, clip.dtype):
            raise ValueError(
                f"Loading the adapter {name_or_path}: dtype is {dtype}, but the tensors of the given CLIP, which are "
                f"shared, are {clip.dtype}: convert the CLIP first."
            )
        dtype = clip.dtype
    else:
        vision_model = read_clip(clip)[0]
    with torch.device("meta"):
        model = model_class(config)  # for its names
    state = gather_tensors(model, vision_model, load_file(path), f"Loading the adapter {name_or_path}")
    loaded = load(None, config=config, state_dict=state, dtype=dtype, **options)
    model = loaded[0] if isinstance(loaded, tuple) else loaded
    if vision_model is clip:
        model.to(vision_model.device)
        share_clip(model, vision_model)
    model.freeze_backbone()
    return loaded


def named_clip(name_or_path: Any, options: dict) -> str | None:
    """Return the CLIP that an adapter directory says it belongs to."""
    hub = {name: options[name] for name in HUB_OPTIONS if name in options}
    return PeftConfig.from_pretrained(name_or_path, **hub).base_model_name_or_path


def gather_tensors(
    model: Any, vision_model: CLIPVisionModel, adapter: dict[str, torch.Tensor], doing: str
) -> dict[str, torch.Tensor]:
    """
    Put the tensors of CLIP and of an adapter file together under the names that a model gives them.

    Raises:
        ValueError: If one is missing, unexpected or of another shape than the model's.
    """
    layers, expected_layers = len(vision_model.encoder.layers), model.config.vision.num_hidden_layers
    if layers != expected_layers:
        raise ValueError(f"{doing}: it belongs to a CLIP of {expected_layers} layers, but this one has {layers}.")
    names, clip = adapter_tensor_names(model), clip_tensors(vision_model)
    unexpected = set(adapter) - set(names.values())
    if unexpected and model.base_model is not model:  # a headless model leaves the head's tensors in the file
        raise ValueError(f"{doing}: its tensor {min(unexpected)} belongs to no part of the model.")
    state = {}
    for name, own in model.state_dict().items():
        source = names[name] if name in names else name.partition("vision_model.")[2].replace(".base_layer.", ".")
        value = adapter.get(source) if name in names else clip.get(source)
        if value is None or value.shape != own.shape:
            fault = "is missing" if value is None else f"has shape {tuple(value.shape)} instead of {tuple(own.shape)}"
            raise ValueError(f"{doing}: the tensor {source} of the {'adapter' if name in names else 'CLIP'} {fault}.")
        state[name] = value
    return state


__all__ = [
    "AdapterMethods",
    "adapter_config",
    "adapter_tensor_names",
    "find_adapter",
    "inject_adapters",
    "load_adapter_only",
    "save_adapter",
]
