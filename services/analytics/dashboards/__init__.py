"""The dashboards of students, teachers, courses and the platform."""
