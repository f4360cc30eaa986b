"""Files: storing, checking, serving and drawing them."""
