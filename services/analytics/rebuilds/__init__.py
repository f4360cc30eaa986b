"""Rebuilds of the read models that administrators ask for over HTTP."""
