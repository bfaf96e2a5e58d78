"""GPT-2 as Flax NNX modules and pure functions over its parameters: no files, no command line."""
