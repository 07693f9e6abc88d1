"""
README.md and docs/: every block of code runs, every link leads somewhere, and what there is, is mentioned.

The blocks of a page run in their order, in a folder that holds what the pages presuppose, at tiny size.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from transformers import CLIPVisionModel
from typer.main import get_command

from adaptsign_hf import AdaptSignForCTC, AdaptSignProcessor
from adaptsign_hf.cli import app
from adaptsign_hf.data.folder import read_folder
from adaptsign_hf.data.synthetic import LEXICON, SyntheticCorpusConfig, render_corpus
from adaptsign_hf.hub.conversion import convert_checkpoint
from adaptsign_hf.modeling.adapters_adaptsign import save_adapter
from adaptsign_hf.modeling.clip_loading_adaptsign import clip_tensors
from adaptsign_hf.training.building import build_model_and_processor
from adaptsign_hf.training.configuration import ModelConfig

from .data.benchmarks.trees import write_tree
from .hub.released_network import Sizes, glosses_of, write_release

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = Path(sys.executable).parent  # `adaptsign` and `accelerate` of this environment
CLIP = "openai/clip-vit-base-patch16"  # in the workplace a folder, which is found before the Hub
SPACE = "127.0.0.1:7860"  # where `make space` serves the page; here another port, which is free
TINY_RUN = {"epochs": 1, "num_workers": 0, "hidden_size": 16, "mixed_precision": "no"}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, and its text."""

    place: str
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = [
        Block(f"{page.name}:{text[: match.start()].count(chr(10)) + 1}", *match.groups())
        for match in FENCED.finditer(text)
    ]
    assert 2 * len(found) == text.count("```"), f"{page.name}: a fence that is indented, or not closed"
    return found


def run_page(page: Path, folder: Path, environment: dict[str, str]) -> None:
    """Run the blocks of a page; those of Python share their names, as in one session."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks_of(page):
        if block.language == "python" and SPACE in block.text:
            with serve_space(folder, environment) as address:
                run_python(block, names, SPACE, address)
        elif block.language == "python":
            run_python(block, names)
        elif block.language == "console":
            for command in commands_of(block):
                run_command(command, folder, environment)
        elif block.language == "csv":
            write_metadata(block.text, folder / "my_videos")
        elif block.language == "yaml":
            write_settings(block, page, folder)
        else:
            # Read by `test_the_readme_s_tree_is_the_tree`.
            is_tree = page == README and block.language == "text"
            assert is_tree, f"{block.place}: what is to be done with this block?"


def run_python(block: Block, names: dict[str, object], *replaced: str) -> None:
    text = block.text.replace(*replaced) if replaced else block.text
    page, _, line = block.place.rpartition(":")
    exec(compile("\n" * int(line) + text, page, "exec"), names)  # a traceback names the page's line


@contextmanager
def serve_space(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Do as `make space` does, on a free port; give the address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    own = {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(folder / "tmp"),
    }
    log = folder / "space.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, ROOT / "spaces" / "adaptsign" / "app.py"],
            cwd=folder,
            env=environment | own,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(600):
            with closing(socket.socket()) as caller:
                if caller.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def commands_of(block: Block) -> list[str]:
    """The lines of a console after `$`, with those that go on; all else is what they print."""
    commands = re.findall(r"^\$ ((?:.*\\\n)*.*)$", block.text, re.MULTILINE)
    assert commands, f"{block.place}: no command"
    return commands


def run_command(command: str, folder: Path, environment: dict[str, str]) -> None:
    if command.startswith("make "):
        # The one exception: these install, train, run these very tests, or wait for visitors. That they exist is seen.
        command, folder = command.replace("make ", "make --dry-run ", 1), ROOT
    done = subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"


def write_metadata(text: str, folder: Path) -> None:
    (folder / "metadata.csv").write_text(text, encoding="utf-8")
    clips, left_out = read_folder(folder)
    assert clips
    assert not left_out


def write_settings(block: Block, page: Path, folder: Path) -> None:
    """Write a YAML block to the file that its first line names; a command of the page reads it."""
    name = block.text.partition("\n")[0].removeprefix("# ")
    used = [command for other in blocks_of(page) if other.language == "console" for command in commands_of(other)]
    assert any(name in command.split() for command in used), f"{block.place}: no command of the page reads {name}"
    (folder / name).write_text(block.text, encoding="utf-8")


@pytest.fixture(scope="session")
def presupposed(tmp_path_factory) -> Path:
    """What the pages presuppose, tiny: models, videos, recipes, a benchmark, a CLIP, a released checkpoint."""
    folder = tmp_path_factory.mktemp("presupposed")
    for name in ("src", "benchmarks", "train.py"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "configs").mkdir()
    for recipe in (ROOT / "configs").glob("*.yaml"):
        # The recipes themselves train for hours.
        fields = yaml.safe_load(recipe.read_text(encoding="utf-8")) | TINY_RUN
        (folder / "configs" / recipe.name).write_text(yaml.safe_dump(fields), encoding="utf-8")

    config = SyntheticCorpusConfig(num_train=6, num_dev=0, num_test=0, num_test_signer=0, max_glosses=3, frame_size=32)
    videos = sorted((render_corpus(tmp_path_factory.mktemp("corpus"), config, num_processes=1) / "videos").iterdir())
    write_quickstart_model(folder / "runs" / "quickstart" / "model", videos)
    for name in ("my_video.mp4", "another_video.mp4"):
        shutil.copyfile(videos[0], folder / name)
    (metadata,) = (block.text for block in blocks_of(README) if block.language == "csv")
    named = [line.partition(",")[0] for line in metadata.splitlines()[1:]]
    for name, video in zip(named, videos, strict=False):
        (folder / "my_videos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(video, folder / "my_videos" / name)
    write_metadata(metadata, folder / "my_videos")

    write_tree("phoenix2014-t", folder / "data" / "PHOENIX-2014-T")
    write_released_checkpoint_and_clip(folder, tmp_path_factory.mktemp("released"))
    for name in ("german_adapter", "chinese_adapter"):
        write_adapter(folder / name, folder / CLIP)
    return folder


def write_quickstart_model(folder: Path, videos: list[Path]) -> None:
    """Write a model that nobody trained, but reads something in each video."""
    torch.manual_seed(0)
    sizes = ModelConfig(
        image_size=32, vision_width=16, vision_layers=1, vision_heads=2, feature_size=16, hidden_size=16
    )
    model, processor = build_model_and_processor(sizes, sorted(LEXICON), fps=None)
    with torch.no_grad():
        for block in model.convolutions.blocks:
            block.batch_norm.momentum = None
        for weights in model.bilstm.parameters():
            weights *= 5
        model.train()(**processor(videos=videos))  # for the statistics of BatchNorm
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def write_released_checkpoint_and_clip(folder: Path, scratch: Path) -> None:
    """Write a checkpoint in the released format, with its vocabulary, and the CLIP that it started from."""
    sizes = Sizes()
    checkpoint, _ = write_release(scratch, sizes)
    shutil.copyfile(checkpoint, folder / "released.pt")
    vocabulary = {gloss: [number, 1] for number, gloss in enumerate(glosses_of(sizes), start=1)}
    np.save(folder / "gloss_dict.npy", vocabulary, allow_pickle=True)  # as the authors did
    model = convert_checkpoint(checkpoint, folder / "gloss_dict.npy", scratch / "converted")
    clip = CLIPVisionModel(model.config.vision)
    clip.load_state_dict(clip_tensors(model.model.vision_model), strict=False)
    clip.save_pretrained(folder / CLIP)


def write_adapter(folder: Path, clip: Path) -> None:
    glosses = sorted(LEXICON)
    model = AdaptSignForCTC.from_clip(clip, vocab_size=len(glosses) + 1, hidden_size=16)
    save_adapter(model, folder, CLIP)
    AdaptSignProcessor.from_glosses(glosses, model.config.vision.image_size).save_pretrained(folder)


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hugging_face"),
    }


@pytest.fixture
def run(presupposed, environment, tmp_path, monkeypatch) -> Iterator[Callable[[Path], None]]:
    """Run a page in a copy of its own of what the pages presuppose."""
    folder = shutil.copytree(presupposed, tmp_path / "workplace", symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    return lambda page: run_page(page, folder, environment)


@pages
def test_every_block_of_a_page_runs(page, run):
    run(page)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "1 / 0"),
        ("python", "from adaptsign_hf import NoSuchModel"),
        ("console", "$ false"),
        ("console", "$ make no-such-target"),
        ("console", "a command without its prompt"),
        ("csv", "file_name,gloss\nno_such_file.mp4,RAIN"),
        ("yaml", "# settings_that_no_command_reads.yaml\nepochs: 1"),
        ("text", "files that nobody looks for"),
        ("", "without a language"),
    ],
)
def test_a_block_that_fails_is_seen(language, text, run, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n```{language}\n{text}\n```\n", encoding="utf-8")
    with pytest.raises((AssertionError, ArithmeticError, ImportError)):
        run(page)


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        path, _, heading = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if heading:
            assert heading in anchors_of(linked), f"{page.name} links to {target}"


def anchors_of(page: Path) -> list[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_page_is_linked_from_the_readme():
    text = README.read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert f"(docs/{page.name})" in text


def test_the_readme_s_tree_is_the_tree():
    (tree,) = (block.text for block in blocks_of(README) if block.language == "text")
    named, folder = [], ""
    for line in tree.splitlines():
        entry = line.split()[0]
        if not line.startswith(" "):
            folder = entry if entry.endswith("/") else ""
            named.append(entry)
        else:
            named.append(folder + entry)
    for path in named:
        assert (ROOT / path).exists(), f"the tree names {path}, which is not there"
    rooms = [path for path in (ROOT / "src" / "adaptsign_hf").iterdir() if path.is_dir() and not path.is_symlink()]
    there = [f"src/adaptsign_hf/{path.name}/" for path in rooms if any(path.glob("*.py"))]
    there += [f"modeling/{path.name}" for path in (ROOT / "modeling").glob("[!_]*.py")]
    assert set(there) <= set(named)


def test_the_readme_mentions_every_command():
    text = README.read_text(encoding="utf-8")
    for command in get_command(app).commands:
        assert re.search(rf"\badaptsign {command}\b", text), f"adaptsign {command}"


def test_training_md_mentions_every_recipe():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for recipe in (ROOT / "configs").glob("*.yaml"):
        assert f"configs/{recipe.name}" in text
