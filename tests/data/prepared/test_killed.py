"""A run that is killed at any moment, again and again, ends with the bytes of one that was not."""

import os
import subprocess
import sys

import pytest

from .conftest import write_source

# Runs in a process of its own: forks a run, kills it at a random moment, ten times over, and lets the last one end.
KILLER = """
import os, random, signal, sys, time

from adaptsign_hf.data.prepared.preparing import prepare_benchmark

source, undisturbed, output, format, seed = sys.argv[1:]

def start(folder):
    process = os.fork()
    if process == 0:
        options = {"size": 32, "format": format, "num_workers": 0, "clips_per_shard": 2, "quiet": True}
        prepare_benchmark("folder", source, folder, **options)
        os._exit(0)
    return process

started = time.perf_counter()
assert os.waitpid(start(undisturbed), 0)[1] == 0
seconds = time.perf_counter() - started
moments = random.Random(int(seed))
killed = 0
for _ in range(10):
    process = start(output)
    time.sleep(moments.uniform(0, 0.7 * seconds))
    os.kill(process, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(process, 0)[1])
assert os.waitpid(start(output), 0)[1] == 0
print(killed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("format", ["parquet", "folder"])
def test_ten_kills_change_no_byte(tmp_path, content, format):
    source = write_source(tmp_path / "source", [f"{number:02d}.mp4" for number in range(12)], (9, 14))
    folders = [tmp_path / "undisturbed", tmp_path / "killed"]
    arguments = [str(path) for path in (source, *folders)]
    run = subprocess.run(
        [sys.executable, "-c", KILLER, *arguments, format, "0"], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 5  # most were killed before they were done
    undisturbed, killed = map(content, folders)
    assert len(undisturbed) > 3
    assert killed == undisturbed
