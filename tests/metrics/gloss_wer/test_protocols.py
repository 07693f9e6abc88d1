import pytest

from adaptsign_hf.metrics.gloss_wer.protocols import apply_protocol


def read_by(protocol, hypothesis, **options):
    references, hypotheses = apply_protocol(["REGEN"], [hypothesis], protocol, **options)
    assert references == [["REGEN"]]
    return " ".join(hypotheses[0])


@pytest.mark.parametrize(
    ("hypothesis", "cleaned"),
    [
        ("loc-SUED cl-WOLKE qu-REGEN poss-HABEN lh-IX", "SUED WOLKE REGEN HABEN IX"),
        ("S0NNE HABEN2 poss-HABEN2", "SONNE HABEN HABEN"),
        ("__EMOTION__ __PU__ __LEFTHAND__ __EPENTHESIS__ loc-__PU__", ""),
        ("__ON__ __OFF__", "__ON__ __OFF__"),
        (
            "ZEIGEN ANZEIGEN ZEIGEN-BILDSCHIRM ZEIGENX",
            "ZEIGEN-BILDSCHIRM ANZEIGEN-BILDSCHIRM ZEIGEN-BILDSCHIRM ZEIGENX",
        ),
        ("ZEIGEN-PLUSPLUS", "ZEIGEN"),  # the ending is looked for before -PLUSPLUS is gone
        ("ALPENRAUM RAUM TRAUM", "ALPEN RAUM TRAUM"),
        ("KOMMEN-PLUSPLUS cl-WOLKE-PLUSPLUS", "KOMMEN WOLKE"),
        ("WIE AUSSEHEN A B C REGEN REGEN", "WIE AUSSEHEN A B C REGEN REGEN"),  # its rules for these never fire
        ("neg-REGEN IX A+B", "neg-REGEN IX A+B"),
    ],
)
def test_phoenix2014_cleans_gloss_by_gloss(hypothesis, cleaned):
    assert read_by("phoenix2014", hypothesis) == cleaned


def test_phoenix2014_leaves_the_references():
    assert apply_protocol(["loc-SUED HABEN2"], ["loc-SUED HABEN2"], "phoenix2014") == (
        [["loc-SUED", "HABEN2"]],
        [["SUED", "HABEN"]],
    )


@pytest.mark.parametrize(
    ("hypothesis", "cleaned"),
    [
        ("__ON__ REGEN __EMOTION__ __X__ SUED __OFF__", "REGEN SUED"),
        ("loc-SUED cl-WOLKE REGEN-PLUSPLUS cl-KOMMEN-PLUSPLUS", "SUED WOLKE REGEN KOMMEN"),
        ("loc-__PU__ REGEN", "loc- REGEN"),  # no rule takes loc- alone
        ("ALPENRAUM RAUM TRAUM", "ALPEN RAUM T"),
        ("WETTER WIE AUSSEHEN", "WETTER WIE-AUSSEHEN"),
        ("WIE __ON__ AUSSEHEN", "WIE AUSSEHEN"),  # two spaces are between them
        ("IX A B REGEN", "IX A+B REGEN"),
        ("A B C", "A+B+C"),
        ("IX K A L T", "IX K+A+L+T"),
        ("A B C D E", "A B+C+D+E"),  # four letters and more at the beginning come apart
        ("IX SCH A REGEN", "IX SCH+A REGEN"),
        ("IX A NN REGEN", "IX A+NN REGEN"),
        ("IX NN A REGEN", "IX NN+A REGEN"),
        ("REGEN REGEN REGEN REGEN REGEN SUED", "REGEN SUED"),
        ("neg-REGEN neg-REGEN AA+BB AA+BB", "neg-REGEN AA+BB"),
        ("A+B A+B", "A+B+A+B"),  # the letters of two spelled words are joined, too
        ("ZEIGEN HABEN2 poss-IX qu-IX lh-IX S0NNE", "ZEIGEN HABEN2 poss-IX qu-IX lh-IX S0NNE"),  # no rule for these
        ("__ON__", ""),
    ],
)
def test_phoenix2014_t_cleans_whole_sentences(hypothesis, cleaned):
    assert read_by("phoenix2014_t", hypothesis) == cleaned
    # and both sides
    assert apply_protocol([hypothesis], [hypothesis], "phoenix2014_t") == ([cleaned.split()], [cleaned.split()])


def test_raw_changes_nothing():
    glosses = "loc-SUED __ON__ HABEN2 REGEN REGEN A B"
    assert apply_protocol([glosses], [glosses]) == ([glosses.split()], [glosses.split()])


def test_strings_sequences_and_nothing_are_taken():
    references, hypotheses = apply_protocol([" A  B\n", ("A", "B"), [], ""], [["A B", "C"], "A\tB", None, ""])
    assert references == [["A", "B"], ["A", "B"], [], []]
    assert hypotheses == [["A B", "C"], ["A", "B"], [], []]


def test_repeats_are_collapsed_on_request_in_hypotheses_only():
    glosses = "A A B A neg-C neg-C neg-C"
    references, hypotheses = apply_protocol([glosses], [glosses], collapse_repeats=True)
    assert references == [glosses.split()]
    assert hypotheses == [["A", "B", "A", "neg-C"]]


def test_repeats_are_collapsed_before_the_clean_up():
    assert read_by("phoenix2014", "SUED loc-SUED loc-SUED", collapse_repeats=True) == "SUED SUED"


def test_an_unknown_protocol_is_told():
    with pytest.raises(ValueError, match="protocol 'phoenix': there are raw, phoenix2014, phoenix2014_t"):
        apply_protocol(["A"], ["A"], "phoenix")
