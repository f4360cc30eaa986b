"""Modules and lessons of a course, and the files of lessons."""
