"""Study time, streaks and goals."""
