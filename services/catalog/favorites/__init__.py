"""Courses that people have marked for themselves."""
