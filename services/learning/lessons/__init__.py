"""Lessons as learners see them: progress, completion, notes, heartbeats."""
