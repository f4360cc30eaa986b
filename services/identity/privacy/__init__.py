"""Exports and erasures of a person over all services, as jobs."""
