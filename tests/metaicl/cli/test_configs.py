"""The shipped configs, and every command that README.md and docs/ show, are taken by the command line as it stands."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from commands import fails

from metaicl.cli.main import COMMANDS, parse
from metaicl.training.config import TrainRun

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", *ROOT.glob("docs/*.md")]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
SHELLS = ("", "sh", "bash", "console", "shell")


def blocks(page: Path, languages: tuple[str, ...]) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


def shown_commands(page: Path) -> list[list[str]]:
    """The words after `metaicl` of each such command in a page's shell blocks."""
    found = []
    for body in blocks(page, SHELLS):
        for line in body.replace("\\\n", " ").splitlines():
            line = re.sub(r"^\$ ", "", line.strip())
            if not re.search(r"(^|[ /])metaicl ", line) or not re.match(r"[\w./=$-]+ ", line):
                continue
            words = shlex.split(line, comments=True)
            heads = [i for i, word in enumerate(words) if word == "metaicl" or word.endswith("/metaicl")]
            if heads:
                rest = words[heads[0] + 1 :]
                stop = next((i for i, word in enumerate(rest) if word in ("|", ">", "2>", "&&", ";")), len(rest))
                found.append(rest[:stop])
    return found


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_shipped_config_parses(path: Path):
    keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    told = {"applications": "benchmark", "methods": "evaluate", "trials": "tune"}
    command = next((told[key] for key in told if key in keys), "train")
    parsed, config = parse([command, "--config", str(path)])
    assert parsed == command
    assert config.folder == Path(keys.get("output_dir") or f"runs/{keys['run_name']}")


def test_a_flag_goes_over_the_config():
    _, config = parse(["train", "--config", str(ROOT / "configs" / "realtasks.yaml"), "--learning_rate", "3e-4"])
    assert config.trainer.learning_rate == pytest.approx(3e-4)
    assert config.suite.max_words == 40


def test_the_comparison_names_the_folder_that_the_training_writes():
    _, training = parse(["train", "--config", str(ROOT / "configs" / "realtasks.yaml")])
    _, comparison = parse(["evaluate", "--config", str(ROOT / "configs" / "realtasks-evaluate.yaml")])
    assert str(training.folder) in comparison.methods
    assert comparison.suite == training.suite


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_page_shows_only_commands_that_parse(page: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    for words in shown_commands(page):
        if words and words[0] not in ("--help", "--version"):
            command, _ = parse([word for word in words if word not in ("--help", "--print_config")])
            assert command == words[0]


def test_pages_show_every_command():
    shown = {words[0] for page in PAGES for words in shown_commands(page) if words}
    assert {"quickstart", "suites", "models", "train", "evaluate", "predict", "report"} <= shown
    at_a_glance = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8").partition("at a glance")[2]
    assert [name for name in COMMANDS if f"metaicl {name}" not in at_a_glance] == []


def test_pages_show_only_make_targets_that_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for page in PAGES:
        named = re.findall(r"`make ([\w-]+)", page.read_text(encoding="utf-8"))
        named += [word for body in blocks(page, SHELLS) for word in re.findall(r"^make ([\w-]+)", body, re.M)]
        assert set(named) <= targets, page.name


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            made = target.startswith("reference/")  # by docs/reference.py; tests/test_site.py holds that each is there
            assert made or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_method_of_the_registry_is_in_its_table():
    from metaicl.methods import METHODS

    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert [name for name in METHODS if f"| `{name}` |" not in page] == []


def test_the_options_in_the_table_are_those_of_the_class():
    from metaicl.methods import METHODS, method_class
    from metaicl.methods.options import option_types

    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    for name in METHODS:
        cell = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |")).split("|")[-2]
        if "those" in cell:
            continue
        config = method_class(name).Config
        only_other_defaults = "Attributes:" not in (config.__doc__ or "")
        preset = {n for n in option_types(config) if n in vars(config)} if only_other_defaults else set()
        assert set(re.findall(r"`(\w+)`", cell)) == set(option_types(config)) - preset - {"demonstrations"}, name


def test_the_versions_agree():
    from metaicl import __version__

    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_documented_method_of_your_own_trains_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from toys import toy_task

    from eval.answering import make_validate
    from metaicl.training.checkpoint import load_method
    from metaicl.training.run import train_run
    from task_suites.episodes import EpisodeSampler

    code = next(b for b in blocks(ROOT / "docs" / "methods.md", ("python",)) if "class WordWeights" in b)
    (tmp_path / "word_weights.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    _, config = parse(
        ["train", "--config", str(ROOT / "configs" / "tiny.yaml"), "--method", "word_weights:WordWeights"]
    )
    assert isinstance(config, TrainRun)
    config = replace(
        config,
        output_dir=str(tmp_path / "run"),
        progress=False,
        trainer=replace(config.trainer, max_steps=2, eval_steps=0, save_steps=0),
    )
    _, trained = train_run(config, make_validate, say=lambda _: None)
    method = load_method(trained.folder)
    episode = EpisodeSampler(0, 8, 4).draw(toy_task(), "test", 0)
    scores = method.adapt(episode.task, episode.support).scores([q.hidden() for q in episode.queries])
    assert [len(s) for s in scores] == [len(q.options or ()) for q in episode.queries]
    sys.modules.pop("word_weights", None)


LAUNCHED = {  # file -> (type, processes)
    "cpu2": ("MULTI_GPU", 2),
    "deepspeed_zero3": ("DEEPSPEED", 2),
    "fsdp2": ("FSDP", 2),
    "multi_gpu": ("MULTI_GPU", 2),
    "multi_node": ("MULTI_GPU", 16),
}


def test_the_launch_file_at_the_top_is_that_of_several_gpus():
    top, shipped = ROOT / "accelerate_config.yaml", ROOT / "configs" / "accelerate" / "multi_gpu.yaml"
    assert yaml.safe_load(top.read_text()) == yaml.safe_load(shipped.read_text())


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "accelerate").iterdir()), ids=lambda path: path.stem)
def test_accelerate_reads_the_shipped_launch_files(path):
    if path.stem.startswith("deepspeed"):
        pytest.importorskip("deepspeed", reason="the extra deepspeed is not installed")
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    kind, processes = LAUNCHED[path.stem]
    config = load_config_from_file(str(path))
    assert config.distributed_type == kind
    shown = " ".join(re.findall(r"^# {3,}(.*?)\\?$", path.read_text(), flags=re.M)).replace(str(path), "").split()
    assert shown[:4] == ["accelerate", "launch", "--config_file", f"configs/accelerate/{path.name}"]
    words = [str(ROOT / word) if word.startswith("configs/") else word for word in shown]
    args, *_ = _validate_launch_command(launch_command_parser().parse_args(words[2:]))
    assert args.multi_gpu == (kind == "MULTI_GPU") and args.use_fsdp == (kind == "FSDP")
    assert args.use_deepspeed == (kind == "DEEPSPEED")
    assert args.gpu_ids == "all" and args.module and args.training_script == "metaicl"
    assert (
        args.num_processes == (8 if kind in ("FSDP", "DEEPSPEED") else processes) and config.num_processes == processes
    )
    assert args.num_machines == (2 if path.stem == "multi_node" else 1)
    _, training = parse(args.training_script_args)
    assert training.trainer.episodes_per_step % args.num_processes == 0


def test_the_page_lists_each_shipped_config():
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert sorted(set(re.findall(r"`([\w.-]+\.yaml)`", page)) & {p.name for p in CONFIGS}) == [p.name for p in CONFIGS]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_config_whose_data_does_not_come_with_the_package_says_so(path: Path):
    text = path.read_text(encoding="utf-8")
    own = yaml.safe_load(text).get("suite", ["embedded"]) == ["embedded"]
    assert own == ("# Data: " not in text)


@pytest.mark.parametrize("name", ["realtasks", "tasksource-8gpu"])
def test_data_that_is_not_there_is_an_error_with_the_way_out(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [
        "train",
        "--config",
        str(ROOT / "configs" / f"{name}.yaml"),
        "--model",
        "tiny-random",
        "--lora_layers",
        "2",
    ]
    assert re.search(r"docs/(data|thousand_tasks)\.md", fails(capsys, *words))
