"""A command line that is to fail."""

from __future__ import annotations

import pytest

from metaicl.cli.main import main


def fails(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("metaicl: ") and "Traceback" not in message and message.count("\n") == 1
    return message
