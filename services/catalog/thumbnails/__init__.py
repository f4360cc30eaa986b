"""Pictures of courses in three sizes."""
