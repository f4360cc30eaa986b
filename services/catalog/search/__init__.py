"""Words of published courses, with which misspelt searches are compared."""
