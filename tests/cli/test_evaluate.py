import csv
import re
import subprocess
import sys

import pytest

from adaptsign_hf.decoding.ngram import estimate_ngrams, write_arpa
from adaptsign_hf.inference.evaluation import evaluate_data
from adaptsign_hf.inference.loading import load_model
from adaptsign_hf.metrics.confusions import most_costly_confusions


@pytest.fixture
def expected(model_folder, corpus):
    return evaluate_data(*load_model(model_folder, "cpu"), corpus, "test", quiet=True)


@pytest.fixture
def printed(expected):
    """The score, and below it the confusions."""
    confusions = most_costly_confusions(expected.scored_references, expected.scored_hypotheses, limit=10)
    assert confusions
    return f"test: {expected.errors}\n" + "".join(f"  {confusion}\n" for confusion in confusions)


def test_score_and_confusions_are_printed(adaptsign, model_folder, corpus, expected, printed):
    result = adaptsign("evaluate", model_folder, corpus, "--quiet")
    assert (result.code, result.stdout) == (0, printed)
    for text in ("WER ", " substitutions, ", " deletions, ", " insertions; ", "in 3 clips"):
        assert text in result.stdout
    assert expected.errors.substitutions  # else there is nothing to compare


def test_the_real_command(model_folder, corpus, printed):
    command = [sys.executable, "-m", "adaptsign_hf.cli", "evaluate", str(model_folder), str(corpus)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, printed)
    (line,) = result.stderr.splitlines()
    assert "not in the model's vocabulary" in line


def test_hypotheses_are_written(adaptsign, model_folder, corpus, expected, tmp_path):
    result = adaptsign("evaluate", model_folder, corpus, "--hypotheses", tmp_path / "read.csv", "--batch-size", 2)
    assert result.code == 0
    with (tmp_path / "read.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"file_name": clip.name, "reference": " ".join(clip.glosses), "hypothesis": hypothesis}
        for clip, hypothesis in zip(expected.clips, expected.hypotheses, strict=True)
    ]
    assert len(rows) == 3


def test_files_for_sclite_are_written(adaptsign, model_folder, corpus, expected, tmp_path):
    result = adaptsign(
        "evaluate", model_folder, corpus, "--ctm", tmp_path / "read.ctm", "--stm", tmp_path / "signed.stm"
    )
    assert result.code == 0
    signed = [line.split() for line in (tmp_path / "signed.stm").read_text(encoding="utf-8").splitlines()]
    assert signed == [[clip.name, "1", clip.signer, "0.0", "1.79769e+308", *clip.glosses] for clip in expected.clips]
    read = [line.split() for line in (tmp_path / "read.ctm").read_text(encoding="utf-8").splitlines()]
    for clip, hypothesis in zip(expected.clips, expected.hypotheses, strict=True):
        assert [fields[-1] for fields in read if fields[0] == clip.name] == (hypothesis.split() or ["@"])


def test_protocols_and_collapsing_change_what_is_scored_and_written(adaptsign, model_folder, corpus, tmp_path):
    metadata = corpus / "metadata.csv"
    metadata.write_text(re.sub(r"(?<=mp4,)[^,]*", "__ON__ loc-SUN", metadata.read_text(encoding="utf-8")))
    options = ("--protocol", "phoenix2014_t", "--collapse-repeats", "--stm", tmp_path / "signed.stm")
    result = adaptsign("evaluate", model_folder, corpus, *options)
    assert result.code == 0
    assert result.stdout.startswith("test, protocol phoenix2014_t, repeats collapsed: WER ")
    assert "; 3 glosses in 3 clips)" in result.stdout
    for line in (tmp_path / "signed.stm").read_text(encoding="utf-8").splitlines():
        assert line.endswith(" SUN")
        assert "__ON__" not in line


def test_an_unknown_protocol_is_told(adaptsign):
    result = adaptsign("evaluate", "no_model", "no_data", "--protocol", "sclite")
    assert result.code == 2
    assert "phoenix2014_t" in result.stderr


def test_another_split_can_be_scored(adaptsign, model_folder, corpus):
    result = adaptsign("evaluate", model_folder, corpus, "--split", "train")
    assert result.code == 0
    assert result.stdout.startswith("train: WER ")
    assert result.stdout.splitlines()[0].endswith(" in 1 clips)")


def test_the_glosses_of_an_unreadable_clip_are_deletions(adaptsign, model_folder, corpus, caplog):
    (corpus / "videos" / "testset_00001.mp4").write_bytes(b"")
    result = adaptsign("evaluate", model_folder, corpus)
    assert result.code == 0
    assert result.stdout.splitlines()[0].endswith(" in 3 clips); 1 clips unreadable: deletions")
    assert "testset_00001.mp4" in caplog.text  # pytest has taken the handler of standard error


def test_strict_makes_it_an_error(adaptsign, model_folder, corpus):
    (corpus / "videos" / "testset_00001.mp4").write_bytes(b"")
    result = adaptsign("evaluate", model_folder, corpus, "--strict")
    assert (result.code, result.stdout) == (1, "")
    assert "error: 1 clip left out:\n  videos/testset_00001.mp4: " in result.stderr


@pytest.mark.parametrize(
    ("options", "message"), [(("--split", "nothing"), "['test', 'train']"), (("--device", "warp drive"), "warp drive")]
)
def test_mistakes_are_told(adaptsign, model_folder, corpus, options, message):
    result = adaptsign("evaluate", model_folder, corpus, *options)
    assert (result.code, result.stdout) == (1, "")
    assert "error: " in result.stderr
    assert message in result.stderr


def test_a_missing_folder_is_told(adaptsign, model_folder, tmp_path):
    result = adaptsign("evaluate", model_folder, tmp_path / "nowhere")
    assert (result.code, result.stdout) == (1, "")
    assert f"error: Reading clips from {tmp_path / 'nowhere'}: there is no metadata.csv." in result.stderr


@pytest.mark.parametrize("option", ["--hypotheses", "--ctm", "--stm"])
def test_a_missing_folder_of_results_is_told_before_anything_is_read(adaptsign, tmp_path, option):
    result = adaptsign("evaluate", "no_model", "no_data", option, tmp_path / "nowhere" / "file")
    assert result.code == 1
    assert result.stderr == f"error: Writing {tmp_path}/nowhere/file: there is no folder {tmp_path}/nowhere.\n"


def test_where_the_model_fails_is_written_as_tables_and_a_picture(adaptsign, model_folder, corpus, expected, tmp_path):
    folder = tmp_path / "new" / "where"
    result = adaptsign("evaluate", model_folder, corpus, "--breakdown", folder)
    assert result.code == 0, result.stderr
    names = {path.name for path in folder.iterdir()}
    assert names == {"by_gloss.csv", "by_frequency.csv", "by_signer.csv", "by_length.csv", "breakdown.png"}
    with (folder / "by_signer.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["group"] for row in rows} == {clip.signer or "unknown" for clip in expected.clips}
    assert sum(int(row["errors"]) for row in rows) == expected.errors.errors


def test_an_unknown_benchmark_is_a_mistake(adaptsign, model_folder, corpus):
    result = adaptsign("evaluate", model_folder, corpus, "--dataset", "phoenix")
    assert result.code == 1
    assert "There is no benchmark 'phoenix'" in result.stderr


def test_logits_can_be_decoded_in_another_way(adaptsign, model_folder, corpus, tmp_path):
    result = adaptsign("evaluate", model_folder, corpus, "--decoder", "beam", "--num-beams", 4, "--quiet")
    assert result.code == 0, result.stderr
    network, processor = load_model(model_folder, "cpu")
    processor.configure_decoding("beam", 4)
    expected = evaluate_data(network, processor, corpus, "test", quiet=True)
    assert result.stdout.splitlines()[0] == f"test, decoder beam: {expected.errors}"

    pytest.importorskip("kenlm")
    pytest.importorskip("pyctcdecode")
    write_arpa(estimate_ngrams([["SUN", "RAIN"]], vocabulary=processor.tokenizer.glosses), tmp_path / "glosses.arpa")
    options = ("--language-model", tmp_path / "glosses.arpa", "--language-model-weight", 0.1, "--gloss-bonus", 100)
    result = adaptsign("evaluate", model_folder, corpus, *options, "--quiet")
    assert result.code == 0, result.stderr
    assert result.stdout.startswith("test, decoder language_model: WER ")
    insertions = int(re.search(r"(\d+) insertions", result.stdout)[1])
    assert insertions > expected.errors.insertions  # such a bonus makes any gloss welcome


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--decoder", "language_model"), 1, "`adaptsign lm train` makes one"),
        (("--decoder", "best"), 2, "language_model"),
        (("--language-model", "nowhere.arpa"), 1, "nowhere.arpa"),
    ],
)
def test_decoders_that_cannot_be(adaptsign, model_folder, corpus, options, code, message):
    result = adaptsign("evaluate", model_folder, corpus, *options)
    assert (result.code, result.stdout) == (code, "")
    assert message in result.stderr
