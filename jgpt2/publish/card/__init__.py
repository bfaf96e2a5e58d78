"""The model card: one record, rendered in two languages, and its check."""
