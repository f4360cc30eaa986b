"""Reported posts: decided about, deleted, restored."""
