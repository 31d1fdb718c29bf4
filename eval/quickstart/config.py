"""The configuration of the quickstart. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from eval.quickstart.sizes import Asked, SizeName
from metaicl.lm.config import BackboneConfig
from metaicl.training.config import suite_section
from task_suites.core.errors import UserError
from task_suites.core.ranges import Count, Natural, Positive, check_ranges
from task_suites.sources import SuiteConfig


@dataclass(frozen=True)
class QuickstartRun:
    """Meta-train a language model and compare it on unseen tasks, in minutes.

    Attributes:
        suite: tasks, of which only those with options are taken
        full: meta-train six methods and compare eleven. It takes much longer, and first prints how long.
        json: print the result as a last line of JSON.
        output_dir: the folder of the run. Unset: runs/NAME.
        run_name: the name of the run. Unset: quickstart and the name of the suite.
        backbone: model
        k: demonstrations.
        minutes: the time to end within, without installation and download. A few steps are timed, and the largest size
            that fits is chosen. Unset: 10, or no limit with `size` or `full`.
        size: how much is done. The same size gives the same numbers on any machine. Unset: what fits into the minutes.
        max_steps: steps of meta-training, one episode each. Unset, here and for the next four: as the size says.
        seeds: support sets for each task.
        queries: queries for each support set.
        max_tasks: the largest number of held-out tasks to compare on; 0 takes all.
        finetune_cells: how many pairs of a task and a support set fine-tuning answers; 0 leaves it out.
        progress: draw progress bars.
    """

    suite: SuiteConfig = suite_section(lambda: SuiteConfig(max_words=40, forms=["options"]))
    full: bool = False
    json: bool = False
    output_dir: str = ""
    run_name: str = ""
    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(lora_layers=20))
    k: Count = 16
    minutes: Positive | None = None
    size: SizeName | None = None
    max_steps: Count | None = None
    seeds: Count | None = None
    queries: Count | None = None
    max_tasks: Natural | None = None
    finetune_cells: Natural | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.suite.forms != ["options"]:
            fix = "Leave it out. `metaicl evaluate` compares methods on tasks of other forms."
            raise UserError("the quickstart takes tasks with options only", found=f"forms {self.suite.forms}", fix=fix)

    @property
    def seconds(self) -> float | None:
        """The budget; None where there is none."""
        if self.minutes is not None:
            return 60 * self.minutes
        return None if self.size or self.full else 600.0

    @property
    def asked(self) -> Asked:
        """The values of a size that the user gave."""
        return Asked(self.max_steps, self.seeds, self.queries, self.max_tasks, self.finetune_cells)
