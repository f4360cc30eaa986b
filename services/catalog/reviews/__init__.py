"""Stars and words about courses, and votes for them."""
