"""Python runs this first where the directory is on its path: see `tests.support.encrypted`."""

from tests.support.encrypted import encrypt_if_asked

encrypt_if_asked()
