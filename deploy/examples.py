"""Examples for an OpenAPI document: what a schema's author gave, else values that suit the field's name.

The same input gives the same example, so that the generated document only changes when a schema does.
"""

from typing import Any

Json = dict[str, Any]

UUID = "0b5e2f6a-3c1d-4e8f-9a7b-6c5d4e3f2a1b"
MOMENT = "2026-09-14T08:30:00Z"

BY_NAME: Json = {
    "access": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIwYjVlMmY2YSJ9.c2lnbmF0dXJl",
    "author_name": "Ada Lovelace",
    "author_role": "student",
    "bio": "Writes programs for engines that are not built yet.",
    "category": "programming",
    "category_name": "Programming",
    "certificate_number": "CERT-2026-4F7K2Q",
    "code": "ok",
    "confirm_password": "Learn-together-1",
    "content": "Where does the loop end when the list is empty?",
    "count": 1,
    "country": "GB",
    "course_title": "Programming with Python",
    "current_password": "Learn-together-1",
    "description": "From the first variable to a small web service, in twelve lessons.",
    "detail": "Done.",
    "device": "Firefox on Linux",
    "email": "ada@example.com",
    "first_name": "Ada",
    "full_name": "Ada Lovelace",
    "icon": "code",
    "instructor_name": "Grace Hopper",
    "ip": "192.0.2.7",
    "language": "en",
    "last_name": "Lovelace",
    "learning_outcomes": "Write functions\nTest them",
    "level": "beginner",
    "message": "Your certificate is ready.",
    "name": "Programming",
    "new_password": "Learn-together-2",
    "notes": "Lists are mutable, tuples are not.",
    "otp": "492039",
    "page_size": 20,
    "password": "Learn-together-1",
    "percentage": 87.5,
    "phone_number": "+44 20 7946 0018",
    "progress": 42.0,
    "progress_percentage": 42.0,
    "reason": "Advertising",
    "refresh": "q5Y3u0bT8mJr2vN7wLx4zKc9sHf1dGa6pEoQiUyRtWk",
    "reset_code": "492039",
    "role": "student",
    "role_display": "Student",
    "search": "python",
    "short_description": "Python from the beginning.",
    "slug": "programming-with-python",
    "student_name": "Ada Lovelace",
    "subject": "The video of lesson 3 does not start",
    "tags": ["python", "beginners"],
    "text": "What does len([]) answer?",
    "ticket": "nR3qLw8ZkT5vXc1sJm7bYd",
    "ticket_number": "T-2026-000042",
    "time_zone": "Europe/London",
    "title": "Programming with Python",
    "user_agent": "Firefox on Linux",
    "verification_code": "492039",
}


def _whole(value: Any, schema: Json) -> Any:
    """The given example with the nulls that FastAPI takes out of it."""
    if not isinstance(value, dict):
        return value
    return dict.fromkeys(schema.get("required", ())) | value


class Examples:
    """Makes examples of schemas that refer to `schemas` by `#/components/schemas/<name>`."""

    def __init__(self, schemas: Json) -> None:
        self._schemas = schemas

    def of(self, schema: Json, name: str = "", depth: int = 0) -> Any:
        """A value that fits `schema`, the field being called `name`."""
        if "$ref" in schema:
            return self.of(self._schemas[schema["$ref"].rsplit("/", 1)[1]], name, depth)
        for given in ("examples", "example"):
            if given in schema:
                value = schema[given]
                return _whole(value[0] if given == "examples" else value, schema)
        for fixed in ("const", "enum"):
            if fixed in schema:
                return schema[fixed] if fixed == "const" else self._choice(name, schema["enum"])
        for several in ("anyOf", "oneOf", "allOf"):
            if several in schema:
                options = [each for each in schema[several] if each.get("type") != "null"]
                if not options or depth > 6:
                    return None
                return self.of(options[0] | {k: v for k, v in schema.items() if k == "format"}, name, depth)
        return self._plain(schema, name, depth)

    def _plain(self, schema: Json, name: str, depth: int) -> Any:
        kind = schema.get("type")
        if kind == "object" or "properties" in schema:
            if depth > 6:
                return {}
            fields = schema.get("properties", {})
            return {key: self.of(value, key, depth + 1) for key, value in fields.items()}
        if kind == "array":
            given = BY_NAME.get(name)
            if isinstance(given, list) and schema.get("items", {}).get("type") == "string":
                return given
            if depth > 4 or schema.get("maxItems") == 0:
                return []
            return [self.of(schema.get("items", {}), name.removesuffix("s"), depth + 1)]
        if kind == "string":
            return self._string(schema, name)
        if kind == "boolean":
            return bool(schema.get("default", name.startswith(("is_", "has_"))))
        if kind in ("integer", "number"):
            return self._number(schema, name, kind)
        return BY_NAME.get(name, {})

    def _string(self, schema: Json, name: str) -> str:
        by_format = {
            "uuid": UUID, "date-time": MOMENT, "date": "2026-09-14", "email": BY_NAME["email"],
            "uri": "https://lectern.example/", "binary": "",
        }  # fmt: skip
        if schema.get("format") in by_format:
            return str(by_format[schema["format"]])
        given = BY_NAME.get(name)
        value = given if isinstance(given, str) else ""
        if not value:
            value = "https://lectern.example/" if name.endswith(("_url", "url", "next", "previous")) else ""
            value = value or name.replace("_", " ") or "text"
        least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 4096))
        return (value + " …" * max(0, (least - len(value) + 1) // 2))[:most]

    def _number(self, schema: Json, name: str, kind: str) -> float | int:
        value = BY_NAME.get(name, schema.get("default"))
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            value = 1
        value = max(value, schema.get("minimum", value), schema.get("exclusiveMinimum", value - 1) + 1)
        value = min(value, schema.get("maximum", value))
        return int(value) if kind == "integer" else float(value)

    @staticmethod
    def _choice(name: str, allowed: list[Any]) -> Any:
        return BY_NAME[name] if BY_NAME.get(name) in allowed else allowed[0]
