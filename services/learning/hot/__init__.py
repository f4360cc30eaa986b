"""What a whole class does at once, past the framework and many in a transaction."""
