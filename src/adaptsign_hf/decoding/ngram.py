"""
N-gram language models over glosses: interpolated modified Kneser-Ney, written as an ARPA file.

Chen & Goodman, *An Empirical Study of Smoothing Techniques for Language Modeling* (TR-10-98, Harvard, 1998), in the
form that is usual since: the lowest order is interpolated with the uniform distribution. The kenlm of pip only reads
models; what estimates them, `lmplz`, is a program that has to be compiled apart. Hence this file.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"

Gram = tuple[str, ...]

# What is taken off n-grams seen once, twice, and more often, where a corpus is too small to tell: if no n-gram of the
# order comes exactly one, two, three or four times, or discounts would be negative. As lmplz has them on request.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
MAX_ORDER = 6  # of kenlm as it is built
NEVER = -99.0  # ARPA's logarithm of zero


@dataclass(frozen=True)
class NgramModel:
    """
    A backoff model: `P(w | h) = probabilities[h + (w,)]`, or, if it is not there, `backoffs[h] · P(w | h[1:])`.

    Attributes:
        order: Glosses in the longest n-gram.
        probabilities: Of the last gloss after those before it; of the n-grams of all orders.
        backoffs: For each history, what is left for the glosses never seen after it; 1 if it is not there.
        discounts: For each order, what was taken off the counts 1, 2 and more.
    """

    order: int
    probabilities: dict[Gram, float]
    backoffs: dict[Gram, float]
    discounts: list[tuple[float, float, float]]

    def probability(self, gloss: str, history: Sequence[str]) -> float:
        """Return P(gloss | history); of the history, the last order - 1 glosses count."""
        known = gloss if (gloss,) in self.probabilities else UNKNOWN
        context = tuple(history)[max(0, len(history) - self.order + 1) :]
        backoff = 1.0
        while (*context, known) not in self.probabilities:
            backoff *= self.backoffs.get(context, 1.0)
            context = context[1:]
        return backoff * self.probabilities[*context, known]

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> float:
        """Return the perplexity a gloss, the ends of the sentences counted as glosses."""
        logarithm, count = 0.0, 0
        for sentence in sentences:
            history = [BEGIN]
            for gloss in (*sentence, END):
                logarithm += math.log(self.probability(gloss, history))
                history.append(gloss)
                count += 1
        return math.exp(-logarithm / count)

    def count_ngrams(self) -> list[int]:
        """Return how many n-grams there are of each order."""
        counts = Counter(len(gram) for gram in [*self.probabilities, (BEGIN,)])
        return [counts[length] for length in range(1, self.order + 1)]


def estimate_ngrams(
    sentences: Iterable[Sequence[str]], order: int = 3, vocabulary: Iterable[str] | None = None
) -> NgramModel:
    """
    Estimate a model from sentences.

    Args:
        sentences: Glosses of each sentence.
        order: Glosses in the longest n-gram.
        vocabulary: Glosses that have a probability even if they are never seen; of a recognition model, all it knows.

    Raises:
        ValueError: If there is no sentence, the order is not 2 to 6, or a gloss cannot stand in an ARPA file.
    """
    corpus = [tuple(sentence) for sentence in sentences]
    if not any(corpus):
        raise ValueError(
            "Estimating a language model: there is no gloss in the sentences. Give at least one sentence."
        )
    if not 2 <= order <= MAX_ORDER:
        raise ValueError(f"Estimating a language model of the order {order}: kenlm reads the orders 2 to {MAX_ORDER}.")
    glosses = {gloss for sentence in corpus for gloss in sentence} | set(vocabulary or ())
    for gloss in glosses:
        if gloss in (BEGIN, END, UNKNOWN) or gloss.split() != [gloss] or "\0" in gloss:
            raise ValueError(
                f"Estimating a language model: the gloss {gloss!r} is empty, holds white space or a zero, or means "
                f"something else in an ARPA file ({BEGIN}, {END}, {UNKNOWN}). Rename it."
            )
    counts = _count(corpus, order)
    discounts = [_discounts(of_order.values()) for of_order in counts]
    words = [*sorted(glosses), END, UNKNOWN]
    # Below the unigrams lies the uniform distribution over all that may follow, unknown glosses as one of them.
    uniform = 1 / len(words)
    probabilities: dict[Gram, float] = {}
    backoffs: dict[Gram, float] = {}
    for of_order, discount in zip(counts, discounts, strict=True):
        totals, left = _sum_by_history(of_order, discount)
        longer: dict[Gram, float] = {}
        for gram, count in of_order.items():
            history = gram[:-1]
            lower = probabilities[gram[1:]] if history else uniform
            longer[gram] = (count - discount[min(count, 3) - 1]) / totals[history] + left[history] * lower
        if () in left:
            longer |= {(word,): left[()] * uniform for word in words if (word,) not in longer}  # never seen
        probabilities |= longer
        backoffs |= {history: share for history, share in left.items() if history}
    return NgramModel(order, probabilities, backoffs, discounts)


def _count(corpus: Sequence[Gram], order: int) -> list[dict[Gram, int]]:
    """Count the n-grams of each order: how often they come; below the highest order, after how many glosses."""
    counts: list[dict[Gram, int]] = [Counter() for _ in range(order)]
    for sentence in corpus:
        padded = (BEGIN, *sentence, END)
        for length in range(1, order + 1):
            for start in range(len(padded) - length + 1):
                gram = padded[start : start + length]
                # What begins a sentence has nothing before it that could differ: it counts as often as it comes.
                if gram != (BEGIN,) and (length == order or gram[0] == BEGIN):
                    counts[length - 1][gram] += 1
    for length in range(order - 1, 0, -1):
        for gram in counts[length]:
            counts[length - 1][gram[1:]] += 1
    return counts


def _discounts(counts: Iterable[int]) -> tuple[float, float, float]:
    """Estimate what is taken off from how many n-grams come one to four times, or fall back."""
    seen = Counter(counts)
    once, twice, thrice, four_times = (seen[count] for count in (1, 2, 3, 4))
    if not (once and twice and thrice and four_times):
        return FALLBACK_DISCOUNTS
    share = once / (once + 2 * twice)
    found = (
        1 - 2 * share * twice / once,
        2 - 3 * share * thrice / twice,
        3 - 4 * share * four_times / thrice,
    )
    return found if all(0 < taken <= count for count, taken in enumerate(found, start=1)) else FALLBACK_DISCOUNTS


def _sum_by_history(
    counts: dict[Gram, int], discount: tuple[float, float, float]
) -> tuple[dict[Gram, int], dict[Gram, float]]:
    """Return how often each history is followed by anything, and the share that is taken off and goes below."""
    totals: dict[Gram, int] = defaultdict(int)
    taken: dict[Gram, float] = defaultdict(float)
    for gram, count in counts.items():
        totals[gram[:-1]] += count
        taken[gram[:-1]] += discount[min(count, 3) - 1]
    return totals, {history: taken[history] / total for history, total in totals.items()}


def write_arpa(model: NgramModel, path: str | Path) -> None:
    """Write a model as an ARPA file."""
    by_order: list[list[Gram]] = [[] for _ in range(model.order)]
    for gram in [*model.probabilities, (BEGIN,)]:
        by_order[len(gram) - 1].append(gram)
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        file.writelines(f"ngram {length}={len(grams)}\n" for length, grams in enumerate(by_order, start=1))
        for length, grams in enumerate(by_order, start=1):
            file.write(f"\n\\{length}-grams:\n")
            for gram in sorted(grams):
                logarithm = math.log10(model.probabilities[gram]) if gram in model.probabilities else NEVER
                line = f"{logarithm:.9g}\t{' '.join(gram)}"
                # Without a backoff in its third column, pyctcdecode's own reader would miss a unigram.
                if length < model.order:
                    line += f"\t{math.log10(model.backoffs.get(gram, 1.0)):.9g}"
                file.write(f"{line}\n")
        file.write("\n\\end\\\n")
