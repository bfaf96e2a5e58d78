"""Fourth layer: an opened model in lm-evaluation-harness, and tasks of our own for it."""
