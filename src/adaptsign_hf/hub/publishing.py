"""A trained or converted model, as the folder that is pushed to the Hub."""

import hashlib
import json
import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open
from transformers.dynamic_module_utils import custom_object_save

from adaptsign_hf.data.prepared.publishing import hub_errors
from adaptsign_hf.hub.cards import Declaration, render_model_card
from adaptsign_hf.hub.reports import find_training_data, published_part, read_report
from adaptsign_hf.modeling.adapters_adaptsign import ADAPTER_WEIGHTS, adapter_tensor_names
from adaptsign_hf.modeling.configuration_adaptsign import AdaptSignConfig
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor

logger = logging.getLogger(__name__)

ADAPTER_CONFIG, REPORT, CARD = "adapter_config.json", "report.json", "README.md"
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
# What an earlier push may have left in a repository, and a reader would mix with the new model.
REPLACED = ["model*.safetensors", "model.safetensors.index.json", ADAPTER_WEIGHTS, ADAPTER_CONFIG]


def stage_model(
    model: str | Path,
    folder: str | Path,
    repo_id: str,
    declaration: Declaration | None = None,
    report: str | Path | None = None,
) -> Path:
    """
    Write the folder that is pushed: weights, configuration, processor, their code, the card, and of the report what
    may be published. Nothing else of the model's directory is taken.

    Args:
        model: A directory that training or `adaptsign convert` wrote, a whole model or an adapter alone.
        folder: Where to; must be empty or absent.
        repo_id: `user/name`, which the card shows how to load.
        declaration: What the publisher says of the model.
        report: The run's report; by default `report.json` beside the directory, if it is this model's.

    Returns:
        The folder.

    Raises:
        ValueError: If the directory holds no model of this version, only pickled weights or damaged ones, its report
            is another model's, the adapter names a CLIP that nobody else has, or the folder is not empty.
    """
    validate_repo_id(repo_id)
    model, folder = Path(model), Path(folder)
    declaration = check_declaration(declaration or Declaration())
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"Writing to {folder}: it is not empty. Remove it, or choose another folder.")
    weights = find_weights(model)
    is_adapter = weights[0].name == ADAPTER_WEIGHTS
    network, processor = read_parts(model)
    check_weights(weights, network, is_adapter)
    run = read_run(model, network, report)
    recipe = run["recipe"] if run else {}
    adapter = json.loads((model / ADAPTER_CONFIG).read_text(encoding="utf-8")) if is_adapter else {}
    named = adapter.get("base_model_name_or_path") if is_adapter else recipe.get("pretrained") or recipe.get("clip")
    if declaration.base_model is None and is_hub_name(named):
        declaration = replace(declaration, base_model=named)
    if is_adapter and named and declaration.base_model is None:
        raise ValueError(
            f"Publishing the adapter {model}: it names its CLIP {named}, a folder of this machine, which nobody else "
            "could load. Name the same CLIP on the Hub by --base-model."
        )

    folder.mkdir(parents=True, exist_ok=True)
    for path in weights:
        shutil.copyfile(path, folder / path.name)
    if is_adapter:
        write_json(folder / ADAPTER_CONFIG, adapter | {"base_model_name_or_path": declaration.base_model})
    network.config.name_auto_classes()
    custom_object_save(network, str(folder), config=network.config)  # type: ignore[arg-type]  # typed as a table only
    network.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    part = published_part(run) if run else None
    if part:
        write_json(folder / REPORT, part)
    card = render_model_card(
        repo_id,
        network.config,
        processor.video_processor.fps,
        declaration,
        is_adapter,
        part,
        find_training_data(run) if run else None,
        random_clip=bool(run) and "clip" in recipe and not named,
    )
    card.save(folder / CARD)
    return folder


def push_model(folder: str | Path, repo_id: str, private: bool = False) -> str:
    """
    Upload a folder that `stage_model` wrote, as it is.

    Args:
        folder: The folder.
        repo_id: `user/name`.
        private: Whether nobody else may see it. A repository that is public already is then refused.

    Returns:
        The address of the repository.

    Raises:
        ValueError: If the Hub refuses or cannot be reached, or the repository is public and must not be.
    """
    api = HfApi()
    with hub_errors(repo_id):
        repository = api.create_repo(repo_id, private=private or None, exist_ok=True)
        if private and not api.model_info(repository.repo_id).private:
            raise ValueError(
                f"Pushing to {repo_id} on the Hub: it is public. Make it private there, or leave --private."
            )
        api.upload_folder(
            repo_id=repository.repo_id,
            folder_path=str(folder),
            commit_message="Upload an AdaptSign model",
            delete_patterns=REPLACED,
        )
    return str(repository)


def check_declaration(declaration: Declaration) -> Declaration:
    """
    See that what the publisher says can stand in a card.

    Raises:
        ValueError: If the language is no code, or a dataset or a model is named as nothing on the Hub can be.
    """
    if declaration.language is not None and not re.fullmatch(r"[a-z]{2,3}", declaration.language):
        raise ValueError(
            f"The language is {declaration.language!r}: expected the ISO 639 code of a sign language, such as gsg."
        )
    for name in (*declaration.datasets, *filter(None, [declaration.base_model])):
        validate_repo_id(name)
    return declaration


def find_weights(model: Path) -> list[Path]:
    """
    Return the files of weights of a directory.

    Raises:
        ValueError: If it has none, only pickled ones, or both a whole model's and an adapter's.
    """
    doing = f"Publishing {model}"
    if not model.is_dir():
        raise ValueError(f"{doing}: there is no such folder. Expected one of a model, such as runs/quickstart/model.")
    whole = sorted(path for path in model.iterdir() if WEIGHTS.fullmatch(path.name))
    adapter = model / ADAPTER_WEIGHTS
    if adapter.is_file() and whole:
        raise ValueError(f"{doing}: it holds {adapter.name} and {whole[0].name}, and a reader would mix the two.")
    weights = [adapter] if adapter.is_file() else whole
    if not weights:
        pickles = sorted(path.name for path in model.iterdir() if path.suffix in PICKLES)
        found = f"only {pickles[0]}, which can run code when it is read" if pickles else "none"
        raise ValueError(f"{doing}: expected weights as safetensors, found {found}. Save it by `save_pretrained`.")
    return weights


def read_parts(model: Path) -> tuple[AdaptSignForCTC, AdaptSignProcessor]:
    """
    Return a directory's network, without values in its tensors, and its processor.

    Raises:
        ValueError: If one is missing or of another version, or they do not belong together.
    """
    for name in ("config.json", "processor_config.json", "tokenizer.json"):
        if not (model / name).is_file():
            raise ValueError(f"Publishing {model}: there is no {name} in it. Expected what training or convert wrote.")
    try:
        config = AdaptSignConfig.from_pretrained(model)
        processor = AdaptSignProcessor.from_pretrained(model)
        with torch.device("meta"):
            network = AdaptSignForCTC(config)
    except (ValueError, OSError, StrictDataclassError) as error:
        raise ValueError(f"Publishing {model}: {' '.join(str(error.__cause__ or error).split())}") from error
    if len(processor.tokenizer.glosses) + 1 != config.vocab_size:
        raise ValueError(
            f"Publishing {model}: its tokenizer knows {len(processor.tokenizer.glosses)} glosses, but its classifier "
            f"has {config.vocab_size} classes, the blank and {config.vocab_size - 1} glosses."
        )
    network.freeze_backbone()
    return network, processor


def check_weights(weights: list[Path], network: AdaptSignForCTC, is_adapter: bool) -> None:
    """
    See that files of weights hold the tensors of a network, no fewer, no others, without reading their values.

    Raises:
        ValueError: If not.
    """
    state = network.state_dict()
    names = adapter_tensor_names(network) if is_adapter else {name: name for name in state}
    expected = {there: tuple(state[own].shape) for own, there in names.items()}
    found: dict[str, tuple[int, ...]] = {}
    for path in weights:
        if path.suffix != ".safetensors":
            continue  # the index
        try:
            with safe_open(path, "pt") as file:
                found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"Publishing {path}: it is damaged ({error}).") from error
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            fault = "is missing" if name not in found else "belongs to no part of the model"
            if name in expected and name in found:
                fault = f"has shape {found[name]} instead of {expected[name]}"
            raise ValueError(
                f"Publishing {weights[0].parent}: the tensor {name} {fault}. The directory is of another version of "
                "adaptsign_hf, or incomplete."
            )


def read_run(model: Path, network: AdaptSignForCTC, report: str | Path | None) -> dict | None:
    """
    Return the report of the run that a model comes from; None where there is none.

    Raises:
        ValueError: If the report that is given cannot be read, or is another model's.
    """
    path = Path(report) if report else model.resolve().parent / REPORT
    if report is None and not path.is_file():
        return None
    try:
        run = read_report(path)
        trained = sum(value.numel() for value in network.parameters() if value.requires_grad)
        own = {"trained": trained, "frozen": sum(value.numel() for value in network.parameters()) - trained}
        if run.get("parameters") != own:
            raise ValueError(
                f"The report {path} is of a model of {run.get('parameters')} parameters, but this one has {own}: give "
                "the report of its own run by --report."
            )
        for name, digest in run.get("weights_sha256", {}).items():
            if (model / name).is_file() and sha256_of(model / name) != digest:
                raise ValueError(
                    f"The report {path} is of other weights than {model / name}: the model was written again since. "
                    "Give the report of its own run by --report."
                )
    except ValueError as error:
        if report:
            raise
        logger.warning("%s The card goes without scores.", error)
        return None
    return run


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_hub_name(name: str | None) -> bool:
    """Whether a model is named as on the Hub, and not as a folder of this machine."""
    return bool(name) and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(name)) is not None and not Path(str(name)).exists()


def write_json(path: Path, content: dict) -> None:
    """Write a table for people and programs to read."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
