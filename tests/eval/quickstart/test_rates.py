"""What the parts of a quickstart should take, from how quick the machine is: sums in closed form."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from eval.quickstart import rates as module
from eval.quickstart.rates import REPORT_SECONDS, Rates, need, parts
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.estimate import Rate

CELLS = {"large": 9, "small": 2}  # cells of each comparison


class Work(SimpleNamespace):
    """Work of 40 steps of two methods, one of which learns no weights of the model and is trained already."""

    done = ("protonet",)

    def trained(self, training):
        return SimpleNamespace(name=training.method, build=lambda: None) if training.method in self.done else None

    def evaluations(self):
        return [Work(**{**vars(self), "comparison": "small"}), self]


@pytest.fixture
def work(monkeypatch, tmp_path) -> Work:
    monkeypatch.setattr(module, "cells_seconds", lambda comparison, made, method, rate: CELLS[comparison] * rate.fixed)
    monkeypatch.setattr(module, "_built", lambda setting, training: None)
    trainings = [
        TrainRun(output_dir=str(tmp_path / name), method=name, trainer=TrainerConfig(max_steps=40, warmup_steps=4))
        for name in ("protonet", "metaicl")
    ]
    untrained = [SimpleNamespace(name=name, build=lambda: None) for name in ("random", "icl")]
    finetune = SimpleNamespace(name="finetune", build=lambda: None)
    return Work(
        trainings=trainings, setting=SimpleNamespace(untrained=untrained), finetune=finetune, comparison="large"
    )


RATES = Rates(
    loading=2.0,
    answering={"icl": Rate(1.0), "finetune": Rate(5.0), "protonet": Rate(0.5), "metaicl": Rate(3.0)},
    begin={"metaicl": 4.0, "protonet": 1.0},
    step={"metaicl": 0.5, "protonet": 0.1},
    identity={"metaicl": {}, "protonet": {}},
)


def test_each_part_that_is_not_finished_has_its_seconds(work):
    assert parts(work, RATES) == {
        "metaicl training": 4.0 + 2.0 + 40 * 0.5,  # it begins, loads the model and takes its steps
        "icl answers": 9.0,
        "finetune answers": 45.0,
        "protonet answers": 4.5,  # on the frozen model that is loaded
        "metaicl answers": 27.0 + 2.0,
        "report": REPORT_SECONDS,
    }


def test_a_method_without_weights_of_its_own_loads_no_model_for_its_training(work):
    work.done = ()
    assert parts(work, RATES)["protonet training"] == pytest.approx(1.0 + 40 * 0.1)


def test_steps_that_a_folder_keeps_of_the_same_training_are_not_taken_again(work, monkeypatch):
    monkeypatch.setattr(module, "_steps_done", lambda training, identity: 30)
    assert parts(work, RATES)["metaicl training"] == 4.0 + 2.0 + 10 * 0.5


def test_what_cannot_be_cut_later_is_the_training_the_smallest_comparison_and_the_report(work):
    found = need(work, RATES)
    assert found.total == pytest.approx(sum(parts(work, RATES).values()))
    assert found.core == pytest.approx(26.0 + (2 * 1.0 + 2 * 0.5 + 2 * 3.0 + 2.0) + REPORT_SECONDS)
