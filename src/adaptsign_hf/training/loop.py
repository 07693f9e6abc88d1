"""The training loop: epochs, losses, scores, the best model."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm

from adaptsign_hf.data.folder import LeftOutClip
from adaptsign_hf.data.loading import ClipDataset, collate_clips, normalize_batch
from adaptsign_hf.decoding.recognition import recognize_batches
from adaptsign_hf.metrics.gloss_wer.word_errors import WordErrors, count_word_errors
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor
from adaptsign_hf.training.checkpoints import Progress, save_checkpoint
from adaptsign_hf.training.configuration import TrainingConfig

logger = logging.getLogger(__name__)

LOSSES = ("loss", "sequence_loss", "conv_loss", "distillation_loss")
STEPS_BETWEEN_MESSAGES = 10  # reading a loss makes the device wait


@dataclass
class Trainer:
    """
    What the loop works on, all prepared by accelerate.

    Attributes:
        accelerator: Runs it on any number of processes.
        model: The model.
        optimizer: Of its trained parameters.
        schedule: Of the learning rate; moved on once an optimizer step.
        processor: Saved beside the model.
        progress: How far the run has come.
        config: The recipe.
    """

    accelerator: Accelerator
    model: torch.nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    processor: AdaptSignProcessor
    progress: Progress
    config: TrainingConfig

    @property
    def output_dir(self) -> Path:
        """Folder of the run."""
        return Path(self.config.run.output_dir)

    @property
    def hides_bars(self) -> bool | None:
        """What tqdm's `disable` gets: hidden if asked for, outside the main process, and outside a terminal."""
        return True if self.config.run.quiet or not self.accelerator.is_main_process else None

    def fit(self, train_loader: DataLoader, dev_dataset: ClipDataset | None) -> None:
        """Train for the epochs that are left, score each, and keep the best model in `output_dir/model`."""
        progress, accelerator = self.progress, self.accelerator
        while progress.epoch < self.config.optimization.epochs:
            losses = self.train_epoch(train_loader)
            row = {"epoch": progress.epoch + 1, **losses}
            wer = 0.0
            if dev_dataset is not None:
                errors = self.score(dev_dataset, "dev")
                wer = errors.wer
                row["dev_wer"] = wer
            if dev_dataset is None or wer <= progress.best_wer:  # of equals the later, which has learnt longer
                progress.best_wer = wer
                self.save_model()
            progress.history.append(row)
            progress.epoch, progress.batches = progress.epoch + 1, 0
            accelerator.log({name: value for name, value in row.items() if name != "epoch"}, step=progress.steps)
            logger.info("  ".join(f"{name} {_shorten(name, value)}" for name, value in row.items()))
            save_checkpoint(accelerator, self.output_dir / "checkpoints", progress)

    def train_epoch(self, loader: DataLoader) -> dict[str, float]:
        """Train on what is left of the epoch; return the mean of each loss over all processes."""
        accelerator, progress = self.accelerator, self.progress
        self.model.train()
        loader.set_epoch(progress.epoch)  # type: ignore[attr-defined]  # accelerate's loaders have it
        loader.dataset.set_epoch(progress.epoch)  # type: ignore[attr-defined]  # with several processes, they do not
        batches: Iterable = accelerator.skip_first_batches(loader, progress.batches) if progress.batches else loader
        bar = tqdm(
            batches,
            f"epoch {progress.epoch + 1}/{self.config.optimization.epochs}",
            disable=self.hides_bars,
            unit="step",
            leave=False,
            initial=progress.batches,
            total=len(loader),
        )
        sums = torch.zeros(len(LOSSES), device=accelerator.device)
        count = 0
        for batch in bar:
            progress.batches += 1
            for clip in batch["left_out"]:
                logger.warning("left out in epoch %d: %s: %s", progress.epoch + 1, clip.name, clip.reason)
            if "frames" not in batch and accelerator.num_processes == 1:
                continue
            losses = self.train_step(batch)
            sums += losses
            count += 1
            if count % STEPS_BETWEEN_MESSAGES == 0:
                bar.set_postfix({name: f"{value:.2f}" for name, value in zip(LOSSES, losses.tolist(), strict=True)})
            self.checkpoint_if_due()
        means = accelerator.reduce(sums / max(count, 1), reduction="mean")
        return dict(zip(LOSSES, means.tolist(), strict=True))

    def train_step(self, batch: dict) -> torch.Tensor:
        """Learn from one batch; return the losses, (4,), without waiting for the device."""
        limit = self.config.optimization.max_gradient_norm
        with self.accelerator.accumulate(self.model):
            pixel_values = normalize_batch(batch, self.processor, self.accelerator.device)
            output = self.model(pixel_values, batch["attention_mask"], labels=batch["labels"])
            self.accelerator.backward(output.loss)
            if self.accelerator.sync_gradients:
                if limit is not None:
                    self.accelerator.clip_grad_norm_(self.model.parameters(), limit)
                self.progress.steps += 1
            self.optimizer.step()
            if self.accelerator.sync_gradients:
                self.schedule.step()
            self.optimizer.zero_grad()
        return torch.stack([output[name].detach() for name in LOSSES])

    def checkpoint_if_due(self) -> None:
        """Write a checkpoint inside an epoch, where the recipe asks for that."""
        interval = self.config.run.checkpointing_steps
        if interval and self.accelerator.sync_gradients and self.progress.steps % interval == 0:
            save_checkpoint(self.accelerator, self.output_dir / "checkpoints", self.progress)

    def score(self, dataset: ClipDataset, split: str) -> WordErrors:
        """Recognise a dataset with all processes and score it; clips that turn out unreadable count as not read."""
        accelerator = self.accelerator
        # Shared out by hand: accelerate would remember each of these loaders and put it into every checkpoint.
        own_share = range(accelerator.process_index, len(dataset), accelerator.num_processes)
        loader = DataLoader(
            Subset(dataset, own_share),
            batch_size=self.config.optimization.batch_size,
            num_workers=self.config.data.num_workers,
            collate_fn=partial(collate_clips, processor=self.processor),
        )
        # Without the wrapper for several processes, which would wait for one that has no clip; it also takes the
        # BatchNorm's statistics from the main process, whose model is saved.
        model = accelerator.unwrap_model(self.model)
        for buffer in model.buffers():
            broadcast(buffer)
        left_out: list[LeftOutClip] = []
        hidden = self.config.run.quiet or not accelerator.is_main_process
        own = recognize_batches(model, self.processor, loader, left_out, f"scoring {split}", hidden)
        hypotheses = dict(gather_object(list(own.items())))
        return count_word_errors(
            [clip.glosses for clip in dataset.clips],
            [hypotheses.get(index, "").split() for index in range(len(dataset))],
        )

    def save_model(self) -> None:
        """Write the model and its processor to `output_dir/model`, an ordinary transformers directory."""
        self.accelerator.wait_for_everyone()
        folder = self.output_dir / "model"
        self.accelerator.unwrap_model(self.model).save_pretrained(
            folder,
            is_main_process=self.accelerator.is_main_process,
            state_dict=self.accelerator.get_state_dict(self.model),
        )
        if self.accelerator.is_main_process:
            self.processor.save_pretrained(folder)


def _shorten(name: str, value: float) -> str:
    if name == "epoch":
        return str(value)
    return f"{100 * value:.2f} %" if name.endswith("wer") else f"{value:.3f}"
