"""What an entry of the option `methods` names: a method, and the model that it runs on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from metaicl.lm.config import BackboneConfig
from metaicl.lm.models import kind_of
from metaicl.methods import method_class
from metaicl.methods.base import Method
from metaicl.training.checkpoint import trained_folder
from task_suites.core.errors import UserError


@dataclass(frozen=True)
class MethodOnModel:
    """A method by name.

    Attributes:
        given: as it was given: NAME, or NAME@MODEL.
        method: a registry name or `package.module:Name`.
        model: the model that is named with it; None: the comparison's.
    """

    given: str
    method: str
    model: str | None

    @classmethod
    def of(cls, given: str) -> MethodOnModel:
        """Return the method that is `given` as NAME or NAME@MODEL.

        Raises:
            UserError: it is a path, but no trained method lies there.
        """
        name, at, model = given.partition("@")
        if "/" in name and ":" not in name:
            raise UserError(
                f"no trained method in the folder {name}",
                expected="the folder of a run that is finished, or a method's name",
                fix="Look at: metaicl runs list",
            )
        return cls(given, name, model if at else None)

    @property
    def name(self) -> str:
        """Return the name in the results, which is also that of a file."""
        return self.given.replace("/", "-").replace("\\", "-")

    @property
    def label(self) -> str:
        """Return the name in tables."""
        label = self.cls.label
        return f"{label} ({self.model})" if self.model else label

    @property
    def cls(self) -> type[Method]:
        """The method's class.

        Raises:
            UserError: there is no such method.
        """
        return method_class(self.method)

    def needs_encoder(self, model: str) -> bool:
        """Return whether the method runs on sentence encoders only, and the comparison's model is none."""
        return self.model is None and "causal" not in self.cls.backbones and kind_of(model) != "encoder"

    def backbone(self, config: BackboneConfig, encoder: str) -> BackboneConfig:
        """The configuration of the method's backbone: its own model, else that of the comparison where the
        method runs on it, else its encoder.

        Raises:
            UserError: the method does not run on that kind of model, or there is no such model.
        """
        model = self.model or (encoder if self.needs_encoder(config.model) else config.model)
        self.cls.check_kind(model)
        return self.cls.backbone_config(replace(config, model=model), shared=True)


def named(methods: list[str]) -> list[MethodOnModel]:
    """Return what is named that is not the folder of a trained method."""
    return [MethodOnModel.of(given) for given in methods if not trained_folder(given)]
