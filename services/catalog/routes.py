"""HTTP of catalog: the routers of its folders."""

from services.catalog.categories.routes import router as categories
from services.catalog.content.routes import lessons, modules
from services.catalog.courses.routes import router as courses
from services.catalog.favorites.routes import router as favorites
from services.catalog.media.routes import router as media
from services.catalog.media.upload_routes import router as uploads
from services.catalog.reviews.routes import of_course, reviews
from services.catalog.tags.routes import router as tags
from services.catalog.thumbnails.routes import router as thumbnails

ROUTERS = [
    courses,
    favorites,
    thumbnails,
    lessons,
    modules,
    of_course,
    reviews,
    categories,
    tags,
    uploads,
    media,
]
