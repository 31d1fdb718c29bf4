"""`metaicl methods` shows every method with each of its options."""

from __future__ import annotations

import json

import pytest

from metaicl.cli.main import main
from metaicl.cli.methods import listed, shown
from metaicl.methods import METHODS, method_class
from task_suites.core.errors import UserError


def test_the_list_has_each_method_once():
    assert [line.split()[0] for line in listed()] == ["method", *METHODS]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_shown_with_each_option_its_default_and_what_it_means(name):
    lines = list(shown(name))
    for option, default in method_class(name).configured({}).to_dict().items():
        [at] = [i for i, line in enumerate(lines) if line.startswith(f"  {option}: ")]
        assert lines[at].endswith(f" = {json.dumps(default)}")
        assert lines[at + 1].startswith("      "), f"{option} of {name} is not documented"


def test_a_method_that_is_no_registrys_is_shown_too(capsys):
    main(["methods", "show", "metaicl.methods.metric.protonet:ProtoNet"])
    out = capsys.readouterr().out
    assert "no meta-training" not in out and "scale: " in out and "arXiv 1703.05175" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "icl"], "takes no name, but got icl"),
        (["show"], "needs the name of a method"),
        (["shw"], "Did you mean show?"),
    ],
)
def test_an_action_and_its_name_are_checked(words, message, capsys):
    with pytest.raises(SystemExit):
        main(["methods", *words])
    assert message in capsys.readouterr().err


def test_an_unknown_method_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean metaicl"):
        list(shown("metaicI"))


def test_a_method_is_checked_and_the_result_printed(capsys, tmp_path, monkeypatch):
    main(["methods", "check", "random"])
    assert capsys.readouterr().out.startswith("random keeps the rules of methods: it serves options")
    main(["methods", "check", "protonet"])
    assert "loss, gradients and saved weights are right" in capsys.readouterr().out
    lines = (
        "from metaicl.methods.baselines.chance import RandomAnswer",
        "class Empty(RandomAnswer): serves = frozenset()",
    )
    (tmp_path / "broken_method.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit):
        main(["methods", "check", "broken_method:Empty"])
    assert "broken_method:Empty breaks a rule of methods: it serves none of the four forms" in capsys.readouterr().err
