"""Staged release: policy, gates, ledger, and bundles for partners."""
