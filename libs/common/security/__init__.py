"""Who calls: access tokens, their keys, their early end."""
