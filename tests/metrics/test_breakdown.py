"""Errors by gloss, frequency, signer and length, on sentences small enough to count by hand."""

import csv
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptsign_hf.metrics.breakdown import (
    FREQUENCY_EDGES,
    LENGTH_EDGES,
    GlossErrors,
    GroupErrors,
    bin_of,
    break_down,
    range_name,
    write_breakdown,
)

REFERENCES = ["RAIN NORTH", "SUN", "RAIN RAIN", "SNOW"]
HYPOTHESES = ["RAIN SOUTH", "SUN SUN", "", "SNOW"]
SIGNERS = ["anna", "bert", "anna", ""]
FRAMES = [49, 50, 120, 999]
TRAINING = Counter({"RAIN": 30, "NORTH": 1, "SUN": 7})


@pytest.fixture
def breakdown():
    references, hypotheses = ([text.split() for text in texts] for texts in (REFERENCES, HYPOTHESES))
    return break_down(references, hypotheses, SIGNERS, FRAMES, TRAINING)


def test_each_gloss_tells_how_it_was_read(breakdown):
    assert breakdown.by_gloss == [
        GlossErrors("RAIN", 30, signed=3, substituted=0, deleted=2, read_wrongly=0),
        GlossErrors("NORTH", 1, signed=1, substituted=1, deleted=0, read_wrongly=0),
        GlossErrors("SOUTH", 0, signed=0, substituted=0, deleted=0, read_wrongly=1),
        GlossErrors("SUN", 7, signed=1, substituted=0, deleted=0, read_wrongly=1),
        GlossErrors("SNOW", 0, signed=1, substituted=0, deleted=0, read_wrongly=0),
    ]


def test_glosses_are_grouped_by_how_often_training_shows_them(breakdown):
    assert breakdown.by_frequency == [
        GroupErrors("0 x in training", clips=1, glosses=1, errors=0),
        GroupErrors("1-4 x in training", clips=1, glosses=1, errors=1),
        GroupErrors("5-9 x in training", clips=1, glosses=1, errors=0),
        GroupErrors("20-49 x in training", clips=2, glosses=3, errors=2),
    ]


def test_clips_are_grouped_by_signer_and_by_length(breakdown):
    assert breakdown.by_signer == [
        GroupErrors("anna", clips=2, glosses=4, errors=3),
        GroupErrors("bert", clips=1, glosses=1, errors=1),
        GroupErrors("unknown", clips=1, glosses=1, errors=0),
    ]
    assert [(row.group, row.errors) for row in breakdown.by_length] == [
        ("0-49 frames", 1),
        ("50-99 frames", 1),
        ("100-149 frames", 2),
        ("300+ frames", 0),
    ]


SENTENCES = st.lists(st.lists(st.sampled_from("ABC"), max_size=5), min_size=1, max_size=5)


@given(SENTENCES, st.data())
def test_every_table_adds_up_to_the_score(references, data):
    references[0] = references[0] or ["A"]
    number = len(references)
    hypotheses = data.draw(st.lists(st.lists(st.sampled_from("ABCD"), max_size=5), min_size=number, max_size=number))
    signers = data.draw(st.lists(st.sampled_from(["x", "y", ""]), min_size=number, max_size=number))
    frames = data.draw(st.lists(st.integers(0, 400), min_size=number, max_size=number))
    tables = break_down(references, hypotheses, signers, frames, Counter("AAB"))
    total = tables.total
    for groups in (tables.by_signer, tables.by_length):
        assert sum(group.errors for group in groups) == total.errors
        assert sum(group.glosses for group in groups) == total.reference_glosses
        assert sum(group.clips for group in groups) == total.clips
    assert sum(row.substituted for row in tables.by_gloss) == total.substitutions
    assert sum(row.deleted for row in tables.by_gloss) == total.deletions
    assert sum(row.read_wrongly for row in tables.by_gloss) == total.substitutions + total.insertions
    assert sum(group.errors for group in tables.by_frequency) == total.substitutions + total.deletions


@pytest.mark.parametrize("edges", [FREQUENCY_EDGES, LENGTH_EDGES])
def test_bins_cover_every_number_once(edges):
    for value in range(400):
        name = range_name(bin_of(value, edges), edges)
        first, _, last = name.rstrip("+").partition("-")
        assert int(first) <= value
        assert name.endswith("+") or value <= int(last or first)


def test_tables_are_written_as_csv(breakdown, tmp_path):
    write_breakdown(breakdown, tmp_path / "new")
    with (tmp_path / "new" / "by_signer.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"group": "anna", "clips": "2", "glosses": "4", "errors": "3"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        f"by_{name}.csv" for name in ("gloss", "frequency", "signer", "length")
    }
