"""Cards tell what was measured, and nothing else."""

import re

import pytest
from huggingface_hub import DatasetCard, ModelCard, metadata_load

from adaptsign_hf.data.benchmarks import BENCHMARKS
from adaptsign_hf.data.prepared.preparing import prepare_benchmark
from adaptsign_hf.hub.cards import SIGN_LANGUAGES, Declaration, render_dataset_card, render_model_card
from adaptsign_hf.hub.reports import SYNTHETIC, TrainingData, find_training_data, published_part, read_report

from .conftest import SECRETS

FOLDER = TrainingData("folder", "a folder of videos")


@pytest.fixture
def render(tiny_config, run):
    def render(report=None, data=FOLDER, declaration=None, **options) -> ModelCard:
        part = published_part(report) if report else None
        declaration = declaration or Declaration()
        return render_model_card(
            "user/signs", tiny_config, None, declaration, report=part, data=data if part else None, **options
        )

    return render


def numbers_in(text):
    return {float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", text)}


def test_the_metadata_is_read_back_as_the_hub_reads_it(render, run, tmp_path):
    declaration = Declaration("cc-by-nc-4.0", "gsg", ["someone/clips"], "openai/clip-vit-base-patch16")
    render(run.report, declaration=declaration).save(tmp_path / "README.md")
    metadata = metadata_load(tmp_path / "README.md")
    assert {key: metadata[key] for key in metadata if key != "model-index"} == {
        "license": "cc-by-nc-4.0",
        "library_name": "transformers",
        "base_model": "openai/clip-vit-base-patch16",
        "pipeline_tag": "video-classification",
        "language": "gsg",
        "datasets": ["someone/clips"],
        "metrics": ["wer"],
        "tags": ["sign-language-recognition", "adaptsign"],
    }
    (entry,) = metadata["model-index"]
    assert entry["name"] == "signs"
    assert [result["dataset"]["type"] for result in entry["results"]] == ["someone/clips"] * 2


def test_an_adapter_says_whose_it_is(render):
    data = render(declaration=Declaration(base_model="openai/clip-vit-base-patch16"), is_adapter=True).data.to_dict()
    assert (data["library_name"], data["base_model_relation"]) == ("peft", "adapter")
    assert data["base_model"] == "openai/clip-vit-base-patch16"


def test_an_adapter_of_an_unknown_clip_names_none_and_shows_how_to_give_it(render):
    card = render(is_adapter=True)
    assert "base_model" not in card.content.partition("\n---\n")[0]
    assert 'clip="' in card.text


def test_scores_are_those_of_the_report_to_the_last_digit(render, run):
    card = render(run.report)
    results = {result.dataset_split: result for result in ModelCard(card.content).data.eval_results}
    assert results.keys() == run.report["scores"].keys()
    for split, score in run.report["scores"].items():
        assert results[split].metric_value == score["wer"]
        assert results[split].metric_args == {
            "protocol": "raw",
            "decoder": "greedy",
            **{key: number for key, number in score.items() if key != "wer"},
        }
        (row,) = [line for line in card.text.splitlines() if line.startswith(f"| {split} |")]
        counts = [score[key] for key in ("substitutions", "deletions", "insertions", "reference_glosses", "clips")]
        assert row == f"| {split} | {100 * score['wer']:.2f} % | " + " | ".join(map(str, counts)) + " |"


def test_what_the_run_took_is_in_the_text(render, run):
    text = render(run.report).text
    report = run.report
    for part in (
        "Seed: 1729.",
        f"{report['parameters']['trained']} trained, {report['parameters']['frozen']} frozen",
        "417.3 seconds of training, 423.9 seconds in all, processes: 2, device: cuda:0.",
        "611 train, 31 dev, 29 test.",
        "could not be used: 1.",
        "protocol raw, decoder greedy",
        "best on `dev`",
    ):
        assert part in text


def test_without_a_report_there_is_no_number_but_those_of_the_model(render, tiny_config):
    card = render()
    assert not card.data.to_dict().keys() & {"model-index", "model_name"}
    assert card.data.eval_results is None
    assert "no measurement came with these weights" in card.text
    known = {tiny_config.vocab_size - 1.0, float(tiny_config.vision.image_size), 2404.08226, 1.0, 2.0}  # 1-D, …-2.0
    assert numbers_in(card.text) <= known


def test_a_report_without_scores_gives_no_model_index(render, run):
    run.report["scores"] = {}
    card = render(run.report)
    assert "model-index" not in card.content
    assert "no measurement came with these weights" in card.text
    assert "Seed: 1729." in card.text


@pytest.mark.parametrize("key", ["decoder", "protocol", "seconds", "parameters", "clips", "left_out", "processes"])
def test_what_the_report_does_not_say_is_not_said(render, run, key):
    whole = render(run.report).text
    del run.report[key]
    text = render(run.report).text
    assert text != whole
    for trace in ("None", "Undefined", "{{", "{%", "  .", ": ,", ": ."):
        assert trace not in text
    assert numbers_in(text) <= numbers_in(whole)
    if key in ("decoder", "protocol"):
        assert f"{key} not recorded" in text


@pytest.mark.parametrize("is_adapter", [False, True])
def test_every_card_says_what_it_is_for_and_what_not(render, run, is_adapter):
    text = render(run.report, is_adapter=is_adapter).text
    for heading in ("What a gloss is not", "Intended use", "Signer privacy", "Limits", "Licence"):
        assert f"\n## {heading}\n\n" in text
    assert "It is not a translation" in text
    assert "trust_remote_code=True" in text
    assert not re.search(r"\n{3,}", text)


@pytest.mark.parametrize("name", [name for name, benchmark in BENCHMARKS.items() if benchmark.redistribution])
def test_a_benchmark_that_may_not_be_passed_on_is_named_with_its_terms(render, run, name):
    run.report["recipe"]["dataset"] = name
    data = find_training_data(run.report)
    card = render(run.report, data=data)
    assert BENCHMARKS[name].redistribution in card.text
    assert BENCHMARKS[name].title in card.text
    assert card.data.language == SIGN_LANGUAGES[name]
    assert {result.dataset_type for result in card.data.eval_results} == {name}


def test_what_was_prepared_from_a_benchmark_is_that_benchmark(plant_tree, run, tmp_path):
    plant_tree("phoenix2014-t")
    prepare_benchmark("phoenix2014-t", tmp_path / "copy", tmp_path / "prepared", 16, num_workers=0, quiet=True)
    run.report["recipe"] |= {"dataset": "prepared", "data_dir": str(tmp_path / "prepared")}
    assert find_training_data(run.report).name == "phoenix2014-t"
    run.report["recipe"]["data_dir"] = str(tmp_path / "gone")
    assert find_training_data(run.report).name == "prepared"


def test_only_what_was_rendered_is_called_synthetic(run, tmp_path):
    run.report["recipe"] |= {"render_synthetic": True, "data_dir": str(tmp_path)}
    assert find_training_data(run.report).name == "folder"
    (tmp_path / "corpus.json").write_text('{"renderer_version": 2}')
    assert find_training_data(run.report).name == SYNTHETIC


def test_an_unknown_benchmark_is_told(run):
    run.report["recipe"]["dataset"] = "phoenix2099"
    with pytest.raises(ValueError, match="'phoenix2099'"):
        find_training_data(run.report)


def test_the_published_report_tells_nothing_of_the_machine(run):
    part = published_part(run.report)
    assert not [secret for secret in SECRETS if secret in str(part)]
    assert part["recipe"] == {
        "dataset": "folder",
        "vocabulary": "train",
        "dev_split": "dev",
        "clip": None,
        "pretrained": None,
        "seed": 1729,
        "epochs": 12,
        "quiet": True,
    }
    assert part["left_out"] == 1
    for key in ("scores", "seconds", "parameters", "clips", "history", "versions"):
        assert part[key] == run.report[key]
    assert "hypotheses" not in part


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("no JSON", "it is no JSON"),
        ("[]", "with the tables scores and recipe"),
        ('{"scores": {}}', "with the tables scores and recipe"),
        ('{"scores": {"dev": {"wer": 0.5}}, "recipe": {}}', "split 'dev' lacks substitutions"),
    ],
)
def test_what_is_no_report_is_told(tmp_path, text, message):
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_report(tmp_path / "report.json")


def test_a_dataset_card_counts_the_folder(plant_tree, tmp_path):
    tree = plant_tree("folder")
    prepare_benchmark("folder", tmp_path / "copy", tmp_path / "out", 16, num_workers=0, quiet=True)
    render_dataset_card("user/clips", tmp_path / "out", "cc-by-4.0", "gsg").save(tmp_path / "README.md")
    metadata = metadata_load(tmp_path / "README.md")
    assert (metadata["license"], metadata["language"]) == ("cc-by-4.0", "gsg")
    text = DatasetCard.load(tmp_path / "README.md").text
    assert "16 x 16 pixels" in text
    for split in {clip.split for clip in tree.samples}:
        own = [clip for clip in tree.samples if clip.split == split]
        glosses = [gloss for clip in own for gloss in clip.glosses]
        signers = {clip.signer for clip in own if clip.signer}
        row = f"| {split} | {len(own)} | {len(glosses)} | {len(set(glosses))} | {len(signers) or 'unknown'} |"
        assert row in text.splitlines()
        assert not [signer for signer in signers if len(signer) > 2 and signer in text]
    assert "## What a gloss is not" in text


def test_a_dataset_card_is_of_a_prepared_folder(tmp_path):
    with pytest.raises(ValueError, match="no folder that `adaptsign prepare` wrote"):
        render_dataset_card("user/clips", tmp_path)
