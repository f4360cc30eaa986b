"""Running the suite, and the documents made of it."""
