"""CTC prefix beam search (Hannun et al., arXiv 1408.2873), vectorised over clips, beams and classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .tokenization_adaptsign import BLANK_ID


@dataclass(frozen=True)
class Hypothesis:
    """A sequence of glosses that may have been signed.

    Attributes:
        ids: The glosses.
        log_probability: Natural logarithm of the sequence's probability: of the sum over all of its CTC paths that the
            search kept. With a language model, the logarithm by which the search ranks; it is not normalised.
    """

    ids: tuple[int, ...]
    log_probability: float


def beam_search(
    log_probs: torch.Tensor,
    lengths: torch.Tensor | Sequence[int] | None = None,
    num_beams: int = 10,
    n_best: int = 1,
    blank_id: int = BLANK_ID,
) -> list[list[Hypothesis]]:
    """Find the most probable sequences of each clip: not of paths, but of what they collapse to.

    After each step the `num_beams` most probable sequences are kept. With as many beams as there are sequences the
    result is exact. A clip's result does not depend on what it is batched with.

    Args:
        log_probs: Natural log-probabilities of the classes, (clips, steps, classes); -inf is allowed.
        lengths: Number of valid steps of each clip, (clips,); None takes all.
        num_beams: How many sequences are kept.
        n_best: How many are returned, at most `num_beams`.
        blank_id: Class of the CTC blank.

    Returns:
        For each clip its hypotheses, best first, equally probable ones in the order of their ids; fewer than `n_best`
        where fewer sequences have a probability above zero.

    Raises:
        ValueError: If a shape or a number does not fit, or a log-probability is NaN or infinite.
    """
    num_clips, num_steps, num_classes = _check_arguments(log_probs, num_beams, n_best, blank_id)
    log_probs = log_probs.detach().float().cpu()
    if lengths is not None:
        lengths = torch.as_tensor(lengths).cpu()
        if lengths.shape != (num_clips,) or not ((lengths >= 0) & (lengths <= num_steps)).all():
            raise ValueError(
                f"Cannot search {num_clips} clips of {num_steps} steps with the lengths {lengths.tolist()}: give each "
                "clip one, at most that many."
            )
        # What follows a clip is certainly blank, which changes nothing, so that all clips can go on to the last step.
        follows = torch.arange(num_steps) >= lengths[:, None]
        if follows.any():
            log_probs = log_probs.masked_fill(follows[:, :, None], -torch.inf)
            log_probs[..., blank_id].masked_fill_(follows, 0.0)
    # At a step, only the best num_beams + 1 glosses can lead to a sequence that is kept: a beam's continuations with
    # num_beams better glosses are other sequences at least as probable, even if they are on the beam already.
    # One more, as repeating the last gloss needs a blank before it and so may be less probable than it seems.
    num_glosses = min(num_beams + 1, num_classes - 1)
    without_blank = log_probs.clone()
    without_blank[..., blank_id] = -torch.inf
    best_scores, best_glosses = without_blank.topk(num_glosses, dim=2)

    search = _Search(num_clips, num_beams, num_classes, blank_id)
    scores, blank_scores = log_probs.numpy(), log_probs[..., blank_id, None].double().numpy()
    best_scores_of, best_glosses_of = best_scores.double().numpy(), best_glosses.numpy()
    for step in range(num_steps):
        search.advance(scores[:, step], blank_scores[:, step], best_scores_of[:, step], best_glosses_of[:, step])
    return [hypotheses[:n_best] for hypotheses in search.hypotheses()]


def _check_arguments(log_probs: torch.Tensor, num_beams: int, n_best: int, blank_id: int) -> tuple[int, int, int]:
    if log_probs.ndim != 3 or log_probs.shape[2] < 2:
        raise ValueError(
            f"Cannot search log-probabilities of shape {tuple(log_probs.shape)}: (clips, steps, classes) is needed, "
            "with the blank and at least one gloss."
        )
    if num_beams < 1:
        raise ValueError(f"Cannot search with num_beams={num_beams}: give at least 1.")
    if not 1 <= n_best <= num_beams:
        raise ValueError(f"Cannot give the n_best={n_best} of {num_beams} beams: give 1 to num_beams.")
    if not 0 <= blank_id < log_probs.shape[2]:
        raise ValueError(f"The blank_id={blank_id} is none of the {log_probs.shape[2]} classes.")
    if log_probs.sum().isnan():
        raise ValueError(
            "Cannot search log-probabilities of which some are NaN or +inf: the model's output is broken."
        )
    num_clips, num_steps, num_classes = log_probs.shape
    return num_clips, num_steps, num_classes


class _Search:
    """The beams of all clips, arrays of shape (clips, beams); a beam nobody uses has the probability zero.

    A sequence is a node of a trie: its number, from which its last gloss and the node before that follow. Each clip
    has a root of its own, the empty sequence: the nodes 0, 1, … Sequences that come back after they were dropped get
    the node they had. So equal sequences are those of equal nodes, and the beams of a clip are all different.

    Attributes:
        ending_in_blank: Log-probability of the sequence's paths that end in a blank.
        ending_in_gloss: Of those that end in its last gloss.
        total: Of both.
        node: Node of the sequence; -1 where the beam is not used.
        parent: Node of the sequence without its last gloss; -2 where there is none.
        last: Last gloss; the blank in an empty sequence.
        children: The trie: from `parent * num_classes + gloss` to the node; in the order in which they were made.
    """

    def __init__(self, num_clips: int, num_beams: int, num_classes: int, blank_id: int):
        shape = (num_clips, num_beams)
        self.num_clips, self.num_beams, self.num_classes = num_clips, num_beams, num_classes
        self.ending_in_blank = np.full(shape, -np.inf)
        self.ending_in_blank[:, 0] = 0.0
        self.ending_in_gloss = np.full(shape, -np.inf)
        self.total = self.ending_in_blank
        self.node = np.full(shape, -1)
        self.node[:, 0] = np.arange(num_clips)
        self.parent = np.full(shape, -2)
        self.last = np.full(shape, blank_id)
        self.children: dict[int, int] = {}
        self.rows = np.arange(num_clips)[:, None]
        self._pair_up()

    def _pair_up(self) -> None:
        """Find the pairs of beams of which one is the other and one gloss more: flat positions of both."""
        clip, longer, shorter = (self.parent[:, :, None] == self.node[:, None, :]).nonzero()
        self.longer, self.shorter = clip * self.num_beams + longer, clip * self.num_beams + shorter
        self.doubled = self.last.take(self.longer) == self.last.take(self.shorter)

    def advance(
        self, scores: np.ndarray, blank_score: np.ndarray, gloss_scores: np.ndarray, glosses: np.ndarray
    ) -> None:
        """Take in a step.

        Args:
            scores: Log-probabilities, (clips, classes).
            blank_score: The blank's, (clips, 1).
            gloss_scores: Those of the best glosses, (clips, best), best first.
            glosses: The best glosses, (clips, best).
        """
        last_score = scores[self.rows, self.last]
        # The sequence stays: by a blank, or by its last gloss going on.
        ending_in_blank = self.total + blank_score
        ending_in_gloss = self.ending_in_gloss + last_score
        # Or it gets one gloss more (only after a blank, if the gloss is its last again) and becomes one that is on the
        # beam already: the two are one.
        if self.longer.size:
            before = np.where(self.doubled, self.ending_in_blank.take(self.shorter), self.total.take(self.shorter))
            merged = np.logaddexp(ending_in_gloss.take(self.longer), before + last_score.take(self.longer))
            ending_in_gloss.put(self.longer, merged)
        stayed = np.logaddexp(ending_in_blank, ending_in_gloss)
        if (self.total.max(axis=1) + gloss_scores[:, 0] < stayed.min(axis=1)).all():  # nothing new gets on the beam
            self.ending_in_blank, self.ending_in_gloss, self.total = ending_in_blank, ending_in_gloss, stayed
            return
        # Or it becomes a new one.
        repeated = self.last[:, :, None] == glosses[:, None, :]
        before = np.where(repeated, self.ending_in_blank[:, :, None], self.total[:, :, None])
        continued = before + gloss_scores[:, None, :]
        if self.longer.size:
            num_best = glosses.shape[1]
            pair, gloss = repeated.reshape(-1, num_best)[self.longer].nonzero()
            continued.put(self.shorter[pair] * num_best + gloss, -np.inf)
        self._keep_the_best(ending_in_blank, ending_in_gloss, stayed, continued, glosses)

    def _keep_the_best(
        self,
        ending_in_blank: np.ndarray,
        ending_in_gloss: np.ndarray,
        stayed: np.ndarray,
        continued: np.ndarray,
        glosses: np.ndarray,
    ) -> None:
        num_beams, num_best = self.num_beams, glosses.shape[1]
        candidates = np.concatenate([stayed, continued.reshape(self.num_clips, -1)], axis=1)
        chosen = np.argpartition(-candidates, num_beams - 1, axis=1)[:, :num_beams]
        self.total = candidates[self.rows, chosen]
        is_new = chosen >= num_beams
        beam, gloss = np.divmod(chosen - num_beams, num_best)
        source = np.where(is_new, beam, chosen) + self.rows * num_beams
        self.ending_in_blank = np.where(is_new, -np.inf, ending_in_blank.take(source))
        self.ending_in_gloss = np.where(is_new, self.total, ending_in_gloss.take(source))
        node = self.node.take(source)
        self.parent = np.where(is_new, node, self.parent.take(source))
        self.last = np.where(is_new, glosses.take(gloss + self.rows * num_best), self.last.take(source))
        is_new &= self.total > -np.inf
        node[is_new] = self._make_nodes(self.parent[is_new] * self.num_classes + self.last[is_new])
        is_unused = self.total == -np.inf
        node[is_unused], self.parent[is_unused] = -1, -2
        self.node = node
        self._pair_up()

    def _make_nodes(self, keys: np.ndarray) -> list[int]:
        children, first = self.children, self.num_clips
        return [children.setdefault(key, first + len(children)) for key in keys.tolist()]

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Return each clip's sequences, best first."""
        keys = list(self.children)
        found = []
        for nodes, totals in zip(self.node.tolist(), self.total.tolist(), strict=True):
            used = [
                Hypothesis(self._ids(node, keys), total)
                for node, total in zip(nodes, totals, strict=True)
                if node >= 0
            ]
            found.append(sorted(used, key=lambda hypothesis: (-hypothesis.log_probability, hypothesis.ids)))
        return found

    def _ids(self, node: int, keys: list[int]) -> tuple[int, ...]:
        ids = []
        while node >= self.num_clips:
            node, gloss = divmod(keys[node - self.num_clips], self.num_classes)
            ids.append(gloss)
        return tuple(reversed(ids))
