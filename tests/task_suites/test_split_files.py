"""Splits as files of names."""

from __future__ import annotations

import json

import pytest
from made_tasks import TASKS

from metaicl.cli.main import main
from task_suites.core.errors import UserError
from task_suites.sources import SuiteConfig, open_suite
from task_suites.split_files import SETTINGS, load_split, save_split
from task_suites.split_rules import divide, nested


def test_a_split_survives_its_file(tmp_path):
    split = divide(TASKS)
    save_split(split, tmp_path / "mine.json")
    assert load_split(tmp_path / "mine.json") == split == load_split(str(tmp_path / "mine.json"))


def test_the_command_prints_a_split_and_writes_files_that_suites_open_with(tmp_path, capsys):
    main(["suites", "split", "--by", "domain", "--seed", "3"])
    printed = capsys.readouterr().out
    main(["suites", "split", "--by", "domain", "--seed", "3", "--output", str(tmp_path / "mine.json")])
    assert (tmp_path / "mine.json").read_text() == printed
    split = divide(open_suite("embedded"), "domain", seed=3)
    assert load_split(tmp_path / "mine.json") == split
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'mine.json'}: {len(split.meta_train)} meta_train, ")
    suite, _ = SuiteConfig(split=str(tmp_path / "mine.json"), forms=["options"]).open()
    assert {t.name for t in suite.split("meta_test")} <= set(split.meta_test) and suite.split("meta_train")
    main(["suites", "list", "--split_file", str(tmp_path / "mine.json")])
    assert capsys.readouterr().out.startswith("embedded/by_domain_3: 78 tasks\n")


def test_the_command_writes_folds_into_a_new_folder(tmp_path, capsys):
    words = ["suites", "split", "--folds", "[3, 2]"]
    main(words)
    assert [s["name"] for s in json.loads(capsys.readouterr().out)][:3] == ["fold1-1", "fold1-2", "fold2-1"]
    main([*words, "--output", str(tmp_path / "folds")])
    assert sorted(p.name for p in (tmp_path / "folds").iterdir()) == [
        f"fold{i}-{j}.json" for i in (1, 2, 3) for j in (1, 2)
    ]
    assert load_split(tmp_path / "folds/fold3-2.json") == nested(open_suite("embedded"), 3, 2)[-1]
    with pytest.raises(SystemExit):
        main([*words, "--output", str(tmp_path / "folds")])
    assert "this exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not an object; found list"),
        ('{"meta_trian": []}', "unknown key 'meta_trian'. Did you mean meta_train"),
        ('{"meta_train": "t1"}', "meta_train has a wrong type; found 't1'; expected a list of task names"),
        ('{"meta_train": [1]}', "meta_train has a wrong type"),
        ('{"name": ["x"]}', "name has a wrong type"),
        ('{"meta_train"', "not JSON"),
    ],
)
def test_a_wrong_split_file_is_refused_with_its_name(tmp_path, content, message):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(UserError, match=rf"bad.json(:\d+)?: .*{message}"):
        load_split(tmp_path / "bad.json")


def test_an_unknown_split_offers_the_settings():
    with pytest.raises(UserError, match=r"no split 'hr_to_rl'. Did you mean hr_to_lr"):
        load_split("hr_to_rl")


SIZES = {  # (meta-training tasks, target tasks) in table 1 of the paper
    "hr_to_lr": (61, 26),
    "class_to_class": (43, 20),
    "non_class_to_class": (37, 20),
    "qa_to_qa": (37, 22),
    "non_qa_to_qa": (33, 22),
    "non_nli_to_nli": (55, 8),
    "non_para_to_para": (59, 4),
}


def test_the_settings_have_the_sizes_that_the_paper_gives():
    assert {p.stem for p in SETTINGS.glob("*.json")} == set(SIZES)
    for name, sizes in SIZES.items():
        split = load_split(name)
        assert (len(split.meta_train), len(split.meta_test)) == sizes and split.name == name
        assert len(set(split.meta_train)) == sizes[0] and len(set(split.meta_test)) == sizes[1]
        assert split.unseen_domain and set(split.unseen_domain) <= set(split.meta_test)
