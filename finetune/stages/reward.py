"""A reward model: the SFT model, or the retrieval encoder, with one number as its head, trained to put the chosen reply above the rejected one.

The loss is -log sigmoid(r_chosen - r_rejected - m), with a margin m that grows with how much better the choice was (Touvron et al. 2023, eq. 2).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from datasets import Dataset
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from guardrail.evaluate.scorers.sequence_classifier import auto_class
from guardrail.finetune.data import rows
from guardrail.finetune.data.pairs import encode_pairs
from guardrail.finetune.data.raters import read_split
from guardrail.finetune.rewards.judgement import judge, stability
from guardrail.finetune.rewards.reward_model import RewardModel
from guardrail.finetune.stage import Sample, StageResult
from guardrail.finetune.training.arguments import steps_of, training_arguments
from guardrail.finetune.training.callbacks import quiet, train
from guardrail.finetune.training.models import attach_lora, check_chat, load_model, load_tokenizer
from guardrail.finetune.training.reward_body import ENCODER, encoder_tokenizer, save_reward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.finetune.data.pairs import EncodedPair
    from guardrail.finetune.data.rows import Preference
    from guardrail.finetune.recipe import RewardSettings
    from guardrail.finetune.stage import StageContext

_SAMPLES = 3


def run(settings: RewardSettings, context: StageContext) -> StageResult:
    """Train, save `reward`, and say how well it judges choices that it never saw. Raises ConfigurationError, FinetuneError, Interrupted."""
    body = context.resolve(settings.model, "model")
    encoder = settings.model == ENCODER
    tokenizer, body = encoder_tokenizer() if encoder else (load_tokenizer(body), body)
    if not encoder:
        check_chat(tokenizer, settings.model)
    learned, heldout = read_split(Path(context.resolve(settings.data, "preferences")))
    encoded = encode_pairs(learned, tokenizer, max_length=settings.training.max_length)
    steps = steps_of(settings.training, len(encoded.pairs))
    torch.manual_seed(context.seed)  # the head begins at random
    with quiet():
        model = load_model(body, training=settings.training, lora=settings.lora, kind=auto_class(), num_labels=1)
        model.config.pad_token_id = tokenizer.pad_token_id
        if settings.lora is not None:
            model = attach_lora(model, settings.lora, training=settings.training, task="SEQ_CLS")
        trainer = RewardTrainer(
            model=model,
            args=training_arguments(RewardConfig, settings.training, context, steps=steps, max_length=None),
            train_dataset=_dataset(encoded.pairs, settings.margins),
            processing_class=tokenizer,
        )
    train(trainer, context, keep=settings.training.keep)
    if trainer.is_world_process_zero():
        save_reward(trainer.model, tokenizer, context.folder / "reward")
    trainer.accelerator.wait_for_everyone()
    scorer = RewardModel.load(str(context.folder / "reward"))
    figures = [*judge(scorer, heldout, seed=context.seed)]
    figures += stability(scorer, heldout[: settings.stability.rows], settings.stability.kinds, seed=context.seed)
    notes = []
    if encoded.over_long:
        notes.append(f"{encoded.over_long} of {len(learned)} choices have more than {settings.training.max_length} tokens and were not learned.")
    return StageResult(figures=tuple(figures), samples=_samples(scorer, heldout), notes=tuple(notes), outputs={"reward": "reward"})


def _dataset(pairs: Sequence[EncodedPair], margins: tuple[float, float, float, float]) -> Dataset:
    """The columns that TRL takes as tokenised already. `margins` are for strengths 4 to 1."""
    return Dataset.from_dict(
        {
            "chosen_ids": [list(pair.chosen) for pair in pairs],
            "rejected_ids": [list(pair.rejected) for pair in pairs],
            "margin": [margins[4 - pair.strength] for pair in pairs],
        }
    )


def _samples(scorer: RewardModel, heldout: Sequence[Preference]) -> tuple[Sample, ...]:
    """The choices that the model gets most wrong."""
    prompts = [rows.Prompt(prompt=row.prompt) for row in heldout]
    gaps = scorer(prompts, [row.chosen for row in heldout]) - scorer(prompts, [row.rejected for row in heldout])
    worst = sorted(range(len(heldout)), key=lambda number: cast("float", gaps[number]))[:_SAMPLES]
    return tuple(
        Sample(
            prompt=rows.turns(heldout[number].prompt)[-1].content,
            text=f"{heldout[number].chosen}\n\nrather than\n\n{heldout[number].rejected}",
            note=f"the model differs by {-gaps[number]:.2f}",
        )
        for number in worst
        if gaps[number] < 0
    )
