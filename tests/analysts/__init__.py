"""Recipes of docs/analysts.md, carried out."""
