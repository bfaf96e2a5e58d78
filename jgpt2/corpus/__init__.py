"""From files to a dataset of documents: read, drop repetitions, split, write, read back."""
