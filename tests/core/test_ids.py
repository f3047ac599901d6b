"""Request ids."""

import os
import uuid

from hypothesis import given, strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.ids import fresh_ids
from tests.kit.hypothesis_profile import STEADY


class IdTests(SynchronousTestCase):
    @STEADY
    @given(st.binary(min_size=16, max_size=16))
    def test_it_is_a_random_uuid(self, chance: bytes) -> None:
        """Whatever chance gives: version 4, the variant of RFC 9562, 122 free bits."""
        new_id = fresh_ids(lambda size: chance * (size // 16))
        expected = uuid.UUID(bytes=chance, version=4)
        self.assertEqual(new_id(), str(expected))

    def test_no_two_are_alike(self) -> None:
        """With the system's chance."""
        new_id = fresh_ids(os.urandom)
        self.assertEqual(len({new_id() for _ in range(1000)}), 1000)
