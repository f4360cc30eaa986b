"""Queries as JSON: planned by the dictionary, compiled to SQL, held to rights and to groups of five."""
