"""The models of PPO: a policy and a critic in one module, which is prepared once, and the reference that the policy must not leave too far behind.

Shapes: b rows of p + r tokens, a prompt padded on the left to p and a reply padded on the right to r. What belongs to a reply's token stands one place
before it: the logits it was sampled from, and the value of what was there before it was said.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModel

from guardrail.errors import ConfigurationError
from guardrail.evaluate.scorers.sequence_classifier import auto_class
from guardrail.finetune.training.losses import entropy, token_logprobs
from guardrail.finetune.training.models import attach_lora, fingerprint, load_model, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedModel

    from guardrail.finetune.settings import LoraSettings, TrainingSettings
    from guardrail.finetune.training.rollout import Rows

POLICY, CRITIC = "default", "critic"
"""Names of the adapters."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Said:
    """What the policy and the critic make of the replies, each (b, r)."""

    logprobs: Tensor
    entropy: Tensor
    values: Tensor


class ActorCritic(nn.Module):
    """A policy and a critic that share nothing, or, with adapters, share one frozen base ("hydra"; Santacroce et al. 2023)."""

    def __init__(self, policy: Any, critic: PreTrainedModel | None, head: nn.Linear) -> None:
        """`policy`: a causal model, or a PeftModel of one with the adapters POLICY and CRITIC; then `critic` is None. `head`: hidden state to value."""
        super().__init__()
        self.policy = policy
        self.critic = critic
        self.head = head
        _without_dropout(self)

    def forward(self, tokens: Tensor, attention: Tensor, positions: Tensor, reply: int, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities, entropies and values of the last `reply` tokens, each (b, reply). tokens, attention, positions: (b, p + reply)."""
        logits = _logits(self.policy, tokens, attention, positions, reply)
        states = self._states(tokens, attention, positions)[:, -reply - 1 : -1]
        values = self.head(states.to(self.head.weight.dtype)).squeeze(-1).float()
        return token_logprobs(logits, tokens[:, -reply:], temperature), entropy(logits.detach(), temperature), values

    def publish(self, folder: Path) -> None:
        """Write the policy's weights, adapters merged into a copy, so that a server of the same model can read them; tied ones under each of their names."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = _merged(self.policy) if self.critic is None else self.policy.state_dict()
        save_file({name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
        self.policy.config.save_pretrained(folder)

    def _states(self, tokens: Tensor, attention: Tensor, positions: Tensor) -> Tensor:
        inputs = {"input_ids": tokens, "attention_mask": attention, "position_ids": positions, "use_cache": False}
        if self.critic is not None:
            return cast("Tensor", self.critic(**inputs).last_hidden_state)
        with self._critic_adapter():
            return cast("Tensor", self.policy.get_base_model().base_model(**inputs).last_hidden_state)

    @contextmanager
    def _critic_adapter(self) -> Iterator[None]:
        """The critic's adapter in place of the policy's. Choosing an adapter freezes the others, which would lose their gradients: it is undone."""
        trained = [parameter for parameter in self.policy.parameters() if parameter.requires_grad]
        self.policy.set_adapter(CRITIC)
        try:
            yield
        finally:
            self.policy.set_adapter(POLICY)
            for parameter in trained:
                parameter.requires_grad_(True)


class Reference:
    """The model that the policy started as; it never changes. Without a model of its own it is the policy's base, its adapters turned off."""

    def __init__(self, model: PreTrainedModel | None, actor_critic: ActorCritic) -> None:
        self._model = model.eval().requires_grad_(False) if model is not None else None  # type: ignore[no-untyped-call] # untyped in transformers
        self._policy = actor_critic.policy

    @torch.no_grad()
    def logprobs(self, rows: Rows, temperature: float) -> Tensor:
        """log ref(a_t | s_t) of the replies, (b, r)."""
        reply = rows.mask.shape[1]
        inputs = (rows.tokens, rows.attention, rows.positions, reply)
        if self._model is not None:
            return token_logprobs(_logits(self._model, *inputs), rows.tokens[:, -reply:], temperature)
        trained = [parameter for parameter in self._policy.parameters() if parameter.requires_grad]
        with self._policy.disable_adapter():
            logits = _logits(self._policy, *inputs)
        for parameter in trained:  # turning adapters back on thaws the active one only
            parameter.requires_grad_(True)
        return token_logprobs(logits, rows.tokens[:, -reply:], temperature)


def load(model: str, *, reward: str | None, training: TrainingSettings, lora: LoraSettings | None) -> tuple[ActorCritic, PreTrainedModel | None]:
    """Policy and critic from the model folder `model`, and the reference where it is a model of its own. Raises ConfigurationError.

    The critic starts as the reward model in the folder `reward`, where there is one with the same tokens: it has learned what is worth how much (Ouyang et
    al. 2022, appendix C.4). Else it starts as the policy, with a value of 0 for everything.
    """
    if lora is None:
        policy = load_model(model, training=training)
        critic, head = _critic(model, reward, training)
        if training.gradient_checkpointing:
            for part in (policy, critic):
                part.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call] # untyped in transformers
        return ActorCritic(policy, critic, head), load_model(model, training=training)
    if training.gradient_checkpointing:
        raise ConfigurationError("training.gradient_checkpointing: with lora PPO reads the base under two adapters, which it cannot do twice; set it to false.")
    hydra = attach_lora(load_model(model, training=training, lora=lora), lora, training=training)
    hydra.add_adapter(CRITIC, hydra.peft_config[POLICY])
    for name, parameter in hydra.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return ActorCritic(hydra, None, _blank_head(hydra.config)), None


def _critic(model: str, reward: str | None, training: TrainingSettings) -> tuple[PreTrainedModel, nn.Linear]:
    if reward is not None and fingerprint(load_tokenizer(reward)).tokenizer == fingerprint(load_tokenizer(model)).tokenizer:
        scorer: Any = load_model(reward, training=training, kind=auto_class())
        head = _blank_head(scorer.config)
        with torch.no_grad():
            head.weight.copy_(scorer.score.weight)
        return scorer.base_model, head
    body = load_model(model, training=training, kind=AutoModel)
    return body, _blank_head(body.config)


def _merged(policy: Any) -> dict[str, Tensor]:
    """W + (alpha / rank) B A for every weight with an adapter, under the names it has without. The weights stay: to take A B off again would round."""
    base = policy.get_base_model()
    deltas = {name: part.get_delta_weight(POLICY) for name, part in base.named_modules() if hasattr(part, "get_delta_weight")}
    found = {}
    for name, value in base.state_dict().items():
        if "lora_" not in name:
            owner = name.removesuffix(".base_layer.weight")
            found[name.replace(".base_layer.", ".")] = value + deltas[owner] if owner in deltas else value
    return found


def _blank_head(config: Any) -> nn.Linear:
    head = nn.Linear(config.get_text_config().hidden_size, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _logits(model: Any, tokens: Tensor, attention: Tensor, positions: Tensor, reply: int) -> Tensor:
    """The logits that the last `reply` tokens were sampled from, (b, reply, v). No others are computed."""
    logits = model(input_ids=tokens, attention_mask=attention, position_ids=positions, use_cache=False, logits_to_keep=reply + 1).logits
    return cast("Tensor", logits[:, :-1])


def _without_dropout(module: nn.Module) -> None:
    """With dropout a policy would differ from itself: its ratio would not begin at 1, nor its divergence at 0."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(getattr(part, "attention_dropout", None), float):
            part.attention_dropout = 0.0  # type: ignore[assignment] # a number, as the line above asks
