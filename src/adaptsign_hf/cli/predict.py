"""`adaptsign predict`: read videos."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from adaptsign_hf.cli.options import DeviceOption, ModelArgument, QuietOption, StrictOption, silence_loading

if TYPE_CHECKING:
    from adaptsign_hf.inference.recognition import Recognition

Format = Literal["text", "json", "vtt", "srt", "eaf"]


def predict(
    model: ModelArgument,
    videos: Annotated[
        list[Path],
        typer.Argument(metavar="VIDEO...", help="Video files, folders of numbered images, or folders of videos."),
    ],
    format: Annotated[
        Format, typer.Option(help="text: path, tab, glosses. json: with times; one line a video, or one file.")
    ] = "text",
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Write one file a video to this folder; those that are there already are not done again."),
    ] = None,
    decoder: Annotated[
        Literal["greedy", "beam", "language_model"] | None, typer.Option(help="As set in the model by default.")
    ] = None,
    num_beams: Annotated[int | None, typer.Option(min=1, help="Sequences that a search keeps.")] = None,
    n_best: Annotated[int | None, typer.Option(min=1, help="So many readings of each video; with json.")] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second of folders of images; needed for their times.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Videos read at once; the result is the same.")] = 1,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that decode videos, beside this one.")] = 0,
    device: DeviceOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """
    Recognise the glosses signed in each VIDEO.

    Started by `accelerate launch -m adaptsign_hf.cli predict ...` on several devices or machines, they share the work.
    """
    from tqdm.auto import tqdm

    from adaptsign_hf.decoding.annotation_files import write_annotations
    from adaptsign_hf.inference.loading import load_model
    from adaptsign_hf.inference.pipeline import SignLanguageRecognitionPipeline, check_decoding
    from adaptsign_hf.inference.prediction import as_recognized_video
    from adaptsign_hf.inference.processes import count_processes, join_processes, share_of_process, sum_over_processes

    several = count_processes() > 1
    check_usage(format, output_dir, n_best, several)
    state = join_processes(device) if several else None

    find_work = partial(list_work, videos, output_dir, format)
    work = find_work() if state is None else share_of_process(state, find_work)
    failed = 0
    if work:
        silence_loading()
        network, processor = load_model(model, device or (state and state.device))
        pipe = SignLanguageRecognitionPipeline(network, processor=processor, device=network.device)
        check_decoding(processor, decoder, num_beams, n_best)
        hidden = quiet or (state is not None and not state.is_local_main_process) or None
        with tqdm(total=len(work), desc="recognising", unit="video", disable=hidden, leave=False) as bar:
            frames = 0

            def count_frames(number: int) -> None:
                nonlocal frames
                frames += number
                bar.set_postfix(frames=frames)

            results = pipe.recognize_each(
                [video for video, _ in work],
                batch_size=batch_size,
                num_workers=num_workers,
                on_frames=count_frames,
                return_timestamps=format != "text",
                fps=fps,
                decoder=decoder,
                num_beams=num_beams,
                n_best=n_best,
            )
            for (video, output), result in zip(work, results, strict=True):
                if isinstance(result, Exception):
                    if strict:
                        raise result
                    failed += 1
                    tqdm.write(f"error: {result}", file=typer.get_text_stream("stderr"))
                elif output is None:
                    tqdm.write(as_text(video, result, format), file=typer.get_text_stream("stdout"), end="")
                else:
                    output.parent.mkdir(parents=True, exist_ok=True)
                    write_annotations(output, as_recognized_video(video, result))
                bar.update()
    total_failed = failed if state is None else sum_over_processes(failed)
    if failed:
        typer.echo(f"{failed} of {len(work)} videos could not be read", err=True)
    if state is not None:
        state.destroy_process_group()
    if total_failed:
        raise typer.Exit(1)


def check_usage(format: Format, output_dir: Path | None, n_best: int | None, several: bool) -> None:
    """
    See that options go together.

    Raises:
        typer.BadParameter: If they do not.
    """
    if n_best is not None and format != "json":
        raise typer.BadParameter(f"--n-best needs --format json: there is no place for other readings in {format}.")
    if output_dir is not None and format == "text":
        raise typer.BadParameter("--output-dir needs --format json, vtt, srt or eaf: text goes to stdout.")
    if output_dir is not None and output_dir.exists() and not output_dir.is_dir():
        raise typer.BadParameter(f"--output-dir {output_dir} is a file. Name a folder.")
    if output_dir is None and format != "text" and several:
        raise typer.BadParameter(f"--format {format} from several processes needs --output-dir.")


def list_work(videos: list[Path], output_dir: Path | None, format: Format) -> list[tuple[Path, Path | None]]:
    """
    Return the videos to read, each with the file for its result; None for stdout.

    Raises:
        typer.BadParameter: If there are several, and their format cannot follow each other on stdout.
    """
    from adaptsign_hf.inference.prediction import find_videos, plan_outputs, remaining_work, remove_partial_files

    found = find_videos(videos)
    if output_dir is None:
        if format not in ("text", "json") and len(found) != 1:
            raise typer.BadParameter(f"{format} of {len(found)} videos needs --output-dir, a folder for the files.")
        return [(video.path, None) for video in found]
    left = remaining_work(found, plan_outputs(found, output_dir, f".{format}"))
    remove_partial_files(output_dir)
    if len(left) < len(found):
        typer.echo(f"{len(found) - len(left)} of {len(found)} videos were done before", err=True)
    return [*left]


def as_text(video: Path, recognition: "Recognition", format: Format) -> str:
    """Return what was read as it goes to stdout."""
    from adaptsign_hf.decoding.annotation_files import eaf_text, json_text, srt_text, vtt_text
    from adaptsign_hf.inference.prediction import as_recognized_video

    if format == "text":
        return f"{video}\t{' '.join(recognition.glosses)}\n"
    recognized = as_recognized_video(video, recognition)
    if format == "json":
        return json_text(recognized, indent=None)
    if format == "eaf":
        return eaf_text(recognized, Path.cwd())
    return vtt_text(recognized.glosses) if format == "vtt" else srt_text(recognized.glosses)
