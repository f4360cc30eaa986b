"""Replies as trees, upvotes, solutions."""
