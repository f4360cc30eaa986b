"""The suite on one machine: servers, supervisor, command line, demo data."""
