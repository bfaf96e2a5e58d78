"""Folders and files that other programs load: written, read without trust, and verified."""
