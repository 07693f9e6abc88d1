"""Safe reading of the files that AdaptSign's authors released: checkpoints and gloss dictionaries."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

# What builds an array and a number when they are unpickled; numpy 2 has moved them to another module.
RECONSTRUCT, SCALAR = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
BUILDERS = {
    (f"numpy.{module}.multiarray", name): value
    for module in ("core", "_core")
    for name, value in (("_reconstruct", RECONSTRUCT), ("scalar", SCALAR))
}
# Beside tensors, a released checkpoint holds the state of numpy's random numbers, an array of uint32.
CHECKPOINT_TYPES: list = [np.ndarray, np.dtype, *(type(np.dtype(kind)) for kind in ("uint32", "int64", "float64"))]
CHECKPOINT_TYPES += [(value, ".".join(path)) for path, value in BUILDERS.items()]
# All that a pickled dictionary of glosses may name.
DICTIONARY_TYPES = BUILDERS | {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}


def read_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """
    Read the network's tensors from a released checkpoint, running no code that the file may bring along.

    Args:
        path: A `.pt` file: a dictionary with `model_state_dict`, or the tensors themselves.

    Returns:
        Tensors by their released names, in float32; `num_batches_tracked` stay whole numbers.

    Raises:
        ValueError: If the file is missing, is no checkpoint, asks for foreign code, or holds no network.
    """
    doing = f"Reading the checkpoint {path}"
    if not Path(path).is_file():
        raise ValueError(f"{doing}: there is no such file.")
    try:
        with torch.serialization.safe_globals(CHECKPOINT_TYPES):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{doing}: it holds more than tensors, numbers and the state of random numbers, or is no checkpoint at "
            f"all, and is not read for safety's sake. torch says: {reason}"
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError) as error:
        raise ValueError(f"{doing}: it cannot be read as a torch checkpoint: {error}") from error
    state = content.get("model_state_dict", content) if isinstance(content, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(value, torch.Tensor) for value in state.values())
    ):
        raise ValueError(f"{doing}: expected a dictionary with the network's tensors in model_state_dict.")
    # The authors train with the encoder wrapped for several GPUs, which adds a level to its names.
    return {
        name.replace(".module.", ".").removeprefix("module."): value.float() if value.is_floating_point() else value
        for name, value in state.items()
    }


def read_glosses(path: str | Path) -> list[str]:
    """
    Read a vocabulary: `gloss_dict.npy` as released, JSON, or one gloss a line.

    Args:
        path: `.npy`: a pickled `{gloss: [id, count]}`; `.json`: `{gloss: id}`, `{gloss: [id, ...]}` or a list in the
            order of the ids; anything else: text in UTF-8, in the order of the ids.

    Returns:
        The glosses in the order of their ids 1, 2, ...

    Raises:
        ValueError: If the file is missing or damaged, asks for foreign code, or its ids are not 1, 2, ... once each.
    """
    path, doing = Path(path), f"Reading the glosses {path}"
    if not path.is_file():
        raise ValueError(f"{doing}: there is no such file.")
    try:
        if path.suffix == ".npy":
            content = read_pickled_dictionary(path)
        elif path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
        else:
            content = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        return order_glosses(content)
    except (ValueError, EOFError, pickle.UnpicklingError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"{doing}: {error}") from error


def read_pickled_dictionary(path: Path) -> Any:
    """Read the one object of a `.npy` file through an unpickler that knows numpy's array and nothing else."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](file)
        if shape != () or not dtype.hasobject:
            raise ValueError(f"expected one dictionary, found an array of {dtype} with shape {shape}.")
        return GlossDictionaryUnpickler(file).load().item()


class GlossDictionaryUnpickler(pickle.Unpickler):
    """An unpickler for dictionaries, lists, texts and numbers, inside a numpy array."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every name outside numpy's arrays."""
        if (module, name) not in DICTIONARY_TYPES:
            raise pickle.UnpicklingError(
                f"the file asks for {module}.{name}, which has no place in a dictionary of glosses; it may be harmful."
            )
        return DICTIONARY_TYPES[module, name]


def order_glosses(content: Any) -> list[str]:
    """Return the glosses of `{gloss: id}`, `{gloss: [id, ...]}` or a list, in the order of their ids 1, 2, ..."""
    if isinstance(content, dict):
        ids = {gloss: value[0] if isinstance(value, list | tuple) else value for gloss, value in content.items()}
        if sorted(ids.values()) != list(range(1, len(ids) + 1)):
            raise ValueError(f"expected the ids 1 to {len(ids)}, once each (0 is the blank).")
        content = sorted(ids, key=ids.__getitem__)
    if not isinstance(content, list) or not content or not all(isinstance(gloss, str) for gloss in content):
        raise ValueError("expected glosses with their ids, or a list of glosses in the order of their ids.")
    return content
