"""`adaptsign lm`."""

import json
import shutil

import pytest

from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor

kenlm = pytest.importorskip("kenlm")
pytest.importorskip("pyctcdecode")

METADATA = """file_name,gloss,signer,split
1.mp4,RAIN NORTH RAIN,anna,train
2.mp4,SUN SOUTH,anna,train
3.mp4,RAIN WEST,bert,dev
"""


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "metadata.csv").write_text(METADATA, encoding="utf-8")
    for number in (1, 2, 3):
        (folder / f"{number}.mp4").touch()  # only the sentences are read
    return folder


def test_a_model_is_made_of_the_training_sentences(adaptsign, videos, tmp_path):
    result = adaptsign("lm", "train", videos, tmp_path / "glosses.arpa", "--order", 2)
    assert result.code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == ["sentences: 2", "glosses: 5, of which 4 different"]
    # <s> </s> <unk> and four glosses; bigrams: 4 of the first sentence, 3 of the second.
    assert lines[2] == "n-grams: 7 of 1, 7 of 2"
    assert lines[3].startswith("perplexity: ")
    assert lines[4].endswith(" on dev, 1 unknown glosses in it")
    model = kenlm.Model(str(tmp_path / "glosses.arpa"))
    assert model.order == 2
    assert "SOUTH" in model
    assert "WEST" not in model
    assert model.score("SUN SOUTH") > model.score("SOUTH SUN")


def test_a_text_will_do(adaptsign, tmp_path):
    (tmp_path / "sentences.txt").write_text("天气 好\n\n天气 坏\n", encoding="utf-8")
    result = adaptsign("lm", "train", tmp_path / "sentences.txt", tmp_path / "glosses.arpa")
    assert result.code == 0, result.stderr
    assert result.stdout.startswith("sentences: 2\nglosses: 4, of which 3 different\n")
    assert len(result.stdout.splitlines()) == 4
    assert kenlm.Model(str(tmp_path / "glosses.arpa")).order == 3


def test_what_a_model_can_read_becomes_possible(adaptsign, videos, model_folder, tmp_path):
    result = adaptsign("lm", "train", videos, tmp_path / "glosses.arpa", "--model", model_folder)
    assert result.code == 0, result.stderr
    model = kenlm.Model(str(tmp_path / "glosses.arpa"))
    glosses = AdaptSignProcessor.from_pretrained(model_folder).tokenizer.glosses
    assert len(set(glosses) - {"RAIN", "NORTH", "SUN", "SOUTH"}) > 5
    assert all(gloss in model for gloss in glosses)


def test_a_model_decodes_with_it_from_then_on(adaptsign, corpus, model_folder, tmp_path):
    model, arpa = tmp_path / "model", tmp_path / "glosses.arpa"
    shutil.copytree(model_folder, model)
    assert adaptsign("lm", "train", corpus, arpa, "--model", model).code == 0
    result = adaptsign("lm", "attach", model, arpa, "--weight", 0.8, "--gloss-bonus", 2, "--num-beams", 6)
    assert result.code == 0, result.stderr
    assert result.stdout == f"{model} decodes with {arpa}: weight 0.8, gloss bonus 2.0, 6 beams\n"
    arpa.unlink()
    processor = AdaptSignProcessor.from_pretrained(model)
    settings = (processor.decoder, processor.num_beams, processor.language_model_weight, processor.gloss_bonus)
    assert settings == ("language_model", 6, 0.8, 2.0)
    scored = adaptsign("evaluate", model, corpus, "--quiet")
    assert scored.code == 0, scored.stderr
    assert scored.stdout.startswith("test, decoder language_model: WER ")


def test_what_is_no_language_model_is_not_attached(adaptsign, model_folder, tmp_path):
    before = (model_folder / "processor_config.json").read_text()
    (tmp_path / "broken.arpa").write_text("RAIN NORTH\n")
    result = adaptsign("lm", "attach", model_folder, tmp_path / "broken.arpa")
    assert (result.code, result.stdout) == (1, "")
    assert "broken.arpa: kenlm cannot read it" in result.stderr
    assert (model_folder / "processor_config.json").read_text() == before
    assert not list(model_folder.glob("language_model.*"))
    assert json.loads(before)["decoder"] == "greedy"


def test_mistakes_are_told(adaptsign, videos, tmp_path):
    for arguments, message in (
        (("train", videos, tmp_path / "nowhere" / "out.arpa"), "there is no folder"),
        (("train", videos, tmp_path / "out.arpa", "--split", "night"), "'night'"),
        (("train", tmp_path / "nothing", tmp_path / "out.arpa"), "there is no metadata.csv"),
        (("attach", tmp_path, tmp_path / "out.arpa"), "there is no processor_config.json"),
    ):
        result = adaptsign("lm", *arguments)
        assert (result.code, result.stdout) == (1, ""), arguments
        assert message in result.stderr
    (tmp_path / "latin.txt").write_bytes("SCHÖN\n".encode("latin-1"))
    assert "no text in UTF-8" in adaptsign("lm", "train", tmp_path / "latin.txt", tmp_path / "out.arpa").stderr
    (tmp_path / "empty.txt").touch()
    assert "no gloss" in adaptsign("lm", "train", tmp_path / "empty.txt", tmp_path / "out.arpa").stderr
    assert not (tmp_path / "out.arpa").exists()
