"""Everything that the demo catalogue holds."""

from deploy.local.demo import computing, mathematics, society
from deploy.local.demo.parts import DemoCourse

CATEGORIES = [module.CATEGORY for module in (computing, mathematics, society)]
COURSES: list[DemoCourse] = [*computing.COURSES, *mathematics.COURSES, *society.COURSES]
TUTORS = {
    "tutor3": ("Tiril", "Aas", "Taught statistics to journalists for ten years."),
    "tutor4": ("Thabo", "Mokoena", "Physicist; draws before he computes."),
}
"""Teachers beside the two demo logins, with the same password."""
