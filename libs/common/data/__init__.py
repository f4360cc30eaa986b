"""One transaction: rows, the events they report, the tasks that follow, and the tables for all of it."""
