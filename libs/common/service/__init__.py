"""Making and running one service."""
