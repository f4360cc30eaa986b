"""Enrolments and waitlists: who learns what, and how far."""
