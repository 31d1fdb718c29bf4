"""Calibration of answers: ECE and Brier by hand, against scikit-learn, in results.json and in the report."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import Page
from pages import make as make_report
from scripted import PROTOCOL, scripted
from sklearn.metrics import brier_score_loss
from toys import tag_task, toy_task

from eval.calibration import calibration, expected_calibration_error, reliability
from eval.cells import Prediction
from eval.evaluate import run_all
from eval.harness import Comparison
from eval.report.page import write_report


def answer(scores, truth) -> Prediction:
    options = [str(i) for i in range(len(scores))]
    return Prediction(options=options, scores=list(scores), truth=options[truth])


def of_probabilities(rows, truths) -> list[Prediction]:
    return [answer(np.log(row), truth) for row, truth in zip(rows, truths, strict=True)]


def test_a_case_by_hand():
    found = calibration(of_probabilities([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6]], [0, 1, 1]))
    assert found.n == 3 and found.accuracy == pytest.approx(2 / 3)
    assert found.confidence == pytest.approx(2.2 / 3)
    assert found.brier == pytest.approx((0.08 + 1.28 + 0.32) / 3)
    # 0.8 twice, right once: |0.5 - 0.8|; 0.6 once, right: |1 - 0.6|
    assert found.ece == pytest.approx((2 * 0.3 + 1 * 0.4) / 3)


def test_certain_and_right_is_zero_and_certain_and_wrong_is_the_worst():
    right, wrong = ([answer([1000.0, 0.0, -1e9], truth)] for truth in (0, 1))
    assert (calibration(right).ece, calibration(right).brier) == (0.0, 0.0)
    assert (calibration(wrong).ece, calibration(wrong).brier) == (1.0, 2.0)


def test_even_probabilities_are_calibrated_where_the_first_is_right_as_often_as_chance():
    rows = [answer([3.0, 3.0], i % 2) for i in range(10)]
    assert calibration(rows).ece == pytest.approx(0.0) and calibration(rows).brier == pytest.approx(0.5)


def test_answers_that_are_right_as_often_as_they_say_have_a_small_ece_and_confident_ones_a_large_one():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet([1.0, 1.0, 1.0], size=20_000)
    truths = [rng.choice(3, p=row) for row in rows]
    assert calibration(of_probabilities(rows, truths)).ece < 0.01
    sharper = rows**4 / (rows**4).sum(1, keepdims=True)
    assert calibration(of_probabilities(sharper, truths)).ece > 0.15
    few = [calibration(of_probabilities(rows[i : i + 40], truths[i : i + 40])).ece for i in range(0, 4000, 40)]
    assert 0.1 < np.mean(few) < 0.2  # the chance error of few answers that the module's docstring warns of


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 30))
def test_the_brier_score_is_scikit_learns_and_both_lie_in_their_ranges(seed, classes, n):
    rng = np.random.default_rng(seed)
    rows, truths = rng.dirichlet(np.ones(classes), size=n), rng.integers(classes, size=n)
    found = calibration(of_probabilities(rows, truths))
    theirs = brier_score_loss(truths, rows, labels=range(classes), scale_by_half=False)
    assert found.brier == pytest.approx(theirs, abs=1e-9)
    assert 0 <= found.ece <= 1 and 0 <= found.brier <= 2 + 1e-12
    assert abs(found.accuracy - found.confidence) <= found.ece + 1e-12


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.integers(1, 20))
def test_the_ece_is_that_of_a_plain_loop_over_bins(pairs, bins):
    confidence, right = (np.array(x, dtype=float) for x in zip(*pairs, strict=True))
    total = 0.0
    for b in range(bins):
        inside = [i for i, c in enumerate(confidence) if min(max(math.ceil(c * bins) - 1, 0), bins - 1) == b]
        if inside:
            gap = abs(right[inside].mean() - confidence[inside].mean())
            total += len(inside) / len(confidence) * gap
    assert expected_calibration_error(confidence, right, bins) == pytest.approx(total, abs=1e-9)


def test_options_may_differ_in_number_and_answers_without_scores_take_no_part():
    mixed = [answer([0.0, 0.0], 0), answer([0.0, 0.0, 0.0], 1), Prediction(truth="x")]
    assert calibration(mixed).n == 2 and calibration(mixed[2:]) is None
    assert calibration(mixed).brier == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_results_carry_the_calibration_of_cells_with_options_and_of_no_others(tmp_path):
    comparison = Comparison([toy_task()], PROTOCOL, tmp_path)
    contenders = [scripted(), scripted(False)]
    run_all(comparison, contenders, progress=False)
    cells = comparison.results(contenders).cells
    p = math.e / (1 + math.e)  # scores 1 and 0
    assert all(c.brier == pytest.approx(2 * (1 - p) ** 2) for c in cells if c.method == "right")
    assert all(c.ece == pytest.approx(p) for c in cells if c.method == "wrong")
    again = Comparison([toy_task()], PROTOCOL, tmp_path)  # from cells.jsonl, where they are not kept
    assert again.results(contenders).cells == cells
    assert all("brier" not in json.loads(line) for line in (tmp_path / "cells.jsonl").read_text().splitlines())


def test_tagging_has_no_calibration(tmp_path):
    from backbones import tiny_config

    from eval.contenders import Backbones, contender
    from task_suites.formats.prompt_format import PromptFormat

    comparison = Comparison([tag_task()], PROTOCOL, tmp_path)
    majority = contender("majority", tiny_config(), PromptFormat(), Backbones())
    run_all(comparison, [majority], progress=False)
    assert all(c.ece is None and c.brier is None for c in comparison.results([majority]).cells)


def test_the_report_shows_the_calibration_of_methods_with_scores(tmp_path):
    results = make_report(tmp_path)
    for cell in results["cells"]:
        cell["brier"] = 0.5 if cell["method"] == "icl" else 1.25
    (tmp_path / "results.json").write_text(json.dumps(results))
    text = Page(write_report(tmp_path).read_text()).text
    part = text[text.index("Are its probabilities") : text.index("How to read the numbers")]
    assert "0.500 [0.500, 0.500]" in part and "1.250 [1.250, 1.250]" in part and "In-context" in part
    assert "Prototypes" not in part  # it left no predictions


def test_a_report_without_scores_leaves_the_calibration_out(tmp_path):
    make_report(tmp_path, predictions=False)
    assert "Are its probabilities" not in write_report(tmp_path).read_text()


def test_reliability_bins_add_up_to_all_answers_and_give_the_error():
    rng = np.random.default_rng(0)
    confidence, right = rng.uniform(0.2, 1, 500), rng.uniform(size=500) < 0.6
    bins = reliability(confidence, right)
    assert sum(b.share for b in bins) == pytest.approx(1)
    assert sum(b.share * b.accuracy for b in bins) == pytest.approx(right.mean())
    gap = sum(b.share * abs(b.accuracy - b.confidence) for b in bins)
    assert expected_calibration_error(confidence, right) == pytest.approx(gap)
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
