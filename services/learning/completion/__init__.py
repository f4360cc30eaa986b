"""When a course is complete: its rules, who meets them."""
