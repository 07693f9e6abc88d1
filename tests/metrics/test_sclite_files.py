import re
import shutil
import subprocess

import pytest

from adaptsign_hf.metrics.gloss_wer.word_errors import count_clip_errors
from adaptsign_hf.metrics.sclite_files import write_ctm, write_stm

# Debian's package is called sctk.
SCLITE = shutil.which("sclite") or shutil.which("/usr/lib/sctk/bin/sclite")

# Names and glosses with what sclite takes for something else.
NAMES = ["videos/b.mp4", "videos/a 1.mp4", ";c", "d{e}", "d", "D", "100%", "日"]
REFERENCES = ["RAIN SUN FOG", "天 气 天", "A B C", "", "A", "<b Q", "a;b @ c/d", "S0NNE- (X) *"]
HYPOTHESES = ["RAIN FOG sun", "天 天", "C X Y", "A", "", "<b q", "{ @ c/d", "S0NNE- (X) * -"]


def glosses(sentences):
    return [sentence.split() for sentence in sentences]


def test_hypotheses_have_a_line_for_each_gloss(tmp_path):
    write_ctm(tmp_path / "hypotheses.ctm", ["b.mp4", "a 1.mp4"], [["SUN", "A B"], []])
    assert (tmp_path / "hypotheses.ctm").read_bytes().decode() == (
        "b.mp4 1 0.00 0.01 SUN\nb.mp4 1 0.01 0.01 A%20B\na%201.mp4 1 0.00 0.01 @\n"
    )


def test_references_have_a_line_for_each_clip(tmp_path):
    write_stm(tmp_path / "references.stm", ["b.mp4", "a 1.mp4"], [["SUN", "A B"], []], ["anna", ""])
    assert (tmp_path / "references.stm").read_bytes().decode() == (
        "b.mp4 1 anna 0.0 1.79769e+308 SUN A%20B\na%201.mp4 1 unknown 0.0 1.79769e+308\n"
    )


def test_different_texts_stay_different(tmp_path):
    texts = ["@", "%40", "A B", "A%20B", "{A", "A", "A\u00a0B"]
    write_ctm(tmp_path / "hypotheses.ctm", ["clip"], [texts])
    written = [line.split() for line in (tmp_path / "hypotheses.ctm").read_text(encoding="utf-8").splitlines()]
    assert {len(fields) for fields in written} == {5}
    assert len({fields[-1] for fields in written}) == len(texts)
    assert "@" not in {fields[-1] for fields in written}


@pytest.mark.parametrize("write", [write_ctm, write_stm])
def test_mistakes_are_told(tmp_path, write):
    with pytest.raises(ValueError, match=r"several clips are called \['a'\]"):
        write(tmp_path / "file", ["a", "b", "a"], [["X"]] * 3)
    with pytest.raises(ValueError, match="2 names of clips, but 1"):
        write(tmp_path / "file", ["a", "b"], [["X"]])
    assert not (tmp_path / "file").exists()


@pytest.mark.skipif(SCLITE is None, reason="sclite is not installed")
def test_sclite_counts_the_same(tmp_path):
    references, hypotheses = glosses(REFERENCES), glosses(HYPOTHESES)
    write_stm(tmp_path / "a.stm", NAMES, references, ["anna b", *[""] * (len(NAMES) - 1)])
    write_ctm(tmp_path / "a.ctm", NAMES, hypotheses)
    command = [SCLITE, "-s", "-e", "utf-8", "-r", "a.stm", "stm", "-h", "a.ctm", "ctm", "-o", "pralign", "stdout"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=True)
    counted = re.findall(rb"Scores: \(#C #S #D #I\) \d+ (\d+) (\d+) (\d+)", result.stdout)
    clips = [count_clip_errors(*pair) for pair in zip(references, hypotheses, strict=True)]
    # It groups clips by signer, in the order in which signers appear.
    assert [tuple(map(int, counts)) for counts in counted] == [
        (clip.substitutions, clip.deletions, clip.insertions) for clip in clips
    ]
    assert result.stderr == b""
