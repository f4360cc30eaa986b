"""The seven services; none imports another."""
