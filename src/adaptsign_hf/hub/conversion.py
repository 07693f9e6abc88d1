"""A checkpoint that AdaptSign's authors released, made a directory of transformers or of PEFT."""

import logging
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError

from adaptsign_hf.hub.released_files import read_checkpoint, read_glosses
from adaptsign_hf.hub.released_names import Entry, entries, read_config
from adaptsign_hf.modeling.adapters_adaptsign import save_adapter
from adaptsign_hf.modeling.clip_loading_adaptsign import clip_tensors, read_clip
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor

logger = logging.getLogger(__name__)

# OpenAI's checkpoints by width, layers, patch and image size: what a released encoder started from.
OPENAI_CLIPS = {
    (768, 12, 32, 224): "openai/clip-vit-base-patch32",
    (768, 12, 16, 224): "openai/clip-vit-base-patch16",
    (1024, 24, 14, 224): "openai/clip-vit-large-patch14",
    (1024, 24, 14, 336): "openai/clip-vit-large-patch14-336",
}
CLIP_TOLERANCE = 1e-4  # half-precision copies of OpenAI's weights differ by less


def convert_checkpoint(
    checkpoint: str | Path,
    glosses: str | Path,
    folder: str | Path,
    adapter_only: bool = False,
    clip: str | None = None,
) -> AdaptSignForCTC:
    """
    Convert a released checkpoint and write it with its processor.

    Args:
        checkpoint: The released `.pt` file.
        glosses: Its vocabulary; see `read_glosses`.
        folder: Where to; made where absent.
        adapter_only: Leave CLIP out and write a PEFT directory that names it.
        clip: The CLIP that the adapters belong to, a directory or a name on the Hub, with `adapter_only`; by default
            OpenAI's of this size. One that is given is read and compared.

    Returns:
        The model.

    Raises:
        ValueError: If a file cannot be read, a tensor is missing, unexpected or misshapen, the vocabulary is of
            another size, the CLIP is not the checkpoint's, or the folder holds a model of the other kind.
    """
    check_folder(Path(folder), adapter_only)
    state = read_checkpoint(checkpoint)
    try:
        model = convert_tensors(state)
    except (ValueError, StrictDataclassError) as error:
        # What the configuration refuses comes wrapped in lines about its validators.
        raise ValueError(f"Converting {checkpoint}: {error.__cause__ or error}") from error
    vocabulary, config = read_glosses(glosses), model.config
    if len(vocabulary) + 1 != config.vocab_size:
        raise ValueError(
            f"Converting {checkpoint}: {glosses} holds {len(vocabulary)} glosses, but the classifier has "
            f"{config.vocab_size} classes, the blank and {config.vocab_size - 1} glosses: they do not belong together."
        )
    image_size = config.vision.image_size
    assert isinstance(image_size, int)
    processor = AdaptSignProcessor.from_glosses(vocabulary, image_size)
    if adapter_only:
        save_adapter(model, folder, find_clip(model, clip))
    else:
        model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model


def check_folder(folder: Path, adapter_only: bool) -> None:
    """Refuse a folder where whole model and adapter would lie side by side: transformers reads both into one."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"Converting to {folder}: it is a file; give a folder.")
    others = ("model.safetensors", "model.safetensors.index.json") if adapter_only else ("adapter_config.json",)
    for name in others:
        if (folder / name).exists():
            raise ValueError(
                f"Converting to {folder}: there is {name} in it, and a reader would mix that model with this one. "
                "Give another folder, or empty this one."
            )


def convert_tensors(state: dict[str, torch.Tensor]) -> AdaptSignForCTC:
    """
    Build the model of a released network's tensors.

    Args:
        state: Tensors by their released names.

    Raises:
        ValueError: If a tensor is missing, unexpected or misshapen, by name.
    """
    config = read_config(state)
    model = AdaptSignForCTC(config)
    model.load_state_dict(rename(state, config, model.state_dict()))
    return model.eval()


def rename(
    state: dict[str, torch.Tensor], config: AdaptSignConfig, own: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """
    Give released tensors our names and forms.

    Args:
        state: Tensors by their released names.
        config: Sizes.
        own: Our tensors, for their shapes.

    Raises:
        ValueError: If a tensor is missing, unexpected or misshapen, by name.
    """
    listed = list(entries(config, set(state)))
    names = [entry.released for entry in listed]
    missing, unexpected = [name for name in names if name not in state], sorted(set(state) - set(names))
    for fault, found in (("missing", missing), ("unexpected", unexpected)):
        if found:
            more = f", and {len(found) - 5} more" if len(found) > 5 else ""
            raise ValueError(f"{fault} tensors: {', '.join(found[:5])}{more}.")
    for entry in listed:
        check_shape(entry, state[entry.released], own)
    return {
        ours: part.contiguous()
        for entry in listed
        for ours, part in zip(entry.ours, entry.form.to_ours(state[entry.released]), strict=True)
    }


def check_shape(entry: Entry, tensor: torch.Tensor, own: dict[str, torch.Tensor]) -> None:
    """Refuse a tensor whose shape is not what the network's sizes ask for."""
    expected = entry.form.to_released(*(own[name] for name in entry.ours)).shape
    if tensor.shape != expected:
        raise ValueError(
            f"the tensor {entry.released} has shape {tuple(tensor.shape)}, but the sizes of the others ask for "
            f"{tuple(expected)}."
        )


def find_clip(model: AdaptSignForCTC, clip: str | None) -> str | None:
    """
    Return the name of the CLIP that the adapters of a model belong to, or None where nobody knows.

    Raises:
        ValueError: If the CLIP that is given cannot be read, or differs from the one in the model.
    """
    vision = model.config.vision
    if clip is None:
        sizes = (vision.hidden_size, vision.num_hidden_layers, vision.patch_size, vision.image_size)
        known = OPENAI_CLIPS.get(sizes)  # type: ignore[arg-type]  # transformers types each size as any of several
        if known is None:
            logger.warning("No CLIP of these sizes is known: the adapter names none, and a reader has to give it.")
        return known
    try:
        vision_model = read_clip(clip)[0]
    except OSError as error:  # transformers' own lines after the first are about its documentation
        raise ValueError(f"Reading the CLIP {clip}: {str(error).partition(chr(10))[0]}") from error
    given, own = clip_tensors(vision_model), clip_tensors(model.model.vision_model)
    for name in sorted(given.keys() | own.keys()):
        if name not in given or name not in own or given[name].shape != own[name].shape:
            raise ValueError(f"The CLIP {clip} is of another size than the checkpoint's: {name} differs in shape.")
    for name, tensor in own.items():
        if name.startswith("post_layernorm"):
            continue  # the release trained it; here it lives in the aggregator
        difference = (given[name] - tensor).abs().max().item()
        if difference > CLIP_TOLERANCE:
            raise ValueError(
                f"The CLIP {clip} is not the one in the checkpoint: {name} differs by up to {difference:.2g}. "
                "Its adapters would read nonsense through it."
            )
    return clip
