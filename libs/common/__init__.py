"""What a third service would otherwise write again; README.md says what is admitted."""
