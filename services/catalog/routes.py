"""HTTP of catalog: the routers of its slices."""

from services.catalog.categories.routes import categories, tags
from services.catalog.content.routes import lessons, modules
from services.catalog.courses.routes import router as courses

ROUTERS = [courses, lessons, modules, categories, tags]
