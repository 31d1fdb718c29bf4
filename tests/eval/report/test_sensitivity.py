"""The spread of scores over support sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pages import make

from eval.report.sensitivity import sensitivities
from eval.report.summary import rows
from eval.results import Results


def test_sensitivity_is_the_standard_deviation_over_support_sets_pooled_over_tasks(tmp_path):
    results = Results.from_json(make(tmp_path))
    found = {one.row.method.name: one for one in sensitivities(rows(results))}
    points = {}
    for cell in results.cells_of("metaicl", 16):
        points.setdefault(cell.task, []).append(100 * cell.score)
    assert found["metaicl"].typical == pytest.approx(np.sqrt(np.mean([np.var(v, ddof=1) for v in points.values()])))
    assert sum(found["metaicl"].deviations) == pytest.approx(0)
    once = replace(results, cells=tuple(c for c in results.cells if c.seed == 0))
    assert sensitivities(rows(once)) == []
