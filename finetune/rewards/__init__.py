"""What a reply is worth: one callable, the same for PPO, RLOO, GRPO, rejection sampling and context distillation."""

from guardrail.finetune.rewards.reward import Reward, Scores, Term, load_reward, load_term

__all__ = ["Reward", "Scores", "Term", "load_reward", "load_term"]
