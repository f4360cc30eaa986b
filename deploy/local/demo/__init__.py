"""The content of the demo suite: what its courses teach, as bodies of the public API."""
