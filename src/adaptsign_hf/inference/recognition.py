"""Recognition of single videos."""

from pathlib import Path

import torch

from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor


@torch.inference_mode()
def recognize_video(model: AdaptSignForCTC, processor: AdaptSignProcessor, video: str | Path) -> str:
    """
    Read the glosses signed in a video.

    Args:
        model: The model, in evaluation mode.
        processor: Its processor.
        video: A video file or a folder of numbered images.

    Returns:
        The glosses, separated by spaces; empty if none is recognised.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        VideoReadError: If no frame of it can be read.
    """
    inputs = processor(videos=video).to(model.device)
    output = model(**inputs)
    return processor.batch_decode(output.logits, output.logit_lengths)[0]
