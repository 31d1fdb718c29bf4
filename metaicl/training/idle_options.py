"""Options of the base model that no method of a command would read: refused before anything is loaded or written."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from metaicl.lm import models, tiny
from metaicl.lm.config import BackboneConfig
from metaicl.lm.configuration import configuration
from metaicl.methods import method_class
from metaicl.methods.base import Method
from metaicl.training.config import TrainRun
from task_suites.core.errors import UserError, counted
from task_suites.core.idle import refuse_idle, refuse_values

ADAPTERS = ("lora_r", "lora_alpha", "target_modules", "lora_layers")
KINDS_OF_ADAPTERS = ("use_rslora", "use_dora")


def refuse_idle_backbone(given: BackboneConfig, method: type[Method]) -> None:
    """Raise where an option of adapters or of learning was given that the method does not read, or more layers than the
    model has.

    A value that is the method's own is not the user's, and may be more than a small model has.

    Raises:
        UserError: names the option.
    """
    method.check_kind(given.model)
    built = method.backbone_config(given)
    unset = replace(given, weights=None, lora_r=None, lora_alpha=None, target_modules=None, lora_layers=None)
    own = method.backbone_config(unset)

    def by_the_user(*names: str) -> dict[str, Any]:
        return {n: v for n in names if (v := getattr(given, n)) not in (None, getattr(own, n))}

    if built.weights != "lora":
        adapters = "a method that learns adapters"
        refuse_values(by_the_user(*ADAPTERS), adapters)
        refuse_idle(given, KINDS_OF_ADAPTERS, adapters)
    if built.weights == "frozen":
        learned = "a method that learns weights of the model"
        refuse_idle(given, ["gradient_checkpointing"], learned)
        refuse_values(by_the_user("weights"), learned)
    if "lora_layers" in by_the_user("lora_layers") and (given.lora_layers or 0) > (layers := layers_of(given)):
        raise UserError(
            f"lora_layers is {given.lora_layers}, but {given.model} has {counted(layers, 'layer')}",
            expected=f"from 0 (all) to {layers}",
            fix="Leave it out, or give fewer.",
        )


def refuse_idle_training(run: TrainRun) -> None:
    """Raise where an option of a training was given that nothing of it reads."""
    trainer = run.trainer
    refuse_idle(run, ["plan_tflops"], "plan", used=bool(run.plan))
    validated = bool(trainer.eval_steps)
    refuse_idle(run.validation, ["k", "seeds", "queries"], "eval_steps", "validation_", validated)
    refuse_idle(trainer, ["early_stopping_patience"], "eval_steps", used=validated)
    refuse_idle(trainer, ["mixing_temperature"], "mixing temperature", used=trainer.mixing == "temperature")
    refuse_idle(trainer, ["mixing_weights_by"], "mixing weights", used=trainer.mixing == "weights")
    refuse_idle(trainer, ["mixing_step_size"], "mixing group_dro", used=trainer.mixing == "group_dro")
    grows = trainer.k > (trainer.k_min or 1)
    refuse_idle(trainer, ["curriculum_steps"], "a k above its least", used=grows)
    method = method_class(run.method)
    method.configured(run.method_options).check_idle(run.method)
    method.prompt_format(run.format).check_idle()
    refuse_idle_backbone(run.backbone, method)
    if not method.reads_prompts:
        needs = "a method that reads prompts"
        refuse_idle(run.format, [f.name for f in fields(run.format)], needs, "format.")
        refuse_idle(run.trainer, ["arbitrary_labels"], needs)


def layers_of(config: BackboneConfig) -> int:
    """Return the number of layers of a model.

    Raises:
        UserError: there is no such model.
    """
    if config.model == tiny.NAME:
        return int(tiny.tiny_model().config.num_hidden_layers)
    return int(configuration(models.resolve(config.model), config.on_hub()).get_text_config().num_hidden_layers)
