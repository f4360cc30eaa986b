"""A teacher's library of files, uploaded whole or in parts."""
