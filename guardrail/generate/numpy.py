"""A local Lfm2 model through NumPy: what the transformers generator writes with it, without torch (`guardrail.generate.lfm2`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from guardrail.generate.local import LocalGenerator
from guardrail.types import Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.generate.numpy_engine import Leaning, NumpyEngine
    from guardrail.generate.recital import Recitals


class NumpyGenerator(LocalGenerator["NumpyEngine"]):
    """Streams drafts from a model folder: config.json, model.safetensors, tokenizer.json, tokenizer_config.json and the chat template.

    With `recitals` it decodes under a leak index: no reply completes a run of the corpus. Each of `leanings` may give a request a bias on its next token.
    Raises ConfigurationError for a folder that holds no Lfm2 model for chat, InvalidRequest for a conversation that the model cannot read, else GeneratorError.
    """

    def __init__(
        self,
        *,
        model: str,
        name: str | None = None,
        temperature: float = 0.3,
        top_p: float = 0.95,
        max_tokens: int = 400,
        batch: int = 8,
        timeout_seconds: float = 60.0,
        recitals: Recitals | None = None,
        leanings: Sequence[Leaning] = (),
    ) -> None:
        """`name`: as it stands in replies; None: the model's folder. `temperature`, `top_p`, `max_tokens`: where a prompt's Sampling leaves the choice.

        Nothing is loaded before `warm_up` or a request.
        """
        defaults = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
        super().__init__(thread="guardrail-numpy", defaults=defaults, batch=batch, timeout_seconds=timeout_seconds)
        self._model = model
        self._name = name or model
        self._recitals = recitals
        self._leanings = tuple(leanings)

    @property
    def name(self) -> str:
        return self._name

    def _load(self) -> NumpyEngine:
        from guardrail.generate import numpy_engine  # noqa: PLC0415 - what it reads is not needed before a model is

        return numpy_engine.load(Path(self._model), recitals=self._recitals, leanings=self._leanings)
