"""A path that cannot be read or written is one clear line, whatever command it is given to; nothing is left behind."""

from __future__ import annotations

import errno
import json

import pytest
from commands import fails
from disks import small_disk
from helpers import make_folder

from eval.report.exports import write_formats
from metaicl.cli.main import main
from task_suites.core.errors import UserError
from task_suites.sources.in_context_tuning import open_in_context_tuning

TINY = ("--model", "tiny-random")
STEPS = ("--k", "2", "--queries", "2")
VALIDATION = ("--validation_k", "2", "--validation_queries", "2")
WRITES = {
    "train": ("train", *TINY, *STEPS, "--max_steps", "1", "--no-progress", "--suite", "suite", "--output_dir"),
    "evaluate": (
        *("evaluate", *TINY, *STEPS, "--seeds", "1", "--methods", "random", "--no-progress"),
        *("--suite", "suite", "--output_dir"),
    ),
    "tune": (
        "tune",
        *TINY,
        *STEPS,
        *VALIDATION,
        "--trials",
        "1",
        "--max_steps",
        "1",
        "--suite",
        "suite",
        "--output_dir",
    ),
    "predict": ("predict", *TINY, "--demos", "demos.jsonl", "--inputs", "inputs.jsonl", "--output"),
    "export of a suite": ("suites", "export", "--suite", "suite", "--to", "local", "--output"),
    "split": ("suites", "split", "--suite", "suite", "--output"),
    "page of an audit": ("suites", "audit", "--suite", "suite", "--html"),
    "repair": ("suites", "audit", "--suite", "suite", "--fix"),
    "export": ("export", "tiny-random", "--output_dir"),
}
READS = {
    "demonstrations": ("predict", *TINY, "--inputs", "inputs.jsonl", "--demos"),
    "inputs": ("predict", *TINY, "--demos", "demos.jsonl", "--inputs"),
    "model": ("predict", "--demos", "demos.jsonl", "--inputs", "inputs.jsonl", "--model"),
    "suite": ("suites", "list", "--suite"),
    "split file": ("suites", "list", "--suite", "suite", "--split_file"),
    "configuration": ("train", "--config"),
    "method": ("evaluate", *TINY, "--suite", "suite", "--output_dir", "out", "--methods"),
    "run": ("runs", "show"),
    "report": ("report",),
    "export": ("export", "--output_dir", "out"),
}
LONG = "n" * 300
UNWRITABLE = {"below a file": "inputs.jsonl/x", "a name too long": LONG, "below a circle of links": "circle/x"}
UNREADABLE = {"below a file": "inputs.jsonl/x", "a name too long": LONG, "a circle of links": "circle"}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path, {"meta_train": ["mood"], "meta_validation": ["taste"], "meta_test": ["topic"]}).rename(
        "suite"
    )
    rows = [{"input": f"text {i}", "output": "ab"[i % 2]} for i in range(4)]
    (tmp_path / "demos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "inputs.jsonl").write_text('{"input": "a text"}\n')
    (tmp_path / "circle").symlink_to("circle")
    return tmp_path


@pytest.mark.parametrize("path", UNWRITABLE.values(), ids=UNWRITABLE)
@pytest.mark.parametrize("command", WRITES)
def test_a_path_that_cannot_be_written_is_one_line_and_leaves_nothing(capsys, desk, command, path):
    before = sorted(desk.iterdir())
    assert "debug" not in fails(capsys, *WRITES[command], path)
    assert sorted(desk.iterdir()) == before


@pytest.mark.parametrize("command", ["train", "evaluate", "tune", "predict"])
@pytest.mark.parametrize("path", ["inputs.jsonl", "."])
def test_a_file_or_the_working_folder_in_the_place_of_what_is_written_is_one_line(capsys, desk, command, path):
    content = (desk / "inputs.jsonl").read_bytes()
    fails(capsys, *WRITES[command], path)
    assert (desk / "inputs.jsonl").read_bytes() == content


@pytest.mark.parametrize("path", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("command", READS)
def test_a_path_that_cannot_be_read_is_one_line(capsys, desk, command, path):
    assert "debug" not in fails(capsys, *READS[command], path)


@pytest.mark.parametrize("name", ["~/nowhere", "a b/c", "-/-"])
def test_what_can_be_neither_a_folder_nor_a_hub_model_is_one_line(capsys, desk, name):
    assert name in fails(capsys, *READS["model"][:-1], f"--model={name}")


def test_what_the_system_says_is_put_in_our_words(capsys, desk, monkeypatch):
    def forbidden(*given, **named):
        raise PermissionError(errno.EACCES, "Permission denied", "secret/suite")

    monkeypatch.setattr("task_suites.sources.open_suite", forbidden)
    assert (
        fails(capsys, *READS["suite"], "x") == "metaicl: secret/suite: cannot be read or written (Permission denied)\n"
    )


def test_a_folder_of_pickles_that_is_a_file_says_which_folder_is_meant(desk):
    with pytest.raises(UserError, match=r"data\.pkl: cannot be read[\s\S]*Name the folder"):
        open_in_context_tuning("inputs.jsonl")


def test_a_report_on_a_full_disk_leaves_the_earlier_one_whole(desk):
    main([*WRITES["evaluate"], "done"])
    with small_disk(desk / "disk", "512k") as disk:
        for path in (desk / "done").iterdir():
            if path.is_file():
                (disk / path.name).write_bytes(path.read_bytes())
        before = {name: (disk / name).read_bytes() for name in ("report.html", "report.md")}
        with pytest.raises(OSError), (disk / "filler").open("wb") as filler:
            while True:
                filler.write(b"x" * 4096)
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
            write_formats(disk, ["html", "markdown"])
        assert {name: (disk / name).read_bytes() for name in before} == before
        assert not [path for path in disk.iterdir() if path.name.startswith(".")]
