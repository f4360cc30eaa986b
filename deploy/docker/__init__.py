"""The images, and what docker-compose.yml needs beside them."""
