"""Two-step login: enrolment, codes, recovery codes."""
