"""
What a language model over glosses is worth to a half-trained model: word error rates of all decoders.

    accelerate launch train.py --config configs/quickstart.yaml --epochs 6 --output_dir runs/half    # 3 minutes
    python benchmarks/language_model_gain.py runs/half/model data/synthetic

Two pairs of dev and test clips are read. The corpus's own sentences are drawn gloss by gloss, each as likely as any
other: there is nothing that a language model could know but their lengths. So the same renderer, with the same
signers, performs other sentences, too: of a grammar in which each gloss is followed by one of five. The language
model is made of the text of 600 training sentences, of which none is among the clips; nothing else is trained. Its
order, its weight and the bonus are those that are best on dev.
"""

import argparse
import itertools
import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from adaptsign_hf.data.folder import clips_of_split, read_folder
from adaptsign_hf.data.synthetic import LEXICON, TRAIN_SIGNERS, SyntheticCorpusConfig, render_sentence
from adaptsign_hf.decoding.ngram import estimate_ngrams, write_arpa
from adaptsign_hf.inference.loading import load_model
from adaptsign_hf.metrics.gloss_wer.word_errors import count_word_errors

RESULT = Path(__file__).with_suffix(".json")
NUM_SENTENCES = {"train": 600, "dev": 40, "test": 100}  # of the grammar; of the corpus, as many as there are
NUM_SUCCESSORS = 5
ORDERS = (2, 3)
WEIGHTS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5)
BONUSES = (2.0, 3.0, 4.0)  # as multiples of the weight
SEED = 0

Sentence = tuple[str, ...]
Split = tuple[list[Sentence], list[torch.Tensor]]  # sentences, and the logits of their clips


def draw_sentences_of_grammar() -> dict[str, list[Sentence]]:
    """Return sentences of 3 to 8 glosses, each followed by one of five; no sentence comes twice."""
    generator = np.random.default_rng(SEED)
    glosses = list(LEXICON)
    successors = {gloss: generator.choice(glosses, NUM_SUCCESSORS, replace=False).tolist() for gloss in glosses}
    sentences: dict[Sentence, None] = {}
    while len(sentences) < sum(NUM_SENTENCES.values()):
        sentence = [str(generator.choice(glosses))]
        for _ in range(generator.integers(2, 8)):
            sentence.append(str(generator.choice(successors[sentence[-1]])))
        sentences[tuple(sentence)] = None
    drawn = iter(sentences)
    return {split: list(itertools.islice(drawn, number)) for split, number in NUM_SENTENCES.items()}


@torch.inference_mode()
def read_clips(videos: Sequence, model: torch.nn.Module, processor: Callable, name: str) -> list[torch.Tensor]:
    """Return the logits of each video, (steps, classes)."""
    return [model(**processor(videos=video)).logits[0] for video in tqdm(videos, name, leave=False)]


def render(sentences: Sequence[Sentence], seed: int) -> list[np.ndarray]:
    """Return the frames of each sentence; the signers take turns."""
    config = SyntheticCorpusConfig()
    return [
        render_sentence(sentence, TRAIN_SIGNERS[index % len(TRAIN_SIGNERS)], config, [SEED, seed, index]).frames
        for index, sentence in enumerate(tqdm(sentences, "rendering", leave=False))
    ]


def measure(training: Sequence[Sentence], dev: Split, test: Split, processor, folder: Path) -> dict:
    """Return the word error rates of greedy decoding, beam search, and the language model that is best on dev."""

    def error_rate(split: Split, **settings) -> float:
        processor.configure_decoding(**settings)
        sentences, logits = split
        read = processor.batch_decode(pad_sequence(logits, batch_first=True), [len(row) for row in logits])
        return 100 * count_word_errors(sentences, [sentence.split() for sentence in read]).wer

    tried = {}
    perplexities = {}
    for order in ORDERS:
        ngrams = estimate_ngrams(training, order, processor.tokenizer.glosses)
        perplexities[order] = ngrams.perplexity(dev[0])
        write_arpa(ngrams, folder / f"{order}.arpa")
        for weight, bonus in itertools.product(WEIGHTS, BONUSES):
            chosen = {"language_model_weight": weight, "gloss_bonus": weight * bonus}
            tried[order, weight, bonus] = error_rate(dev, language_model=folder / f"{order}.arpa", **chosen)
    order, weight, bonus = min(tried, key=tried.__getitem__)
    chosen = {"language_model_weight": weight, "gloss_bonus": weight * bonus}
    return {
        "dev_perplexity": perplexities[order],
        "order": order,
        **chosen,
        "dev_wer": {
            "greedy": error_rate(dev, decoder="greedy"),
            "beam": error_rate(dev, decoder="beam"),
            "language_model": tried[order, weight, bonus],
        },
        "test_wer": {
            "greedy": error_rate(test, decoder="greedy"),
            "beam": error_rate(test, decoder="beam"),
            "language_model": error_rate(test, language_model=folder / f"{order}.arpa", **chosen),
        },
        "test_glosses": sum(map(len, test[0])),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model half trained on the synthetic corpus")
    parser.add_argument("corpus", type=Path, help="that corpus")
    arguments = parser.parse_args()
    model, processor = load_model(arguments.model, "cpu")
    clips = read_folder(arguments.corpus)[0]
    uniform = {split: clips_of_split(clips, split) for split in NUM_SENTENCES}
    grammar = draw_sentences_of_grammar()
    results = {}
    with TemporaryDirectory() as folder:
        splits = [
            ([clip.glosses for clip in uniform[split]], [clip.path for clip in uniform[split]])
            for split in ("dev", "test")
        ]
        read = [(sentences, read_clips(videos, model, processor, "reading")) for sentences, videos in splits]
        training = [clip.glosses for clip in uniform["train"]]
        results["sentences of the corpus, without a grammar"] = measure(training, *read, processor, Path(folder))
        read = [
            (grammar[split], read_clips(render(grammar[split], seed), model, processor, "reading"))
            for seed, split in enumerate(("dev", "test"))
        ]
        results["sentences of a grammar"] = measure(grammar["train"], *read, processor, Path(folder))
    for name, result in results.items():
        print(f"{name}: perplexity {result['dev_perplexity']:.1f} on dev, {result['test_glosses']} glosses in test")
        print(
            f"  order {result['order']}, weight {result['language_model_weight']}, bonus {result['gloss_bonus']:.2f}"
        )
        for split in ("dev", "test"):
            rates = (f"{decoder} {rate:.2f} %" for decoder, rate in result[f"{split}_wer"].items())
            print(f"  {split} WER: {', '.join(rates)}")
    report = {"machine": platform.processor() or platform.machine(), "model": str(arguments.model), **results}
    RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
