"""Forums and their discussions: opened, changed, pinned, locked, resolved, followed, moved."""
