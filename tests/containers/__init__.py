"""Images and docker-compose.yml on a real Docker engine: `make images`, `make compose-test`."""
