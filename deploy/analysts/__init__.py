"""Recipes for tools of analysts: Superset, Grafana, Metabase (docs/analysts.md)."""
