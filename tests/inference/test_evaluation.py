import gc

import pytest

from adaptsign_hf.data.folder import clips_of_split
from adaptsign_hf.inference.evaluation import break_down_evaluation, evaluate_data
from adaptsign_hf.inference.recognition import recognize_video
from adaptsign_hf.metrics.gloss_wer.protocols import apply_protocol
from adaptsign_hf.metrics.gloss_wer.word_errors import count_word_errors


def evaluate(model_and_processor, corpus, **options):
    return evaluate_data(*model_and_processor, corpus, "test", quiet=True, **options)


def test_the_score_is_that_of_the_single_videos(model_and_processor, corpus, clips):
    evaluation = evaluate(model_and_processor, corpus)
    tested = clips_of_split(clips, "test")
    assert evaluation.clips == tested
    assert evaluation.hypotheses == [recognize_video(*model_and_processor, clip.path) for clip in tested]
    references = [clip.glosses for clip in tested]
    assert evaluation.errors == count_word_errors(references, [text.split() for text in evaluation.hypotheses])
    assert evaluation.errors.clips == 4
    assert evaluation.left_out == []
    assert len(set(evaluation.hypotheses)) == 4  # else there is nothing to confuse


def test_a_protocol_changes_what_is_scored_not_what_is_read(model_and_processor, corpus):
    metadata = corpus / "metadata.csv"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace(".mp4,", ".mp4,__ON__ loc-"))
    raw = evaluate(model_and_processor, corpus)
    cleaned = evaluate(model_and_processor, corpus, protocol="phoenix2014_t", collapse_repeats=True)
    assert (cleaned.hypotheses, cleaned.clips) == (raw.hypotheses, raw.clips)
    assert raw.scored_references == [list(clip.glosses) for clip in raw.clips]
    assert raw.scored_hypotheses == [text.split() for text in raw.hypotheses]
    expected = apply_protocol(raw.scored_references, raw.hypotheses, "phoenix2014_t", collapse_repeats=True)
    assert (cleaned.scored_references, cleaned.scored_hypotheses) == expected
    assert cleaned.errors == count_word_errors(*expected)
    assert cleaned.errors.reference_glosses < raw.errors.reference_glosses


@pytest.mark.parametrize("options", [{"batch_size": 3}, {"batch_size": 2, "num_workers": 2}])
def test_batches_and_workers_change_nothing(model_and_processor, corpus, options):
    gc.collect()  # nothing of earlier tests is left for a forked worker to clear away
    assert evaluate(model_and_processor, corpus, **options) == evaluate(model_and_processor, corpus)


def test_a_model_in_training_mode_scores_the_same(model_and_processor, corpus):
    expected = evaluate(model_and_processor, corpus)
    model_and_processor[0].train()
    assert evaluate(model_and_processor, corpus) == expected
    assert not model_and_processor[0].training


def break_two(corpus):
    """Empty one test video, and name another that is not there."""
    (corpus / "videos" / "testset_00001.mp4").write_bytes(b"")
    with (corpus / "metadata.csv").open("a") as metadata:
        metadata.write("gone.mp4,SUN,,test\n")


def test_clips_that_cannot_be_read_are_named_and_count_as_deletions(model_and_processor, corpus, caplog):
    whole = evaluate(model_and_processor, corpus)
    break_two(corpus)
    evaluation = evaluate(model_and_processor, corpus, batch_size=2)
    unreadable, missing = "videos/testset_00001.mp4", "gone.mp4"
    assert [clip.name for clip in evaluation.unreadable] == [unreadable]
    assert [clip.name for clip in evaluation.left_out] == [missing]
    assert evaluation.clips == whole.clips
    assert evaluation.hypotheses == [
        "" if clip.name == unreadable else text for clip, text in zip(whole.clips, whole.hypotheses, strict=True)
    ]
    assert evaluation.errors.clips == 4
    assert evaluation.errors.reference_glosses == whole.errors.reference_glosses
    lost = next(len(clip.glosses) for clip in whole.clips if clip.name == unreadable)
    assert evaluation.errors.deletions >= lost
    for name in (unreadable, missing):
        assert name in caplog.text


def test_an_unreadable_clip_has_no_length_but_counts_elsewhere(model_and_processor, corpus):
    break_two(corpus)
    breakdown = break_down_evaluation(evaluate(model_and_processor, corpus), fps=None)
    assert sum(group.clips for group in breakdown.by_length) == 3
    assert sum(group.clips for group in breakdown.by_signer) == 4


def test_strict_makes_them_an_error(model_and_processor, corpus):
    break_two(corpus)
    with pytest.raises(ValueError, match=r"gone\.mp4: there is no such file\n.*--strict"):
        evaluate(model_and_processor, corpus, strict=True)


def test_glosses_that_the_model_cannot_read_are_named(model_and_processor, corpus, clips, caplog):
    evaluate(model_and_processor, corpus)
    unknown = {gloss for clip in clips_of_split(clips, "test") for gloss in clip.glosses} - set(
        model_and_processor[1].tokenizer.glosses
    )
    assert f"{len(unknown)} gloss(es) of the split 'test'" in caplog.text


def test_a_split_without_a_readable_video_is_an_error(model_and_processor, corpus):
    for video in (corpus / "videos").glob("testset_*"):
        video.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the videos of the split 'test' can be read"):
        evaluate(model_and_processor, corpus)


def test_an_unknown_split_and_a_missing_folder_are_told(model_and_processor, corpus, tmp_path):
    with pytest.raises(ValueError, match=r"\['test', 'train'\]"):
        evaluate_data(*model_and_processor, corpus, "dev")
    with pytest.raises(ValueError, match="no folder"):
        evaluate_data(*model_and_processor, tmp_path / "nowhere", "test")
