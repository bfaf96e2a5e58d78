"""Exact copies and near-copies, found on disk whatever the order."""
