"""The words: persona cards, system templates and safety pre-prompts, as files with a version and a hash."""

from guardrail.prompts.help_lines import HelpLines, load_help_lines
from guardrail.prompts.persona import LINE_KINDS, Lines, Persona, load_personas
from guardrail.prompts.safety import Preprompt, SafetyPrompts, load_safety_prompts
from guardrail.prompts.template import Template, escape, load_template, load_templates

__all__ = [
    "LINE_KINDS",
    "HelpLines",
    "Lines",
    "Persona",
    "Preprompt",
    "SafetyPrompts",
    "Template",
    "escape",
    "load_help_lines",
    "load_personas",
    "load_safety_prompts",
    "load_template",
    "load_templates",
]
