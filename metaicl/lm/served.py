"""`ServedModel`: a causal language model whose weights a server of completions holds.

It stands where a `Backbone` stands that shares no states: prompts are made here, as tokens, from the tokenizer and the
configuration of the model, and `logprobs` has the same arguments. So whatever is made of log-probabilities, calibration
too, is the same code. The server's cache of prefixes is what shares work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor

from metaicl.lm.completion_server import CompletionServer
from metaicl.lm.config import BackboneConfig
from metaicl.lm.loading import open_tokenizer
from metaicl.lm.models import Kind
from metaicl.lm.prompt_tree import PromptTree, parents_of
from metaicl.lm.text_encoder import TextEncoder
from task_suites.core.errors import UserError
from task_suites.formats.tagging import STOP

PROBE = "Réponse: 42 cats didn't\n\n\tsee the 世界 (0.5%)."  # a text that different tokenizers hardly encode alike
NAMED_COST = 64  # tokens that a request for named tokens is taken to cost, of what its prompt does not share


class ServedModel:
    """A model that a server runs.

    Args:
        config: which model the server serves; its tokenizer and configuration are read here.
        server: the server.

    Raises:
        UserError: the server's tokenizer is another one.
    """

    kind: ClassVar[Kind] = "causal"
    row_tokens: ClassVar[int] = 1 << 17  # as many prompts as keep the server busy

    def __init__(self, config: BackboneConfig, server: CompletionServer):
        self.config, self.server = config, server
        self.model_config, self.tokenizer = open_tokenizer(config.model, config.on_hub())
        self.texts, self.device = TextEncoder(self.tokenizer), torch.device("cpu")
        self._check_tokens()

    def _check_tokens(self) -> None:
        """Raise where the server's tokens are not those of the model here: by their ids, or where it does not tell
        these, by what it writes for ours."""
        ours: Sequence[Any] = self.encode(PROBE)
        theirs: Sequence[Any] | None = self.server.encoded(PROBE)
        if theirs is None:
            ids, theirs = ours, self.server.written(ours)
            ways = ([self.tokenizer.decode([i]) for i in ids], self.tokenizer.convert_ids_to_tokens(list(ids)))
            ours = ways[1] if theirs == ways[1] else ways[0]
        if list(theirs) != list(ours):
            raise UserError(
                f"the server's model {self.server.model} has other tokens than {self.config.model}",
                where=self.server.address,
                found=f"{list(theirs)[:12]} for {PROBE[:20]!r}...",
                expected=f"{list(ours)[:12]}",
                fix=f"Serve the folder that this writes: metaicl export {self.config.model} --output_dir FOLDER",
            )

    @property
    def context(self) -> int:
        """The longest sequence, in tokens, that the model takes; the server may take less, and says so then."""
        return int(getattr(self.model_config, "max_position_embeddings", 1 << 30))

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text by itself."""
        return self.texts.encode(text).ids

    def shares(self, length: int) -> bool:
        """Return False: no state is kept here."""
        return False

    def trainable(self) -> dict[str, Any]:
        """Return nothing: no weight is here."""
        return {}

    def logprobs(
        self,
        forest: Sequence[PromptTree],
        wanted: Sequence[Sequence[int]],
        params: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the log-probability of each wanted node given its path, tree by tree: `[sum of len(wanted)]`.

        Raises:
            UserError: weights are given, a wanted node has no parent, or the server does not answer.
        """
        if params:
            raise UserError("this method has weights of its own, which the server's model lacks", fix="Use icl.")
        values = [self._tree_logprobs(tree, nodes) for tree, nodes in zip(forest, wanted, strict=True)]
        return torch.tensor(list(chain(*values)), dtype=torch.float64)

    def _tree_logprobs(self, tree: PromptTree, wanted: Sequence[int]) -> list[float]:
        parents, ends = list(dict.fromkeys(parents_of(tree, wanted))), _ends(tree, wanted)
        echoed = sum(map(len, ends.values()))
        if len(parents) * NAMED_COST < echoed and self.server.names_tokens:
            found = self._named(tree, wanted, parents)
        else:
            values = self.server.prompt_logprobs([[tree.tokens[n] for n in path] for path in ends.values()])
            found = {}
            for path, logprobs in zip(ends.values(), values, strict=True):
                found |= dict(zip(path[1:], logprobs, strict=True))
        return [found[node] for node in wanted]

    def _named(self, tree: PromptTree, wanted: Sequence[int], parents: Sequence[int]) -> dict[int, float]:
        """Return the log-probability of each wanted node, from one request for each node before one."""
        below: dict[int, list[int]] = {parent: [] for parent in parents}
        for node in wanted:
            below[tree.parent[node]].append(node)
        prompts = [[tree.tokens[n] for n in tree.path(parent)] for parent in parents]
        named = [[tree.tokens[n] for n in below[parent]] for parent in parents]
        values = self.server.next_logprobs(prompts, named)
        return {n: tops[tree.tokens[n]] for p, tops in zip(parents, values, strict=True) for n in below[p]}

    def texts_after(self, prompts: Sequence[Sequence[int]], limit: int, beams: int = 1) -> list[str]:
        """Return the likeliest text after each prompt, token by token, up to the first line break.

        Raises:
            UserError: more than one beam.
        """
        if beams > 1:
            raise UserError("beam search needs the model in this process", found=f"{beams} beams", fix="Use one beam.")
        found = self.server.texts(prompts, limit, self.tokenizer.eos_token_id)
        return [text.split(STOP)[0].strip() for text in found]


def _ends(tree: PromptTree, wanted: Sequence[int]) -> dict[int, list[int]]:
    """Return the paths that go through all wanted nodes, by their last nodes."""
    paths: dict[int, list[int]] = {}
    passed: set[int] = set()
    for node in sorted(wanted, reverse=True):  # a child comes after its parent
        if node not in passed:
            paths[node] = tree.path(node)
            passed.update(paths[node])
    return paths
