"""Courses: written, published, searched, copied, archived."""
