"""A local model through Hugging Face transformers. torch runs in one thread of its own; the event loop only passes requests in and text out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from guardrail.errors import ConfigurationError
from guardrail.generate.local import LocalGenerator
from guardrail.types import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import LogitsProcessor, PreTrainedTokenizerBase

    from guardrail.generate.checkpoint import Checkpoint
    from guardrail.generate.torch_engine import TorchEngine
    from guardrail.protocols import Prompt
    from guardrail.settings import AdapterSettings

    Constraint = Callable[[Prompt, PreTrainedTokenizerBase], LogitsProcessor | None]


class TransformersGenerator(LocalGenerator["TorchEngine"]):
    """Streams drafts from a local folder or a hub model.

    Each of several requests gets the tokens it would get alone (`guardrail.generate.decoding`).

    With `context_aware` above 0, a prompt that has `without_passages` is decoded with and without its passages at once, and a token counts for more where the
    passages make it likelier (`guardrail.generate.decoding.contrasted`): two forward passes a token in one batch, and two key-value caches.

    `constraint` may give a request its own logits processor, called before each of its tokens with the tokens so far (1, n) and the logits (1, vocabulary).
    With `copying` above 0 a second one adds that many nats to what a sentence goes on with that the reply has begun to copy (`guardrail.generate.copying`);
    what the first one bans stays banned.
    Raises ConfigurationError for a wrong model, adapter or quantization, InvalidRequest for a conversation that the model cannot read, else GeneratorError.
    """

    def __init__(
        self,
        *,
        model: str,
        adapters: Sequence[AdapterSettings] = (),
        quantize: Literal["none", "4bit"] = "none",
        device: str = "auto",
        temperature: float = 0.3,
        top_p: float = 0.95,
        max_tokens: int = 400,
        batch: int = 8,
        timeout_seconds: float = 60.0,
        context_aware: float = 0.0,
        copying: float = 0.0,
        constraint: Constraint | None = None,
    ) -> None:
        """`temperature`, `top_p` and `max_tokens` stand in where a prompt's Sampling leaves the choice; nothing is loaded before `warm_up` or a request."""
        defaults = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
        super().__init__(thread="guardrail-torch", defaults=defaults, batch=batch, timeout_seconds=timeout_seconds)
        self._model = model
        self._adapters = tuple(adapters)
        self._quantize: Literal["none", "4bit"] = quantize
        self._device = device
        self._context_aware = context_aware
        self._copying = copying
        self._constraint = constraint

    @property
    def name(self) -> str:
        return "+".join([self._model, *(adapter.path for adapter in self._adapters)])

    async def checkpoint(self) -> Checkpoint:
        """The model and its tokenizer, for what else reads them: nothing is loaded twice. Raises what a request would."""
        return (await self._loaded()).checkpoint

    def _load(self) -> TorchEngine:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        if Path(self._model).is_dir():
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        try:
            from guardrail.generate import checkpoint, copying, torch_engine  # noqa: PLC0415 - seconds to import, and only this generator needs torch

            loaded = checkpoint.load(self._model, adapters=self._adapters, quantize=self._quantize, device=self._device)
        except ImportError as error:
            raise ConfigurationError(f"The transformers generator needs `pip install 'guardrail-chat[transformers]'` ({error}).") from error
        constraints = (self._constraint, copying.Copying(self._copying) if self._copying else None)
        held = [constraint for constraint in constraints if constraint is not None]
        return torch_engine.TorchEngine(loaded, context_aware=self._context_aware, constraints=held)
