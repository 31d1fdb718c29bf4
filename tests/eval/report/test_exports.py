"""The headline table for other programs: CSV without formulas, and LaTeX that compiles."""

from __future__ import annotations

import csv
import re

import pytest
from pages import make

from eval.report.exports import as_csv, as_latex
from eval.report.summary import rows
from eval.results import Results


def test_csv_has_a_row_for_each_method_and_a_column_for_each_task(tmp_path):
    results = Results.from_json(make(tmp_path))
    made = list(csv.DictReader(as_csv(results).splitlines()))
    assert [row["method"] for row in made] == ["metaicl", "icl", "proto"]
    first = rows(results)[0]
    assert float(made[0]["gain"]) == pytest.approx(first.gain.mean, abs=0.005)
    assert made[1]["gain"] == "" and made[0]["label"] == "MetaICL <b>"
    assert made[2]["task:plain"] == "" and float(made[0]["task:third"]) > 0


def test_csv_holds_no_formula(tmp_path):
    results = make(tmp_path)
    results["methods"][1]["label"] = "=1+1"
    assert next(csv.DictReader(as_csv(Results.from_json(results)).splitlines()))["label"] == "'=1+1"


def test_latex_escapes_labels_and_closes_what_it_opens(tmp_path):
    results = make(tmp_path)
    results["methods"][1]["label"] = "50 % of_a {b} & \\c"
    text = as_latex(Results.from_json(results))
    assert r"50 \% of\_a \{b\} \& \textbackslash{}c & " in text
    assert re.findall(r"\\begin{(\w+)}", text) == re.findall(r"\\end{(\w+)}", text)[::-1]
    assert all(line.count(" & ") == 4 for line in text.splitlines() if line.endswith(r"\\"))
