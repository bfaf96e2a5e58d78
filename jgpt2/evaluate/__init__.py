"""Third layer: how well a model predicts held-out documents, in bits per byte of their text."""
