"""English words that carry grammar and little meaning; late interaction leaves them out.

Negations and quantifiers stay, and so do words that philosophy made its own: being, one, same, other, will.
"""

from __future__ import annotations

_WORDS = """
    a an the this that these those
    i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself
    we us our ours ourselves they them their theirs themselves
    am is are was were be been do does did doing done has have had having would shall should can could
    and or but if so as than then that though although because while since whether
    of in on at by for from to into onto upon with about among through during toward towards within via per
    who whom whose which what when where why how there here
    s d m ll re ve also just very too
"""
FUNCTION_WORDS = frozenset(_WORDS.split())
