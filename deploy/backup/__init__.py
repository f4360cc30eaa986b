"""Backup and restore of the whole suite: database, files, keys and the consumers' offsets, to one moment."""
