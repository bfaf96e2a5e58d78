"""The verbs of the command line, one thin typed function each; flags and help come from it."""
