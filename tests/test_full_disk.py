"""Each command ends with one line on a full disk, whichever file fills it.

The system's limit on the size of a process's files stands for the disk: writing beyond it fails as
on a full disk, and no permission to mount one is needed.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIMITED = (
    "import os, resource, sys; size = int(sys.argv[1]);"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size));"
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)
BOOK = """
import sys
from pathlib import Path
from pneumojax.errors import UserError
from pneumojax.tracking.files import EventFiles, MetricsFile
from pneumojax.tracking.logbook import Logbook
from pneumojax.tracking.tracker import Record
try:
    folder, stamp = Path(sys.argv[1]), {"synthetic": True}
    with Logbook([MetricsFile(folder, 0, stamp), EventFiles(folder, 0, stamp)]) as book:
        for step in range(1000):
            book.write(Record("step", step, 1, {"loss": 0.5}))
except UserError as error:
    sys.exit(f"error: {error}")
"""


def limited(size, *arguments):
    """Runs a command that cannot write more than `size` bytes to a file; returns its one line."""
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(size), *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return only_line(result)


def only_line(result):
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


@pytest.fixture(scope="module")
def small(films_root, cache_dir):
    """`(workdir) -> flags` of a small network whose films are decoded already."""
    from pneumojax.configs import base
    from pneumojax.data.splits import load_splits

    config = base.get_config()
    config.data.root, config.data.image_size = str(films_root), 32
    config.data.val_fraction = 0.2
    load_splits(config, cache_dir, log=lambda line: None)
    return lambda workdir: (
        *("main.py", f"--config.data.root={films_root}", f"--cache_dir={cache_dir}"),
        *("--config.data.image_size=32", "--config.data.val_fraction=0.2"),
        *("--config.model.stem=(4,4,8)", "--config.model.modules=((4,4,8,2,4,4),)"),
        *("--config.batch_size=16", "--config.epochs=1", f"--workdir={workdir}"),
    )


@pytest.mark.parametrize("size", [0, 100, 5_000, 20_000])
def test_metrics_and_events_without_room_say_it_once_and_not_again_at_the_end(tmp_path, size):
    assert "File too large" in limited(size, "-c", BOOK, tmp_path)


@pytest.mark.slow
def test_a_preview_without_room_is_one_line_and_leaves_no_part_of_it(small, tmp_path):
    line = limited(9_000, *small(tmp_path / "run"), "--mode=preview")
    assert "preview.png': File too large" in line
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


@pytest.mark.slow
def test_output_that_nobody_can_take_is_one_line(small, tmp_path):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, *small(tmp_path / "run"), "--mode=preview"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert "No space left on device" in only_line(result)


@pytest.mark.slow
def test_a_trace_without_room_is_one_line_and_leaves_no_part_of_it(small, tmp_path):
    line = limited(20_000, *small(tmp_path / "run"), "--mode=profile")
    assert "cannot write the trace to " in line and "File too large" in line
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "file"), [(3_000, "films.csv"), (20_000, "checkpoint"), (60_000, "evaluation")]
)
def test_training_without_room_is_one_line_that_names_what_was_written(small, tmp_path, size, file):
    line = limited(size, *small(tmp_path / "run"))
    assert file in line and "File too large" in line


def test_events_are_records_that_tensorflow_reads_with_their_checksums(tmp_path):
    import tensorflow as tf
    from tensorboardX.proto.event_pb2 import Event

    from pneumojax.tracking.events import Events

    events = Events(tmp_path, purge_step=3)
    events.text("stamp", "synthetic")
    for step in range(3, 6):
        events.scalar("step/loss", 0.5 * step, step)
    events.close()
    (path,) = tmp_path.iterdir()
    read = [Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    assert read[0].file_version == "brain.Event:2"
    assert read[1].step == 3 and read[1].session_log.status == read[1].session_log.START
    points = [(e.step, e.summary.value[0].simple_value) for e in read[3:]]
    assert points == [(3, 1.5), (4, 2.0), (5, 2.5)]
