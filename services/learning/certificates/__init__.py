"""Certificates: templates, numbers, PDFs, revocation."""
