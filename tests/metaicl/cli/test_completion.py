"""A shell completes the commands and options that there are."""

from __future__ import annotations

import subprocess

import pytest

from metaicl.cli.main import COMMANDS, command_of, main
from task_suites.core.flat import options_of


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_script_of_each_shell_names_every_command_and_option(capsys, shell):
    main(["completion", shell])
    script = capsys.readouterr().out
    for name in COMMANDS:
        command = command_of(name)
        assert name in script
        assert all(option in script for option in options_of(command.config) if option not in command.positional)


def test_bash_takes_the_script(capsys):
    main(["completion", "bash"])
    script = capsys.readouterr().out
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_another_shell_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["completion", "fish"])
    assert "shell must be bash, zsh or tcsh, but is 'fish'" in capsys.readouterr().err
