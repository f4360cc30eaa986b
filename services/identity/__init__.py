"""People: accounts, roles, sessions, mailed codes, signing keys."""
