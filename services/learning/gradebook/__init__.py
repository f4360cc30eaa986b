"""Grades of a course: computed, explained, exported."""
