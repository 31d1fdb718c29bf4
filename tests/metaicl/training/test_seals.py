"""A checkpoint is taken whole or not at all: any file of it that is missing or changed is noticed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training import CONFIG, equal, make, weights

from metaicl.training.seals import SEAL, check_seal, seal
from task_suites.core.errors import UserError

EVERY = replace(CONFIG, episodes_per_step=1, save_steps=2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "empty": lambda path: path.write_bytes(b""),
    "one bit": flip,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    make(folder, config=EVERY).run()
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_of_any_file_of_a_checkpoint_is_refused_and_changes_nothing(trained, tmp_path, damage):
    checkpoint = Path("checkpoints") / "step-000004"
    trainer = make(tmp_path / "run", config=EVERY)
    names = sorted(path.name for path in (trained / checkpoint).iterdir() if path.name != "trainer.json")
    assert {"learned.pt", "optimizer.bin", "random.pt", "metrics.jsonl", SEAL} <= set(names)
    for name in names:
        shutil.rmtree(trainer.run_dir, ignore_errors=True)
        shutil.copytree(trained, trainer.run_dir)
        DAMAGES[damage](trainer.run_dir / checkpoint / name)
        before = {p: p.read_bytes() for p in trainer.run_dir.rglob("*") if p.is_file()}
        with pytest.raises(UserError, match=rf"step-000004.*Delete {trainer.run_dir / checkpoint} and give the same"):
            trainer.run()
        assert {p: p.read_bytes() for p in trainer.run_dir.rglob("*") if p.is_file()} == before
    shutil.rmtree(trainer.run_dir / checkpoint)  # the way out
    again = make(trainer.run_dir, config=EVERY)
    again.run()
    straight = make(tmp_path / "straight", config=EVERY)
    straight.run()
    assert again.step == 4 and equal(weights(again), weights(straight))


def test_what_the_loop_had_counted_is_sealed_too(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    state = tmp_path / "run" / "checkpoints" / "step-000004" / "trainer.json"
    state.write_text(state.read_text().replace('"step": 4', '"step": 2'))
    with pytest.raises(UserError, match=r"found another trainer\.json"):
        make(tmp_path / "run", config=EVERY).run()


def test_a_copy_of_a_checkpoint_under_another_name_is_the_users(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    mine = tmp_path / "run" / "checkpoints" / "step-000004-mine"
    shutil.copytree(mine.with_name("step-000004"), mine)
    make(tmp_path / "run", config=EVERY).run()
    assert sorted(p.name for p in mine.parent.iterdir()) == ["step-000004", "step-000004-mine"]


@given(st.dictionaries(st.sampled_from("abc"), st.binary(max_size=5), min_size=1), st.data())
def test_a_seal_holds_for_exactly_the_bytes_that_were_sealed(tmp_path_factory, files, data):
    folder = tmp_path_factory.mktemp("sealed")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    seal(folder)
    check_seal(folder, "")
    name, content = data.draw(st.sampled_from(sorted(files))), data.draw(st.binary(max_size=5))
    (folder / name).write_bytes(content)
    if content == files[name]:
        check_seal(folder, "")
    else:
        with pytest.raises(UserError, match=f"found another {name}"):
            check_seal(folder, "")
