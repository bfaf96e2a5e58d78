"""From a dataset and a tokenizer to the rows of a training step, and those onto the devices."""
