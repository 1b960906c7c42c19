"""Values and names in the messages of errors."""

import pytest

from nasir.messages import bare, cut, first_line, shown


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: cut("abc", 3), "abc"),
        (lambda: cut("abcd", 3), "abc..."),
        (lambda: shown(["a"]), "['a']"),
        (lambda: shown("abcd", 3), "'ab..."),
        (lambda: bare("it's\n"), "it's\\n"),
        (lambda: bare("abcd", 3), "abc..."),
        (lambda: first_line(ValueError("\nwhat\nwhere")), "what"),
        (lambda: shown(10**5000), "a int that is too large to be shown"),
    ],
)
def test_what_a_message_has_of_a_value_or_a_name(call, expected):
    assert call() == expected
