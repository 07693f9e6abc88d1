"""`pipeline("sign-language-recognition", model=…)`: videos in, glosses out."""

from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Pipeline
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator

from adaptsign_hf.inference.input_videos import Input, PreparedVideo, prepare_or_tell, prepare_video, readable
from adaptsign_hf.inference.recognition import Recognition, recognize_segments
from adaptsign_hf.inference.streaming import Segment, iter_segments
from adaptsign_hf.modeling.modeling_adaptsign import AdaptSignForCTC
from adaptsign_hf.modeling.processing_adaptsign import AdaptSignProcessor, Decoder

TASK = "sign-language-recognition"


class SignLanguageRecognitionPipeline(Pipeline):
    """
    Continuous sign language recognition: `pipeline("sign-language-recognition", model=…)`.

    A clip's result is that of the model for the clip alone, whatever it is batched with. Of videos of more than 768
    frames the memory does not grow with their length; see `streaming`.

    Raises:
        ValueError: If it gets a model as an object, but no processor.
    """

    model: AdaptSignForCTC
    processor: AdaptSignProcessor
    # transformers gives these the type of their default, None.
    _load_processor = True  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_video_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]
    _load_tokenizer = False  # type: ignore[assignment]

    def __init__(self, *args, **kwargs):
        if kwargs.get("processor") is None:
            raise ValueError(
                f"The pipeline {TASK!r} got no processor: give processor=AutoProcessor.from_pretrained(…)."
            )
        super().__init__(*args, **kwargs)
        self.model.eval()

    def __call__(self, inputs, *args, **options):
        """
        Read what is signed in videos.

        Args:
            inputs: A video: the path of a file or of a folder of numbered images; the bytes of a video file; or
                frames, (frames, height, width, 3), uint8 or floats in 0…1. Or a list of videos; or a generator or a
                `Dataset` of them, whose results come as an iterator.
            return_timestamps (bool): Whether to say when each gloss was signed.
            n_best (int): Number of readings wanted; needs a decoder that finds more than one.
            decoder (str): `greedy`, `beam` or `language_model`; by default what is set in the processor.
            num_beams (int): How many sequences a search keeps.
            fps (float): Frames a second of folders of images and arrays, which do not know it themselves; for times.
            batch_size (int): Videos read at once.
            num_workers (int): Processes that decode videos, beside this one.

        Returns:
            For each video a dict: `glosses`, separated by spaces; with `return_timestamps` also `timestamps`, for each
            gloss a dict of `gloss`, `start` and `end` in seconds, and `confidence`, 0…1; with `n_best` also `n_best`,
            best first, dicts of `glosses` and `log_probability`.

        Raises:
            FileNotFoundError: If there is nothing at a path.
            VideoReadError: If no frame of a video can be read.
            ValueError: If an input is no video, or an address on the net; if a setting of the decoder cannot be; or if
                times are asked for and the frame rate is unknown.
        """
        if isinstance(inputs, (list, tuple)):
            if not inputs:
                return []
            inputs = list(inputs)
        return super().__call__(inputs, *args, **options)

    def recognize_each(
        self,
        videos: Iterable[Input],
        batch_size: int = 1,
        num_workers: int = 0,
        on_frames: Callable[[int], object] | None = None,
        **options,
    ) -> Iterator[Recognition | ValueError | OSError]:
        """
        Read videos one by one; one that cannot be read does not keep the others from it.

        Args:
            videos: As for a call.
            batch_size: Videos read at once.
            num_workers: Processes that decode videos, beside this one.
            on_frames: Is told of each number of frames that have been read.
            options: The other options of a call.

        Yields:
            For each video in turn what was read, or why it cannot be.

        Raises:
            ValueError: If a setting of the decoder cannot be.
        """
        merged = zip((self._preprocess_params, self._postprocess_params), self._sanitize(**options), strict=True)
        preparing, decoding = [{**before, **asked} for before, asked in merged]
        return self._recognize_each(videos, batch_size, num_workers, preparing, decoding, on_frames)

    def _recognize_each(
        self,
        videos: Iterable[Input],
        batch_size: int,
        num_workers: int,
        preparing: dict[str, Any],
        decoding: dict[str, Any],
        on_frames: Callable[[int], object] | None = None,
    ) -> Iterator[Recognition | ValueError | OSError]:
        check_decoding(self.processor, *map(decoding.get, ("decoder", "num_beams", "n_best")))
        # Without the model: a process that is not forked gets a copy of all that this needs.
        prepare = partial(prepare_or_tell, self.processor.video_processor)
        if isinstance(videos, Sized):
            dataset: Dataset = PipelineDataset(videos, prepare, preparing)
        else:
            dataset = PipelineIterator(videos, prepare, preparing)
            num_workers = min(num_workers, 1)  # each would go through all of it
        for batch in DataLoader(dataset, batch_size=batch_size, num_workers=num_workers, collate_fn=list):
            clips = [each for each in batch if isinstance(each, PreparedVideo) and each.frames is not None]
            segments_of_clips = iter(self.forward(clips) if clips else [])
            for each in batch:
                if not isinstance(each, PreparedVideo):
                    yield each
                    continue
                try:
                    segments = next(segments_of_clips) if each.frames is not None else self._stream(each.video)
                    recognition = recognize_segments(
                        self.processor, segments, each.fps, on_frames=on_frames, **decoding
                    )
                except (ValueError, OSError) as error:
                    yield error
                else:
                    yield recognition

    def _stream(self, video: Input) -> Iterator[Segment]:
        with readable(video) as source:
            yield from iter_segments(self.model, self.processor, source)

    def preprocess(self, input_, **options) -> Any:
        """Read a clip's frames, or see that the video is too long for that; see `prepare_video`."""
        return prepare_video(self.processor.video_processor, input_, **options)

    def _forward(self, input_tensors, **_) -> Any:
        """Run the model over a list of prepared clips, batched; return each as the one segment that it is."""
        clips, video_processor = input_tensors, self.processor.video_processor
        pixels = [video_processor.crop_and_normalize(clip.frames) for clip in clips]
        output = self.model(**self._ensure_tensor_on_device(video_processor.pad_videos(pixels), self.device))
        log_probs = output.logits.float().log_softmax(dim=-1).cpu()
        lengths = output.logit_lengths.tolist()
        return [
            [Segment(0, rows[:length], len(clip.frames))]
            for rows, length, clip in zip(log_probs, lengths, clips, strict=True)
        ]

    def postprocess(self, model_outputs, **_) -> dict[str, Any]:
        """Return what was read as a dict, as a call does."""
        result: dict[str, Any] = {"glosses": " ".join(model_outputs.glosses)}
        if model_outputs.timed is not None:
            result["timestamps"] = [asdict(gloss) for gloss in model_outputs.timed]
        if model_outputs.alternatives:
            result["n_best"] = [
                {"glosses": " ".join(each.glosses), "log_probability": each.log_probability}
                for each in model_outputs.alternatives
            ]
        return result

    def get_iterator(
        self, inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params
    ) -> Iterator[dict[str, Any]]:
        """Yield the results of videos in order; raise where one cannot be read."""
        for result in self._recognize_each(inputs, batch_size, num_workers, preprocess_params, postprocess_params):
            if isinstance(result, Exception):
                raise result
            yield self.postprocess(result)

    def run_single(self, inputs, preprocess_params, forward_params, postprocess_params) -> dict[str, Any]:
        """Return the result of one video."""
        return next(iter(self.get_iterator([inputs], 0, 1, preprocess_params, forward_params, postprocess_params)))

    def _sanitize_parameters(self, **options) -> tuple[dict, dict, dict]:
        preparing, decoding = self._sanitize(**options)
        return preparing, {}, decoding

    @staticmethod
    def _sanitize(
        return_timestamps=None, n_best=None, decoder=None, num_beams=None, fps=None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Sort the options that are given: those of preparing a video, those of decoding."""
        preparing = {"fps": fps, "return_timestamps": return_timestamps}
        decoding = {
            "return_timestamps": return_timestamps,
            "n_best": n_best,
            "decoder": decoder,
            "num_beams": num_beams,
        }
        given = [{name: value for name, value in some.items() if value is not None} for some in (preparing, decoding)]
        return given[0], given[1]

    def save_pretrained(self, save_directory, **kwargs) -> None:
        """Save the model and its processor."""
        super().save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


def check_decoding(
    processor: AdaptSignProcessor,
    decoder: Decoder | None = None,
    num_beams: int | None = None,
    n_best: int | None = None,
) -> None:
    """
    See that logits can be decoded so, before minutes of reading.

    Raises:
        ValueError: If they cannot.
    """
    logits = torch.zeros(1, 1, processor.tokenizer.vocab_size)
    if n_best is None:
        processor.batch_decode(logits, None, decoder, num_beams)
    else:
        processor.batch_decode(logits, None, decoder, num_beams, n_best=n_best)
