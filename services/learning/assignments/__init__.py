"""Assignments: submissions, groups, rubrics, grading, files."""
