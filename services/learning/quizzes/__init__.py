"""Quizzes: questions, attempts, grading, statistics, banks."""
