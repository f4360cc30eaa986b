"""Courses: content, files, publication, search, reviews."""
