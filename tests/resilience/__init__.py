"""Losses of whole servers: what the runbooks say is done here, on real ones, and judged afterwards."""
