"""`adaptsign lm`: language models over glosses."""

from pathlib import Path
from typing import Annotated

import typer

from adaptsign_hf.cli.options import silence_loading

app = typer.Typer(help="Language models over glosses, for better decoding.", no_args_is_help=True)


@app.command()
def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder of videos, a copy of a benchmark, or a text, one sentence a line."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The ARPA file to write.")],
    dataset: Annotated[
        str, typer.Option(help="What DATA is: folder, prepared, or a benchmark, as in `doctor`.")
    ] = "folder",
    split: Annotated[str, typer.Option(help="Whose sentences are learnt.")] = "train",
    dev_split: Annotated[str, typer.Option(help="On whose sentences it is tried, if there are any.")] = "dev",
    order: Annotated[int, typer.Option(min=2, max=6, help="Glosses in the longest n-gram.")] = 3,
    model: Annotated[
        str | None, typer.Option(help="A trained model: what it can read becomes possible, even if it is never seen.")
    ] = None,
) -> None:
    """Estimate an n-gram model (modified Kneser-Ney) from the sentences of DATA."""
    from adaptsign_hf.decoding.ngram import estimate_ngrams, write_arpa

    if not out.parent.is_dir():
        raise ValueError(f"Writing {out}: there is no folder {out.parent}.")
    sentences, dev_sentences = read_sentences(data, dataset, split, dev_split)
    ngrams = estimate_ngrams(sentences, order, None if model is None else read_vocabulary(model))
    write_arpa(ngrams, out)
    glosses = [gloss for sentence in sentences for gloss in sentence]
    typer.echo(f"sentences: {len(sentences)}")
    typer.echo(f"glosses: {len(glosses)}, of which {len(set(glosses))} different")
    typer.echo("n-grams: " + ", ".join(f"{n} of {length}" for length, n in enumerate(ngrams.count_ngrams(), start=1)))
    typer.echo(f"perplexity: {ngrams.perplexity(sentences):.2f} on what it is made of")
    if dev_sentences:
        unseen = sum((gloss,) not in ngrams.probabilities for sentence in dev_sentences for gloss in sentence)
        unknown = f", {unseen} unknown glosses in it" if unseen else ""
        typer.echo(f"perplexity: {ngrams.perplexity(dev_sentences):.2f} on {dev_split}{unknown}")


@app.command()
def attach(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A directory that training wrote; its processor is changed.")
    ],
    language_model: Annotated[Path, typer.Argument(metavar="ARPA", help="The language model; it is copied there.")],
    weight: Annotated[float, typer.Option(help="Weight of the language model.")] = 0.5,
    gloss_bonus: Annotated[float, typer.Option(help="Added for each gloss.")] = 0.0,
    num_beams: Annotated[int, typer.Option(min=1, help="Sequences that the search keeps.")] = 10,
) -> None:
    """Let MODEL decode with a language model from now on."""
    import torch

    from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor

    if not (model / "processor_config.json").is_file():
        raise ValueError(f"Attaching a language model to {model}: there is no processor_config.json in it.")
    silence_loading()
    processor = AdaptSignProcessor.from_pretrained(model)
    processor.configure_decoding("language_model", num_beams, language_model, weight, gloss_bonus)
    processor.batch_decode(torch.zeros(1, 1, processor.tokenizer.vocab_size))  # before anything is written: it works
    processor.save_pretrained(model)
    typer.echo(f"{model} decodes with {language_model}: weight {weight}, gloss bonus {gloss_bonus}, {num_beams} beams")


def read_sentences(
    data: Path, dataset: str, split: str, dev_split: str
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return the sentences of a split and of another, which may be missing; all of a text are of the first."""
    from adaptsign_hf.data.benchmarks import read_benchmark
    from adaptsign_hf.data.folder import clips_of_split

    if data.is_file():
        try:
            lines = data.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"Reading the sentences of {data}: it is no text in UTF-8 ({error}).") from error
        return [tuple(line.split()) for line in lines if line.strip()], []
    clips, _ = read_benchmark(dataset, data)
    return (
        [clip.glosses for clip in clips_of_split(clips, split)],
        [clip.glosses for clip in clips if clip.split == dev_split],
    )


def read_vocabulary(model: str) -> list[str]:
    """Return the glosses that a trained model can read."""
    from adaptsign_hf.modeling.tokenization_adaptsign import AdaptSignTokenizer

    silence_loading()
    return AdaptSignTokenizer.from_pretrained(model).glosses
