"""Columns of text."""

from collections.abc import Sequence


def aligned(rows: Sequence[list[str]], left: int = 2) -> str:
    """Columns of one width, the first ``left`` of them to the left, under a header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
