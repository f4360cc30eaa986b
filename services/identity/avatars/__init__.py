"""Pictures of people: taken in, drawn again, shown."""
