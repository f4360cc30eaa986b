"""Exports: the rows of a query or a dataset as a file, written by a job."""
