"""A person's data in one service: exported, or erased for good."""
