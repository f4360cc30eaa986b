"""Tags of courses, merged and renamed."""
