"""How weights are changed: losses, estimators and the loops around them."""
