"""Everything between enrolling and the certificate: progress, quizzes, assignments, grades."""
