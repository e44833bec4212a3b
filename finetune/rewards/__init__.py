"""Scores of replies, one callable for PPO, RLOO, GRPO, rejection sampling and distillation."""
