"""`adaptsign prepare`: clips resized once, by the real command line."""

import csv

import datasets
import pytest


def test_a_folder_is_prepared_and_loads(adaptsign, corpus, tmp_path):
    result = adaptsign("prepare", "folder", corpus, tmp_path / "out", "--size", 32, "--num-workers", 0, "--quiet")
    assert result.code == 0, result.stderr
    with (corpus / "metadata.csv").open(newline="", encoding="utf-8") as file:
        splits = [row["split"] for row in csv.DictReader(file)]
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {name: splits.count(name) for name in set(splits)}


@pytest.mark.parametrize("name", ["phoenix2014", "csl-daily", "ce-csl"])
def test_what_may_not_be_passed_on_is_not_pushed(adaptsign, name, tmp_path):
    result = adaptsign("prepare", name, tmp_path, tmp_path / "out", "--push-to-hub", "someone/copy")
    assert result.code == 1
    assert "is given out by" in result.stderr
    assert not (tmp_path / "out").exists()


def test_wrong_usage_ends_with_two(adaptsign, corpus, tmp_path):
    assert adaptsign("prepare", "folder", corpus, tmp_path / "out", "--format", "zip").code == 2
