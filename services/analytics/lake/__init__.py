"""The lake: the event log, and views if wished, as Apache Iceberg tables on the storage (ADR 047).

Imports pyiceberg inside functions of `tables.py` alone where others could import it: only the worker has it.
"""
