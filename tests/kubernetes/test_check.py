"""The check of the manifests finds what it is for: each planted fault is told."""

import copy

import pytest
import yaml

from tests.kubernetes.check import problems
from tests.kubernetes.rendered import Json, of_kind

PLANTED = {
    "an unknown kind": "{apiVersion: policy/v1beta1, kind: PodDisruptionBudget,"
    " metadata: {name: a}, spec: {}}",
    "an unknown operator": "{apiVersion: kafka.strimzi.io/v1beta2, kind: KafkaTopic,"
    " metadata: {name: a}, spec: {}}",
    "a misspelt field": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, dta: {}}",
    "a wrong type": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: 1}}",
    "a custom field misspelt": "{apiVersion: kafka.strimzi.io/v1, kind: KafkaTopic, metadata: {name: a},"
    " spec: {partition: 6}}",
    "a custom field of a wrong type": "{apiVersion: kafka.strimzi.io/v1, kind: KafkaTopic,"
    " metadata: {name: a}, spec: {partitions: six}}",
    "a value that the operator does not know": "{apiVersion: kafka.strimzi.io/v1, kind: KafkaUser,"
    " metadata: {name: a}, spec: {authentication: {type: scram-sha-256}}}",
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_fault_is_found(what: str):
    assert problems(yaml.safe_load(PLANTED[what]))


@pytest.mark.parametrize(
    "kind", ["Kafka", "Cluster", "Pooler", "ScaledObject", "HTTPRoute", "ExternalSecret"]
)
def test_a_field_that_nobody_knows_is_found_deep_within_each_kind(kind: str):
    manifest = copy.deepcopy(of_kind("production", kind)[0])
    assert not problems(manifest)
    deepest(manifest["spec"])["surelyNot"] = True
    assert problems(manifest)


def deepest(value: Json) -> Json:
    """The innermost object of the spec's first list of objects, or of its first object."""
    for each in value.values():
        inner = each[0] if isinstance(each, list) and each else each
        if isinstance(inner, dict) and inner.keys() & {
            "name",
            "type",
            "backendRefs",
            "remoteRef",
            "listeners",
        }:
            return inner
    return value
