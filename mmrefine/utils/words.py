"""Formatting of counts."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Format a count with its noun: '1 image', '2 images'.

    Example:
        >>> counted(1, 'image'), counted(2, 'image')
        ('1 image', '2 images')
    """
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'
