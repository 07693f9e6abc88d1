"""Safe reading of the files that AdaptSign's authors released: checkpoints and gloss dictionaries."""

import codecs
import json
import pickle
import re
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
# All that a pickled dictionary of glosses may name; old pickles hold bytes as encoded text.
DICTIONARY_TYPES = BUILDERS | {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}


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
    except PermissionError as error:
        raise ValueError(f"{doing}: {error}") from error
    except Exception as error:  # a damaged file makes the unpickler fail in every manner
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        if foreign:
            raise ValueError(
                f"{doing}: it asks for {foreign[1]}, but a checkpoint is made of tensors, numbers and the state of "
                "random numbers; it may be harmful, and is not read."
            ) from error
        raise ValueError(f"{doing}: it is no checkpoint that torch wrote, or was damaged since.") from error
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
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        else:
            content = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        return order_glosses(content)
    except (ValueError, pickle.UnpicklingError) as error:
        raise ValueError(f"{doing}: {error}") from error
    except Exception as error:  # a damaged file makes numpy and the unpickler fail in every manner
        raise ValueError(f"{doing}: it cannot be read: {error!r}") from error


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
        glosses: dict[int, Any] = {}
        for gloss, value in content.items():
            number = value[0] if isinstance(value, list | tuple) and value else value
            if not isinstance(number, int | np.integer) or not 1 <= number <= len(content) or number in glosses:
                raise ValueError(
                    f"{gloss!r} has the id {number!r}, but the ids of {len(content)} glosses are 1 to {len(content)}, "
                    "once each (0 is the blank)."
                )
            glosses[int(number)] = gloss
        content = [glosses[number] for number in sorted(glosses)]
    if not isinstance(content, list) or not content or not all(isinstance(gloss, str) for gloss in content):
        raise ValueError("expected glosses with their ids, or a list of glosses in the order of their ids.")
    return content
