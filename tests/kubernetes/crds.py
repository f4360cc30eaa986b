"""The custom resources that the manifests use: their definitions, without descriptions, as JSON in `crds/`.

`python -m tests.kubernetes.crds FILE…` takes definitions over from the YAML of a project's release.
`problems` holds an object against its definition as an API server does, unknown fields included.
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

HERE = Path(__file__).parent / "crds"
Json = dict[str, Any]


@cache
def definitions() -> dict[str, Json]:
    """All definitions by the name of the kind."""
    found = [json.loads(path.read_text()) for path in sorted(HERE.glob("*.json"))]
    return {each["spec"]["names"]["kind"]: each for each in found}


@cache
def _schemas() -> dict[tuple[str, str], Draft202012Validator]:
    return {
        (f"{each['spec']['group']}/{version['name']}", kind): Draft202012Validator(
            strict(version["schema"]["openAPIV3Schema"])
        )
        for kind, each in definitions().items()
        for version in each["spec"]["versions"]
        if version["served"]
    }


def is_custom(manifest: Json) -> bool:
    return (manifest["apiVersion"], manifest["kind"]) in _schemas()


def problems(manifest: Json) -> list[str]:
    """What is wrong with a custom object, a line each."""
    schema = _schemas()[manifest["apiVersion"], manifest["kind"]]
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    return [f"{name}: {error.json_path}: {error.message}" for error in schema.iter_errors(manifest)]


def strict(schema: Json, *, top: bool = True) -> Json:
    """The same schema as JSON Schema, refusing fields that it does not know."""
    made = {name: value for name, value in schema.items() if not name.startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    made.pop("nullable", None)
    made.pop("format", None)
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    if "properties" in schema:
        made["properties"] = {name: strict(each, top=False) for name, each in schema["properties"].items()}
        if top:
            made["properties"]["metadata"] = {"type": "object"}
        elif not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if isinstance(schema.get("items"), dict):
        made["items"] = strict(schema["items"], top=False)
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(schema["additionalProperties"], top=False)
    return made


def without_descriptions(value: Any, *, named: bool = False) -> Any:
    """`named`: the keys are names of fields, one of which may be `description`."""
    if isinstance(value, list):
        return [without_descriptions(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: without_descriptions(each, named=key == "properties" and not named)
        for key, each in value.items()
        if named or key != "description"
    }


def take_over(path: Path) -> Iterator[str]:
    """Writes the definitions of a file into `crds/`, the served versions alone."""
    for each in yaml.safe_load_all(path.read_text()):
        if not each or each.get("kind") != "CustomResourceDefinition":
            continue
        name = each["metadata"]["name"]
        spec = each["spec"]
        spec.pop("conversion", None)
        spec["versions"] = [version for version in spec["versions"] if version["served"]]
        # Groups under k8s.io are protected: their definitions must say where they were approved.
        kept = {
            key: value
            for key, value in each["metadata"].get("annotations", {}).items()
            if key == "api-approved.kubernetes.io"
        }
        made = {
            "apiVersion": each["apiVersion"],
            "kind": each["kind"],
            "metadata": {"name": name, **({"annotations": kept} if kept else {})},
            "spec": without_descriptions(spec),
        }
        text = json.dumps(made, separators=(",", ":"), sort_keys=True)
        (HERE / f"{name}.json").write_text(text + "\n")
        yield name


def main() -> None:
    HERE.mkdir(exist_ok=True)
    for argument in sys.argv[1:]:
        for name in take_over(Path(argument)):
            print(name)


if __name__ == "__main__":
    main()
