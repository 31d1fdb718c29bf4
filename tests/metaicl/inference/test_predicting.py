"""`metaicl predict` to files: formats, interruptions, abstention, probabilities, explanations, bounded memory."""

from __future__ import annotations

import csv
import json
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
from pyarrow import Table, parquet

from metaicl.cli.functions import run_prediction
from metaicl.cli.main import main
from metaicl.inference import answered_rows, predicting
from metaicl.inference.config import PredictRun
from task_suites.core.errors import UserError

DEMOS = [{"input": f"thing {i}", "output": ("up", "down")[i % 2]} for i in range(4)]


@pytest.fixture
def demos(tmp_path: Path) -> Path:
    return lines(tmp_path / "demos.jsonl", DEMOS)


def lines(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def inputs(folder: Path, count: int = 7) -> Path:
    return lines(folder / "inputs.jsonl", [{"input": f"item {i}", "id": i} for i in range(count)])


def answers(demos: Path, source: Path, **options) -> list[dict]:
    return list(run_prediction(PredictRun(demos, source, "tiny-random", "knn", **options)))


@pytest.mark.parametrize("ending", ["csv", "parquet", "tsv"])
def test_tables_are_answered_as_json_lines_are(tmp_path, demos, ending):
    rows = [{"id": str(i), "text": f'item, "{i}"'} for i in range(3)]
    path = tmp_path / f"inputs.{ending}"
    if ending == "parquet":
        parquet.write_table(Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            quoting = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None} if ending == "tsv" else {}
            table = csv.DictWriter(file, ["id", "text"], **quoting)
            table.writeheader()
            table.writerows(rows)
    plain = lines(tmp_path / "plain.jsonl", rows)
    assert answers(demos, path) == answers(demos, plain)
    assert answers(demos, path)[0].keys() == {"id", "text", "answer", "scores"}


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_an_output_file_holds_the_answers_in_order(tmp_path, demos, ending, capsys):
    output = tmp_path / f"out.{ending}"
    words = ["--model", "tiny-random", "--method", "knn", "--demos", str(demos), "--inputs", str(inputs(tmp_path))]
    main(["predict", *words, "--output", str(output), "--probabilities"])
    assert capsys.readouterr().out == ""
    if ending == "jsonl":
        found = [json.loads(line) for line in output.read_text().splitlines()]
    elif ending == "csv":
        found = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
    else:
        found = parquet.read_table(output).to_pylist()
    assert [row["input"] for row in found] == [f"item {i}" for i in range(7)]
    assert {row["answer"] for row in found} <= {"up", "down"}
    assert ("probabilities" if ending == "jsonl" else "probability.up") in found[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demos.jsonl", "inputs.jsonl", output.name]
    with pytest.raises(UserError, match=r"exists already.*Give another --output, or delete it"):
        answers(demos, tmp_path / "inputs.jsonl", output=output)
    with pytest.raises(UserError, match="Give another --output: this file is read"):  # and not: delete it
        answers(demos, output, output=output)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_answers_has_one_column_for_each_labels_score(tmp_path, demos, ending):
    source, output = inputs(tmp_path), tmp_path / f"out.{ending}"
    rows = answers(demos, source, output=output, probabilities=True)
    if ending == "csv":
        found = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
    else:
        found = parquet.read_table(output).to_pylist()
        assert {type(row["score.up"]) for row in found} == {float}
    columns = ["input", "id", "answer", "score.down", "score.up", "probability.down", "probability.up"]
    assert list(found[0]) == columns
    for row, line in zip(rows, found, strict=True):
        assert {f"score.{label}": score for label, score in row["scores"].items()}.items() <= {
            name: float(cell) for name, cell in line.items() if name.startswith("score.")
        }.items()
    with pytest.raises(UserError, match=r"an input has a key that its answer needs; found \['score.up'\]"):
        answers(demos, lines(tmp_path / "taken.jsonl", [{"input": "x", "score.up": "mine"}]))


def test_rows_with_options_of_their_own_keep_their_scores_in_one_cell(tmp_path):
    choices = lines(tmp_path / "d.jsonl", [{"input": "sky?", "output": "blue", "options": ["blue", "red"]}])
    source = lines(tmp_path / "i.jsonl", [{"input": f"grass {i}?", "options": [f"green {i}", "red"]} for i in range(2)])
    list(run_prediction(PredictRun(choices, source, "tiny-random", "icl", output=tmp_path / "out.csv")))
    found = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert [set(json.loads(row["scores"])) for row in found] == [{"green 0", "red"}, {"green 1", "red"}]


def test_an_interrupted_output_is_continued_and_ends_as_one_that_was_not(tmp_path, demos, monkeypatch):
    for module in (answered_rows, predicting):
        monkeypatch.setattr(module, "BATCH", 2)
    source, output = inputs(tmp_path), tmp_path / "out.jsonl"
    config = PredictRun(demos, source, "tiny-random", "knn", output=output)
    assert len(list(islice(run_prediction(config), 4))) == 4  # and no more are requested
    partial = tmp_path / "out.jsonl.partial"
    with partial.open("a") as file:
        file.write('{"input": "ite')  # a kill in the middle of a line
    assert not output.exists()
    said: list[str] = []
    assert list(run_prediction(config, said.append)) == answers(demos, source)
    assert said == ["4 answers are there already"] and not partial.exists()
    whole = PredictRun(demos, source, "tiny-random", "knn", output=tmp_path / "whole.jsonl")
    list(run_prediction(whole))
    assert output.read_bytes() == whole.output.read_bytes()


def test_another_command_does_not_continue_an_output(tmp_path, demos, monkeypatch):
    monkeypatch.setattr(predicting, "BATCH", 2)
    config = PredictRun(demos, inputs(tmp_path), "tiny-random", "knn", output=tmp_path / "out.jsonl")
    list(islice(run_prediction(config), 2))
    for changes in ({"method": "majority"}, {"probabilities": True}, {"method_options": {"neighbours": 2}}):
        with pytest.raises(UserError, match="another model, option or file"):
            list(run_prediction(PredictRun(**{**vars(config), **changes})))
    inputs(tmp_path, 8)
    with pytest.raises(UserError, match="another model, option or file"):
        list(run_prediction(config))


def test_a_second_process_does_not_write_the_same_output(tmp_path, demos, monkeypatch):
    monkeypatch.setattr(predicting, "BATCH", 2)
    config = PredictRun(demos, inputs(tmp_path), "tiny-random", "knn", output=tmp_path / "out.jsonl")
    first = run_prediction(config)
    begun = list(islice(first, 3))
    with pytest.raises(UserError, match=r"another process is writing into this file.*another --output"):
        list(run_prediction(config))
    rest = list(first)
    written = [json.loads(line) for line in config.output.read_text().splitlines()]
    assert written == begun + rest == answers(demos, config.inputs)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("place", ["", "file/"])
def test_a_file_that_cannot_be_written_loses_no_answer(tmp_path, demos, monkeypatch, ending, place):
    source, output = inputs(tmp_path), tmp_path / f"{place}out.{ending}"
    if place:
        (tmp_path / "file").write_text("a file where a folder is needed")
        with pytest.raises(UserError, match="cannot be written"):
            answers(demos, source, output=output)
        return
    with monkeypatch.context() as broken:

        def full(rows, path, columns):
            path.write_text("half")
            raise OSError(28, "No space left on device")

        broken.setattr(predicting, "_writer", lambda output, config: full)
        with pytest.raises(UserError, match=r"No space left on device.*the same command continues"):
            answers(demos, source, output=output)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demos.jsonl", "inputs.jsonl", f"{output.name}.partial"]
    assert answers(demos, source, output=output) == answers(demos, source)
    assert output.exists() and not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("options", [{"probabilities": True}, {"at_least": 0.0}])
@pytest.mark.parametrize("rows", [[{"input": "a", "output": "x"}], [{"tokens": ["in", "Rome"], "tags": ["O", "B-c"]}]])
def test_what_only_answers_among_options_have_is_refused_for_others(tmp_path, options, rows):
    demos, source = lines(tmp_path / "demos.jsonl", rows), lines(tmp_path / "inputs.jsonl", rows)
    with pytest.raises(UserError, match=f"{next(iter(options))} is for answers among options"):
        list(run_prediction(PredictRun(demos, source, "tiny-random", **options)))


def test_an_answer_below_the_least_probability_is_null(tmp_path, demos):
    source = inputs(tmp_path)
    plain = answers(demos, source, probabilities=True, method_options={"neighbours": 3})
    best = sorted(max(row["probabilities"].values()) for row in plain)
    found = answers(demos, source, at_least=1.0, method_options={"neighbours": 3})
    assert best[0] < 1 and any(row["answer"] is None for row in found)
    for row, other in zip(plain, found, strict=True):
        below = max(row["probabilities"].values()) < 1.0
        assert other["answer"] == (None if below else row["answer"]) and other["scores"] == row["scores"]


def test_explanations_stand_beside_the_answers(tmp_path, demos):
    (row,) = answers(demos, inputs(tmp_path, 1), explain=True)
    assert [one["input"] for one in row["explanation"]] == [d["input"] for d in DEMOS]
    assert all(one["change"] == round(one["change"], 5) for one in row["explanation"])


def test_options_of_the_method_are_given(tmp_path, demos):
    source = inputs(tmp_path)
    assert answers(demos, source, method_options={"neighbours": 3}) != answers(demos, source)
    with pytest.raises(UserError, match="no option 'neighbors'"):
        answers(demos, source, method_options={"neighbors": 3})


def test_wrong_endings_are_refused_before_anything_is_read(tmp_path, demos):
    with pytest.raises(UserError, match=r"output ends with '\.txt'"):
        answers(demos, tmp_path / "missing.jsonl", output=tmp_path / "out.txt")


def test_memory_does_not_grow_with_the_number_of_inputs(tmp_path, demos):
    def peak(count: int) -> int:
        source = lines(tmp_path / f"{count}.jsonl", [{"input": f"item {i} " + "x" * 500} for i in range(count)])
        rows = run_prediction(PredictRun(demos, source, "tiny-random", "majority"))
        next(rows)
        tracemalloc.start()
        for _ in rows:
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(300)
    assert peak(4000) < 1.5 * peak(1000) + 100_000
