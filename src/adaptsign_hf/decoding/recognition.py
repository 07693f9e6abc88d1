"""Recognition of a data loader's clips."""

from collections.abc import Iterable

import torch
from tqdm.auto import tqdm

from adaptsign_hf.data.folder import LeftOutClip
from adaptsign_hf.data.loading import normalize_batch
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor


@torch.inference_mode()
def recognize_batches(
    model: torch.nn.Module,
    processor: AdaptSignProcessor,
    batches: Iterable[dict],
    left_out: list[LeftOutClip],
    description: str = "recognising",
    quiet: bool = False,
) -> dict[int, str]:
    """
    Recognise clips by the best class of each step.

    Args:
        model: `AdaptSignForCTC`, perhaps wrapped for several processes; it is left in evaluation mode.
        processor: Decodes its logits.
        batches: From `data.loading.collate_clips`.
        left_out: Takes the clips that turn out unreadable.
        description: Label of the progress bar.
        quiet: Whether the bar is hidden.

    Returns:
        For each clip's index, its glosses, separated by spaces.
    """
    model.eval()
    device = next(model.parameters()).device
    hypotheses: dict[int, str] = {}
    for batch in tqdm(batches, description, disable=quiet or None, unit="batch", leave=False):
        left_out.extend(batch["left_out"])
        if "frames" not in batch:
            continue
        indices = batch["index"].tolist()
        output = model(normalize_batch(batch, processor, device), batch["attention_mask"])
        hypotheses.update(zip(indices, processor.batch_decode(output.logits, output.logit_lengths), strict=True))
    return hypotheses
