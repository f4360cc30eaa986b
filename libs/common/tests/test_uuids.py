"""Public ids: of version 4, in the order of time, and the same for the same event."""

from uuid import UUID

import uuid_utils
from hypothesis import given
from hypothesis import strategies as st

from libs.common.data.uuids import as_v4, ordered


def test_new_ids_are_of_version_4_and_sort_by_their_time():
    made = [ordered() for _ in range(1000)]
    assert {uuid.version for uuid in made} == {4}
    assert made == sorted(made)
    assert len(set(made)) == 1000


@given(st.uuids(version=4))
def test_an_id_of_version_4_is_its_own_public_form(uuid):
    assert as_v4(uuid) == uuid


def test_the_public_form_of_an_older_id_differs_in_its_version_only():
    old = UUID(bytes=uuid_utils.uuid7().bytes)
    assert as_v4(old).version == 4
    assert str(as_v4(old)) == str(old)[:14] + "4" + str(old)[15:]
