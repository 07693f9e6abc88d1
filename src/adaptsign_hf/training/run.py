"""One training run, from a recipe to a report."""

import hashlib
import json
import logging
import os
import platform
import shutil
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, ProjectConfiguration, set_seed
from huggingface_hub.errors import StrictDataclassError
from torch.utils.data import DataLoader
from transformers.utils import logging as transformers_logging

from adaptsign_hf.data.folder import report_left_out, warn_of_unknown_glosses
from adaptsign_hf.data.loading import collate_clips
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.training.building import build_model_and_processor
from adaptsign_hf.training.checkpoints import Progress, newest_checkpoint
from adaptsign_hf.training.configuration import TrainingConfig, parse_training_config
from adaptsign_hf.training.corpus import Corpus, list_corpus, open_corpus, render_if_absent
from adaptsign_hf.training.loop import Trainer
from adaptsign_hf.training.optimization import build_optimizer, build_schedule

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says; a mistake of the user's ends with one line and exit status 1."""
    try:
        config = parse_training_config(arguments)
        check_output_dir(config)
    except ValueError as error:
        sys.exit(f"error: {error}")
    train(config)


def check_output_dir(config: TrainingConfig) -> None:
    """
    See that the run's folder may be written to.

    Raises:
        ValueError: If it holds a model, and neither overwriting nor resuming is asked for; or if it has no checkpoint
            to resume from.
    """
    folder = Path(config.run.output_dir)
    if config.run.resume_from_checkpoint:
        newest_checkpoint(folder / "checkpoints")
    if (folder / "model").exists() and not (config.run.overwrite_output_dir or config.run.resume_from_checkpoint):
        raise ValueError(
            f"{folder} already holds a model. Choose another --output_dir, go on with it "
            "(--resume_from_checkpoint true), or replace it (--overwrite_output_dir true)."
        )


def train(config: TrainingConfig) -> dict:
    """
    Train a model, score it, and write `model/`, `report.json` and checkpoints to the run's folder.

    Args:
        config: The recipe.

    Returns:
        The report.

    Raises:
        ValueError: For data or starting points that cannot be used.
    """
    started = time.monotonic()
    accelerator = start_accelerator(config)
    corpus, model, processor = prepare(config, accelerator)
    trainer, train_loader = build_trainer(config, accelerator, corpus, model, processor)
    if config.run.resume_from_checkpoint:
        accelerator.load_state(str(newest_checkpoint(trainer.output_dir / "checkpoints")))
    dev = config.data.dev_split
    training_started = time.monotonic()
    trainer.fit(train_loader, corpus.dataset(dev, processor) if dev and dev in corpus.clips else None)
    training_seconds = time.monotonic() - training_started
    scores = score_best_model(config, trainer, corpus)
    report = write_report(config, trainer, corpus, scores, training_seconds, time.monotonic() - started)
    accelerator.end_training()
    return report


def start_accelerator(config: TrainingConfig) -> Accelerator:
    """Set up accelerate, logging and seeds; empty the run's folder where it may be overwritten."""
    optimization, run = config.optimization, config.run
    accelerator = Accelerator(
        mixed_precision=optimization.mixed_precision,
        gradient_accumulation_steps=optimization.gradient_accumulation_steps,
        log_with=run.report_to if run.with_tracking else None,
        project_config=ProjectConfiguration(project_dir=run.output_dir),
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, non_blocking=True),
    )
    if accelerator.device.type == "cpu" and accelerator.num_processes == 1 and torch.get_num_threads() == 1:
        torch.set_num_threads(os.cpu_count() or 1)  # `accelerate launch` leaves a lone process one core
    set_up_logging(accelerator.is_main_process)
    set_seed(run.seed)
    output_dir = Path(run.output_dir)
    if accelerator.is_main_process:
        if run.overwrite_output_dir and not run.resume_from_checkpoint:
            for folder in ("model", "checkpoints"):
                shutil.rmtree(output_dir / folder, ignore_errors=True)
        output_dir.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    if run.with_tracking:
        accelerator.init_trackers("adaptsign", config=flat_recipe(config))
    return accelerator


def set_up_logging(is_main_process: bool) -> None:
    """Let the main process tell how the run goes on standard error, and keep the others silent but for errors."""
    logging.basicConfig(
        level=logging.WARNING if is_main_process else logging.ERROR, format="%(message)s", stream=sys.stderr
    )
    logging.getLogger("adaptsign_hf").setLevel(logging.INFO if is_main_process else logging.ERROR)
    if is_main_process:
        warnings.showwarning = lambda message, *_: logger.warning("%s", message)
    else:
        warnings.simplefilter("ignore")
    transformers_logging.disable_progress_bar()  # of files of weights: seconds at most


def flat_recipe(config: TrainingConfig) -> dict:
    """Return all fields of a recipe in one table; a tracker takes no lists, so they become text."""
    table = {name: value for section in asdict(config).values() for name, value in section.items()}
    return {name: str(value) if isinstance(value, list) else value for name, value in table.items()}


def prepare(config: TrainingConfig, accelerator: Accelerator) -> tuple[Corpus, AdaptSignForCTC, AdaptSignProcessor]:
    """Read the corpus and build the model; one line and exit status 1 for what the user can mend."""
    quiet = config.run.quiet or not accelerator.is_main_process
    try:
        with accelerator.main_process_first():
            render_if_absent(config.data, quiet)
        listed = list_corpus(config.data)
        model, processor = build_model_and_processor(config.model, listed.vocabulary, config.data.fps)
        corpus = open_corpus(listed, processor, config.data, quiet)
        report_left_out(corpus.left_out, config.data.strict)
    except (ValueError, OSError, StrictDataclassError) as error:
        logger.debug("the mistake in full", exc_info=True)
        sys.exit(f"error: {error}")
    for split, clips in corpus.clips.items():
        warn_of_unknown_glosses(clips, processor.tokenizer.glosses, split)
    counts = ", ".join(f"{len(clips)} {split}" for split, clips in corpus.clips.items())
    logger.info("clips: %s; %d left out; %d glosses", counts, len(corpus.left_out), len(processor.tokenizer.glosses))
    trained, frozen = count_parameters(model)
    logger.info("parameters: %s trained, %s frozen", f"{trained:,}", f"{frozen:,}")
    return corpus, model, processor


def count_parameters(model: torch.nn.Module) -> tuple[int, int]:
    """Return the numbers of trained and of frozen parameters."""
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return trained, sum(parameter.numel() for parameter in model.parameters()) - trained


def build_trainer(
    config: TrainingConfig,
    accelerator: Accelerator,
    corpus: Corpus,
    model: AdaptSignForCTC,
    processor: AdaptSignProcessor,
) -> tuple[Trainer, DataLoader]:
    """Hand model, optimizer and training clips to accelerate, and register what checkpoints hold beside them."""
    if config.optimization.activation_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    if accelerator.num_processes > 1 and accelerator.device.type != "cpu":
        model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)  # torch has no such thing for CPUs
    dataset = corpus.dataset(config.data.train_split, processor, config.augmentation, config.run.seed)
    loader = DataLoader(
        dataset,
        batch_size=config.optimization.batch_size,
        shuffle=True,
        num_workers=config.data.num_workers,
        collate_fn=partial(collate_clips, processor=processor),
        # Its own: starting a loader draws a number, and a resumed run starts one more inside its epoch.
        generator=torch.Generator().manual_seed(config.run.seed),
    )
    optimizer = build_optimizer(model, config.optimization)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    steps_per_epoch = -(-len(loader) // config.optimization.gradient_accumulation_steps)
    schedule = build_schedule(optimizer, config.optimization, steps_per_epoch)
    progress = Progress()
    accelerator.register_for_checkpointing(schedule, progress)
    return Trainer(accelerator, model, optimizer, schedule, processor, progress, config), loader


def score_best_model(config: TrainingConfig, trainer: Trainer, corpus: Corpus) -> dict[str, dict]:
    """Score the model that was kept, as it is read back from disk, on the dev and the test splits."""
    best = AdaptSignForCTC.from_pretrained(trainer.output_dir / "model")
    trainer.model = best.to(trainer.accelerator.device)
    scores = {}
    for split in corpus.clips:
        if split == config.data.train_split and split not in config.data.test_splits:
            continue
        errors = trainer.score(corpus.dataset(split, trainer.processor), split)
        scores[split] = {"wer": errors.wer, **asdict(errors)}
        logger.info("%s: %s", split, errors)
    return scores


def write_report(
    config: TrainingConfig,
    trainer: Trainer,
    corpus: Corpus,
    scores: dict[str, dict],
    training_seconds: float,
    total_seconds: float,
) -> dict:
    """Write `report.json`: scores, of which weights, seconds, parameters, clips left out, recipe and history."""
    trained, frozen = count_parameters(trainer.accelerator.unwrap_model(trainer.model))
    report = {
        "scores": scores,
        "protocol": "raw",
        "decoder": "greedy",
        "weights_sha256": digest_weights(trainer.output_dir / "model"),
        "seconds": {"training": round(training_seconds, 1), "total": round(total_seconds, 1)},
        "parameters": {"trained": trained, "frozen": frozen},
        "clips": {split: len(clips) for split, clips in corpus.clips.items()},
        "left_out": [asdict(clip) for clip in corpus.left_out],
        "processes": trainer.accelerator.num_processes,
        "device": str(trainer.accelerator.device),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "recipe": flat_recipe(config),
        "history": trainer.progress.history,
    }
    if trainer.accelerator.is_main_process:
        path = trainer.output_dir / "report.json"
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        logger.info("report: %s", path)
    return report


def digest_weights(model_dir: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of weights, so that a report is not taken for another model's."""
    digests = {}
    for path in sorted(model_dir.glob("*.safetensors")):
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
