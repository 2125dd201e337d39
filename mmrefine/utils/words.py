"""Formatting of counts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun: '1 image', '2 images'.

    Example:
        >>> counted(1, 'image'), counted(2, 'image'), counted(2, 'category', 'categories')
        ('1 image', '2 images', '2 categories')
    """
    return f'{number} {noun}' if number == 1 else f'{number} {plural or noun + "s"}'


def listed(values: Iterable[object], count: int = 5) -> str:
    """The first values, and an ellipsis if there are more.

    Example:
        >>> listed('abc'), listed(range(9), 3)
        ('a, b, c', '0, 1, 2, …')
    """
    first = [str(value) for value in islice(values, count + 1)]
    return ', '.join(first[:count]) + (', …' if len(first) > count else '')
