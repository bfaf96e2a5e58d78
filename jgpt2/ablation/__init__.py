"""Choosing a vocabulary: a study from its plan to its report."""
