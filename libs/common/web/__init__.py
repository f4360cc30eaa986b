"""HTTP: from the bytes of a request to a route, and from a result to an answer."""
