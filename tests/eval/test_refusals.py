"""A task that cannot be served is a refused cell with its reason, shown wherever results are; the rest runs."""

from __future__ import annotations

import json

import pytest
from backbones import tiny_config
from helpers import rows, write_task
from scripted import Scripted, scripted
from toys import toy_task

from eval.benchmark import summary
from eval.benchmark_results import RefusedEntry
from eval.cells import Cell, Prediction, Refusal
from eval.config import EvaluateRun, Protocol
from eval.contenders import Contender
from eval.evaluate import evaluate_run, run_all
from eval.harness import Comparison
from eval.refusals import EVERY, GAPS, gap_sentence, gaps, grouped
from eval.report.summary import headline
from eval.report.summary import rows as table_rows
from eval.report.texts import markdown, table
from eval.results import Roles
from metaicl.cli.main import main
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig
from task_suites.task import Task


def small_task(name: str, size: int) -> Task:
    return toy_task(name, ("p", "q"), size)


def wide_task(name: str = "wide", options: int = 30) -> Task:
    """More options than there are letters."""
    labels = tuple(f"label{i}" for i in range(options))

    def load(split: str) -> list[Example]:
        return [Example(f"{name} {split} {i}", labels[i % options], labels) for i in range(60)]

    return Task(name, "classification", load, labels=labels)


PROTOCOL = Protocol([2, 8], seeds=2, queries=4)


def compared(tasks, folder, contenders, protocol=PROTOCOL):
    comparison = Comparison(tasks, protocol, folder)
    run_all(comparison, contenders, progress=False)
    return comparison.results(contenders, "x", "metaicl evaluate", comparison=Roles("right", "wrong"))


def test_a_task_with_too_few_examples_is_refused_at_that_k_and_the_rest_runs(tmp_path):
    results = compared([toy_task(), small_task("few", 4)], tmp_path, [scripted(), scripted(False)])
    assert {(c.task, c.k) for c in results.cells} == {("toy", 2), ("toy", 8), ("few", 2)}
    (refusal,) = grouped(results)
    assert (refusal.methods, refusal.task, refusal.ks, refusal.cells) == (EVERY, "few", (8,), 4)
    assert "k=8 asks for 8 demonstrations; found 4 examples" in refusal.text and not refusal.by_design
    assert gap_sentence(results) == "4 of 16 cells were refused."
    for shown in (table(results), markdown(results), headline(results, table_rows(results))):
        assert "4 of 16 cells were refused" in shown
    assert "2 of 4 cells at k = 8 were refused" in table(results) and "k=8 asks for" in table(results)


def test_refused_cells_are_neither_lost_nor_tried_again(tmp_path, monkeypatch):
    def run():
        return compared([toy_task(), small_task("few", 4)], tmp_path, [scripted()])

    first, lines = run(), (tmp_path / "cells.jsonl").read_text()
    monkeypatch.setattr(Comparison, "_cell", None)  # nothing may be computed
    second = run()
    assert (tmp_path / "cells.jsonl").read_text() == lines
    assert (first.cells, first.refusals, first.methods) == (second.cells, second.refusals, second.methods)


def test_more_data_ends_a_refusal(tmp_path):
    compared([small_task("few", 4), toy_task()], tmp_path, [scripted()])
    results = compared([small_task("few", 20), toy_task()], tmp_path, [scripted()])
    assert not results.refusals and len(results.cells) == 8


class Failing(Scripted):
    """Fails with a `UserError` on one task."""

    def adapt(self, task, support):
        if task.name == "bad":
            raise UserError("the inner loop diverges")
        return super().adapt(task, support)


def test_an_error_in_one_cell_costs_this_cell_only_and_gains_are_over_shared_cells(tmp_path):
    failing = Contender("right", "Right", Failing, "failing")
    results = compared([toy_task(), small_task("bad", 40), toy_task("t2")], tmp_path, [failing, scripted(False)])
    made = table_rows(results)
    assert made[0].label == "Right" and made[0].gain.cells == 4 and made[0].gain.tasks == 2
    assert "2 of 6 cells at k = 8 were refused; gain on 4 shared cells (it has 4, the baseline 6)" in made[0].remark
    assert "over 2 held-out tasks" in headline(results, made)


def test_a_kind_of_task_that_a_method_does_not_take_is_no_gap(tmp_path):
    from toys import choice_task

    results = compared([toy_task(), choice_task()], tmp_path, [scripted(), scripted(False)])
    assert all(r.by_design for r in results.refusals) and len(results.refusals) == 8
    assert not gaps(results) and gap_sentence(results) == ""


def test_where_every_cell_is_refused_the_error_says_why(tmp_path):
    with pytest.raises(UserError, match=r"no cell could be evaluated; found few: .*k=8 asks for 8"):
        compared([small_task("few", 4)], tmp_path, [scripted()], Protocol([8], 1, 2))


def test_the_headline_is_for_the_largest_k_that_could_be_run_and_says_so(tmp_path):
    results = compared([small_task("few", 4)], tmp_path, [scripted(), scripted(False)])
    assert results.headline_k == 2 and "No cell at k = 8 could be run" in markdown(results)


def test_more_options_than_letters_refuse_that_task_only(tmp_path):
    run = EvaluateRun(
        "letters",
        str(tmp_path / "letters"),
        SuiteConfig([f"{__name__}:wide_suite"]),
        methods=["random", "icl"],
        backbone=tiny_config(weights="frozen"),
        format=PromptFormat(choices="letters"),
        protocol=Protocol([2], 1, 2),
        progress=False,
    )
    results = evaluate_run(run, lambda message: None)
    assert {(c.method, c.task) for c in results.cells} >= {
        ("random", "wide"),
        ("random", "toy"),
        ("icl", "toy"),
    }
    refused = gaps(results)
    served = ("icl", "wide") in {(c.method, c.task) for c in results.cells}
    assert served or (refused[0].task, refused[0].methods) == ("wide", ("Raw ICL",))
    assert (tmp_path / "letters" / "report.html").is_file()


def wide_suite():
    from task_suites.task import TaskSuite

    tasks = {"wide": wide_task(options=200), "toy": toy_task()}
    return TaskSuite("wide", tasks, {"meta_test": tuple(tasks)})


def test_the_command_ends_with_a_status_of_its_own_where_cells_were_refused(tmp_path, capsys, monkeypatch):
    suite = tmp_path / "suite"
    write_task(suite, "mood", train=rows("mood", "train", 20))
    write_task(suite, "few", train=rows("few", "train", 4))
    words = ["evaluate", "--suite", str(suite), "--methods", "random", "majority", "--seeds", "1"]
    words += [
        "--model",
        "tiny-random",
        "--baseline",
        "majority",
        "--no-progress",
        "--k",
    ]
    with pytest.raises(SystemExit) as stop:
        main([*words, "8", "--output_dir", str(tmp_path / "gaps")])
    assert stop.value.code == GAPS and "2 of 4 cells were refused." in capsys.readouterr().out
    page = (tmp_path / "gaps" / "report.html").read_text()
    assert "2 of 4 cells were refused." in page and "every method" in page
    kept = json.loads((tmp_path / "gaps" / "results.json").read_text())["refusals"]
    assert {(r["method"], r["task"], r["k"]) for r in kept} == {("random", "few", 8), ("majority", "few", 8)}
    main([*words, "4", "--output_dir", str(tmp_path / "whole")])  # the advice: lower k


def test_an_entry_of_the_benchmark_counts_what_was_answered_and_names_what_was_refused():
    answers = (Prediction(answer="a", truth="a"),) * 2
    whole = Cell("m", "t", 0, 4, 1.0, "accuracy", 2, 1.0, 0.5, predictions=answers, key="x")
    refused = Refusal("m", "t", 1, 4, "too long", by_design=False)
    found = summary("m", "t", 4, [refused, whole])
    assert found.seeds == 1 and found.refused_seeds == {"1": "too long"}
    assert summary("m", "t", 4, [refused]) == RefusedEntry("m", "t", 4, "too long")


def test_a_fixed_demonstration_that_no_example_has_is_an_error_at_the_start(tmp_path):
    with pytest.raises(UserError, match="is not the position of a train example"):
        Comparison([toy_task()], Protocol([2], demonstrations={"toy": [0, 999]}), tmp_path)
