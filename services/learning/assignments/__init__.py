"""Assignments: submissions, groups, rubrics, grading, grades from files."""
