"""Reports: a query or a dashboard, mailed on a schedule to those who may see it on that day."""
