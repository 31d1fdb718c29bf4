"""The configuration of `metaicl serve`. Nothing heavy here: the command line shows its help from this file."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from task_suites.core.errors import UserError
from task_suites.core.ranges import Count, Positive, check_ranges

TOKENS = "METAICL_TOKENS"  # the environment variable with bearer tokens, separated by blanks


@dataclass(frozen=True)
class ServeRun:
    """Serve few-shot answers over HTTP, with a page to try them on.

    Attributes:
        model: the folder of a run, or the name of a base model.
        method: the method of tasks that name none. A base model needs one without meta-training.
        host: the address to listen on. Any but that of this machine needs tokens.
        port: the port to listen on; 0 takes a free one.
        database: the SQLite file that stores the tasks.
        token_file: a file of bearer tokens, one a line. The environment variable METAICL_TOKENS may hold them too.
        max_demonstrations: the largest number of demonstrations of a task.
        max_inputs: the largest number of inputs in one request.
        max_characters: the longest text, in characters.
        max_body: the largest body of a request, in bytes.
        max_waiting: the largest number of inputs that wait; further ones get status 429.
        max_tasks: the largest number of tasks.
        memory: megabytes for the cached states of prompts; those used longest ago are dropped first.
        timeout: seconds after which a request gets status 503.
        batch: the largest number of inputs of one task that are answered in one pass.
    """

    model: str = "smollm2-135m"
    method: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    database: Path = Path("metaicl-tasks.sqlite")
    token_file: Path | None = None
    max_demonstrations: Count = 1000
    max_inputs: Count = 256
    max_characters: Count = 20_000
    max_body: Count = 4_000_000
    max_waiting: Count = 1024
    max_tasks: Count = 10_000
    memory: Positive = 1024.0
    timeout: Positive = 60.0
    batch: Count = 64

    def __post_init__(self) -> None:
        check_ranges(self)
        if not 0 <= self.port <= 65535:
            raise UserError(f"port must be from 0 to 65535, but is {self.port}")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the service."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_tokens(config: ServeRun) -> tuple[str, ...]:
    """Return the bearer tokens that are accepted; none: everybody on this machine may use the service.

    Raises:
        UserError: the file cannot be read or is empty, or the service is open to others and has no tokens.
    """
    found = os.environ.get(TOKENS, "").split()
    if config.token_file is not None:
        try:
            lines = config.token_file.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the tokens cannot be read ({type(error).__name__})", where=config.token_file) from None
        if not lines:
            raise UserError("the file has no tokens", where=config.token_file, expected="one token a line")
        found += lines
    if not found and not config.is_local:
        raise UserError(
            f"host {config.host} is open to others, and no token is set",
            fix=f"Give --token_file, or set {TOKENS}; or listen on 127.0.0.1.",
        )
    return tuple(found)
