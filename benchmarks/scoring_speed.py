"""
How long scoring takes: seconds for 100,000 pairs of sentences by each protocol, beside jiwer where it is installed.

    python benchmarks/scoring_speed.py

Sentences have 3 to 18 glosses of a vocabulary of 1,200, and a fifth of the glosses is read wrongly. jiwer aligns with
one cost for all errors, so that its substitutions, deletions and insertions are not sclite's.
"""

import argparse
import random
import time
from collections.abc import Callable

from adaptsign_hf.metrics.gloss_wer.protocols import PROTOCOLS, apply_protocol
from adaptsign_hf.metrics.gloss_wer.word_errors import WordErrors, count_word_errors

GLOSSES = [f"GLOSS{chr(65 + index % 26)}{index}" for index in range(1100)]
GLOSSES += [f"{prefix}-REGEN{index}" for prefix in ("loc", "cl", "poss", "neg") for index in range(20)]
GLOSSES += ["__ON__", "__OFF__", "__PU__", "__EMOTION__", "WIE", "AUSSEHEN", "S0NNE", "HABEN2", "ZEIGEN", "ALPENRAUM"]
GLOSSES += ["KOMMEN-PLUSPLUS", *"ABCDEFGHI"]


def make_pairs(count: int) -> tuple[list[str], list[str]]:
    """Return references and hypotheses, the same ones each time."""
    random.seed(0)
    references = [random.choices(GLOSSES, k=random.randint(3, 18)) for _ in range(count)]
    return [" ".join(glosses) for glosses in references], [" ".join(misread(glosses)) for glosses in references]


def misread(glosses: list[str]) -> list[str]:
    """Return glosses with 10 % substitutions, 6 % deletions and 4 % insertions."""
    read: list[str] = []
    for gloss in glosses:
        luck = random.random()
        if luck < 0.10:
            read.append(random.choice(GLOSSES))
        elif luck < 0.14:
            read += [gloss, random.choice(GLOSSES)]
        elif luck < 0.94:
            read.append(gloss)
    return read


def score(references: list[str], hypotheses: list[str], protocol: str) -> WordErrors:
    """Score as the metric does."""
    return count_word_errors(*apply_protocol(references, hypotheses, protocol))


def report(name: str, call: Callable[[], object]) -> None:
    """Print the seconds that a call takes, and what it returns."""
    started = time.perf_counter()
    result = call()
    print(f"{name:14} {time.perf_counter() - started:6.2f} s   {result}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000, help="pairs of sentences (100000)")
    references, hypotheses = make_pairs(parser.parse_args().pairs)
    for protocol in PROTOCOLS:
        report(protocol, lambda protocol=protocol: score(references, hypotheses, protocol))
    try:
        import jiwer
    except ImportError:
        return
    kept = [pair for pair in zip(references, hypotheses, strict=True) if pair[0]]
    report("jiwer, raw", lambda: f"WER {100 * jiwer.process_words(*map(list, zip(*kept, strict=True))).wer:.2f} %")


if __name__ == "__main__":
    main()
