"""The classifier of glosses, and the three terms of the loss: two CTC losses and a distillation between them."""

import torch
import torch.nn.functional as F
from torch import nn


class GlossClassifier(nn.Linear):
    """
    Scores glosses. Normalised, each class vector has unit length and there is no bias.

    Args:
        hidden_size: Size of the input.
        vocab_size: Number of classes, the blank among them.
        normalize: Whether class vectors are scaled to unit length.
    """

    def __init__(self, hidden_size: int, vocab_size: int, normalize: bool):
        super().__init__(hidden_size, vocab_size, bias=not normalize)
        self.normalize = normalize

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map (..., hidden size) to logits (..., classes)."""
        weight = F.normalize(self.weight, dim=1) if self.normalize else self.weight
        return F.linear(hidden, weight, self.bias)


def check_labels(labels: torch.Tensor, num_clips: int, vocab_size: int, blank_id: int) -> None:
    """
    Refuse labels of which torch's CTC would make nonsense, or read outside its memory, without a word.

    Args:
        labels: long (clips, glosses), padded with -100.
        num_clips: Number of clips.
        vocab_size: Number of classes, the blank among them.
        blank_id: Id of the blank.

    Raises:
        ValueError: If there is not one row a clip, or a label is no gloss, or padding stands before a gloss.
    """
    if labels.ndim != 2 or len(labels) != num_clips:
        raise ValueError(
            f"labels has shape {tuple(labels.shape)}, but there are {num_clips} clips: "
            "it must be (clips, glosses), padded with -100."
        )
    labels = labels.cpu()
    valid = labels >= 0
    wrong = labels[(labels >= vocab_size) | (labels == blank_id)]
    if len(wrong):
        raise ValueError(
            f"labels holds {wrong[0]}, but the glosses of {vocab_size} classes are below {vocab_size} and "
            f"{blank_id} is the blank: pad with -100, and check that labels and model have the same vocabulary."
        )
    if (valid[:, 1:] & ~valid[:, :-1]).any():
        raise ValueError("labels has padding before a gloss: padding goes behind the glosses.")


def ctc_loss(logits: torch.Tensor, steps: list[int], labels: torch.Tensor, blank_id: int) -> torch.Tensor:
    """
    Connectionist temporal classification, summed over a clip and averaged over the clips.

    Args:
        logits: float (clips, steps, classes).
        steps: Valid steps of each clip.
        labels: long (clips, glosses), padded with -100.
        blank_id: Id of the blank.

    Returns:
        A scalar. It is infinite where a clip's labels cannot fit its steps; such clips are left out beforehand.
    """
    valid = labels >= 0
    losses = F.ctc_loss(
        logits.float().log_softmax(dim=-1).transpose(0, 1),
        labels.masked_fill(~valid, blank_id),
        torch.tensor(steps, device=logits.device),
        valid.sum(dim=1),
        blank=blank_id,
        reduction="none",
    )
    return losses.mean()


def distillation_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    valid_steps: torch.Tensor,
    blank_id: int,
    temperature: float,
) -> torch.Tensor:
    """
    `τ²·KL(softmax(teacher/τ) ‖ softmax(student/τ))` without the blank's column, averaged over all valid steps.

    Args:
        student_logits: Of the convolutions, float (clips, steps, classes).
        teacher_logits: Of the BiLSTM, the same shape; no gradient flows into them.
        valid_steps: bool (clips, steps).
        blank_id: Id of the blank, whose column is dropped before both softmaxes.
        temperature: τ.

    Returns:
        A scalar.
    """

    def soften(logits: torch.Tensor) -> torch.Tensor:
        glosses_only = torch.cat([logits[..., :blank_id], logits[..., blank_id + 1 :]], dim=-1)
        return (glosses_only.float() / temperature).log_softmax(dim=-1)

    teacher = soften(teacher_logits.detach())
    divergence = F.kl_div(soften(student_logits), teacher, reduction="none", log_target=True).sum(dim=-1)
    return temperature**2 * (divergence * valid_steps).sum() / valid_steps.sum()


__all__ = ["GlossClassifier", "check_labels", "ctc_loss", "distillation_loss"]
