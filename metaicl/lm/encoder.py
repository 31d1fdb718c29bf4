"""`Encoder`: a sentence encoder with its tokenizer, the second kind of backbone. Texts in, one vector each out.

Any model of sentence-transformers is one: its own modules make the vectors (`SentenceTransformer.encode`), so pooling,
projection, normalisation and the prompt that it puts before a text are the model's. Its weights stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metaicl.lm.config import BackboneConfig
from metaicl.lm.context_length import check_length, quoted
from metaicl.lm.devices import device_for, settled
from metaicl.lm.loading import open_encoder
from metaicl.lm.models import Kind
from metaicl.lm.shared_work import SharedWork
from task_suites.core.errors import UserError


class Encoder(nn.Module):
    """See the module's docstring. `load` opens one by name; the constructor takes a model at hand.

    Attributes:
        model: the `SentenceTransformer`.
        width: the width of a text's vector.
        shared: embeddings, for methods that ask for the same texts again.
        tokens_run: tokens that went through the model, for speeds.
    """

    kind: ClassVar[Kind] = "encoder"

    def __init__(self, model: Any, config: BackboneConfig):
        super().__init__()
        if config.weights not in (None, "frozen"):
            raise UserError(
                f"weights is {config.weights}, but those of the sentence encoder {config.model} are not trained here",
                fix="Leave weights out, or use a causal language model.",
            )
        for name, given in (
            ("quantization", config.quantization != "none"),
            ("use_liger_kernel", config.use_liger_kernel),
        ):
            if given:
                raise UserError(
                    f"{name} is {getattr(config, name)}, but {config.model} is a sentence encoder",
                    fix=f"Leave {name} out, or use a causal language model.",
                )
        self.config = settled(replace(config, weights="frozen"), str(model.device))
        self.model = model.requires_grad_(False).eval()
        self.tokenizer = model.tokenizer
        body = getattr(model[0], "auto_model", None)
        self.model_config: Any = body.config if body is not None else SimpleNamespace()
        self.width = int(model.get_embedding_dimension())
        self.shared = SharedWork()
        self.tokens_run = 0

    @classmethod
    def load(cls, config: BackboneConfig) -> Encoder:
        """Return the encoder that `config` names.

        Raises:
            UserError: there is no such model, or it is not a sentence encoder.
        """
        device = device_for(config)
        dtype = torch.bfloat16 if settled(config, device).dtype == "bfloat16" else torch.float32
        return cls(open_encoder(config.model, config.on_hub()).to(device=device, dtype=dtype), config)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def context(self) -> int:
        """Return the longest text, in tokens, that the model reads whole."""
        longest = self.model.max_seq_length
        return 1 << 30 if longest is None or math.isinf(longest) else int(longest)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the learned weights: none."""
        return {}

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text by itself, without special tokens around it."""
        return self._ids(text, special=False)

    def length(self, text: str) -> int:
        """Return the number of tokens of a text as the model reads it, with its prompt and special tokens."""
        prompt = self.model.prompts.get(self.model.default_prompt_name) or ""
        return len(self._ids(prompt + text, special=True))

    def check_lengths(self, texts: Sequence[str]) -> int:
        """Return the number of tokens of texts, each of which fits.

        Raises:
            TooLong: names the first that does not.
        """
        lengths = [self.length(text) for text in texts]
        for text, length in zip(texts, lengths, strict=True):
            check_length(length, self.context, f"the text {quoted(text)}")
        return sum(lengths)

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return `[texts, width]` float32: what `SentenceTransformer.encode` gives. A text that is too long is refused,
        where the library would cut it without a word.

        Raises:
            TooLong: names the text.
        """
        self.tokens_run += self.check_lengths(texts)
        if not texts:
            return torch.empty(0, self.width, device=self.device)
        vectors = self.model.encode(list(texts), convert_to_tensor=True, show_progress_bar=False)
        return vectors.clone().float()  # made in inference mode: a copy may take part in a graph

    @cached_property
    def word_refusal(self) -> str | None:
        """Return why the model gives no vectors of words, or None where it does."""
        if not getattr(self.tokenizer, "is_fast", False):
            return f"the tokenizer of {self.config.model} does not say which word a token belongs to"
        if (width := getattr(self.model_config, "hidden_size", None)) != self.width:
            return f"{self.config.model} has states of {width} numbers for vectors of {self.width}"
        return None

    @torch.no_grad()
    def embed_words(self, words: Sequence[str]) -> Tensor:
        """Return `[words, width]`: the mean state of each word's tokens in the sentence, or, of a word without one,
        the state of the sentence's first token, which belongs to no word.

        Raises:
            TooLong: names the sentence.
            UserError: the model gives no vectors of words.
        """
        if self.word_refusal:
            raise UserError(
                "the sentence encoder gives no vectors of words",
                found=self.word_refusal,
                fix="Use another model, or another method.",
            )
        sentence = " ".join(words)
        read = self.tokenizer(sentence, return_offsets_mapping=True)
        length = len(read["input_ids"])
        check_length(length, self.context, f"the sentence {quoted(sentence)}")
        self.tokens_run += length
        features = {name: torch.tensor([read[name]], device=self.device) for name in read if name != "offset_mapping"}
        states = self.model[0](features)["token_embeddings"][0].float()
        return torch.stack([states[tokens].mean(0) for tokens in _tokens_of(words, read["offset_mapping"])])

    def _ids(self, text: str, special: bool) -> tuple[int, ...]:
        if hasattr(self.tokenizer, "is_fast"):  # a tokenizer of transformers; static embeddings have a plain one
            return tuple(self.tokenizer(text, add_special_tokens=special)["input_ids"])
        return tuple(self.tokenizer.encode(text, add_special_tokens=special).ids)


def _tokens_of(words: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the positions of each word's tokens, by the characters of the joined words that a token stands for."""
    found: list[list[int]] = []
    start = 0
    for word in words:
        stop = start + len(word)
        found.append([i for i, (a, b) in enumerate(offsets) if a < stop and b > start and b > a] or [0])
        start = stop + 1
    return found
