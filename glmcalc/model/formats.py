"""Bytes of a quantized matrix in the formats beside FP8 and NVFP4, scales and what else is stored with it included.

The formulas work on whole numbers and on columns of them alike. A matrix of ``rows x columns`` has its groups along the
columns.
"""

from __future__ import annotations

from glmcalc.facts.quantity import ceil_div

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


W4AFP8_GROUP = 128
MXFP4_GROUP = 32
MLX_GROUP = 64
INT4_GROUPS = (32, 64, 128)


def w4afp8_bytes(rows: int, columns: int) -> int:
    """INT4 in groups of 128 with one bf16 scale each, and one bf16 ``input_scale``.

    Source: the tensors that an engine makes for it (vllm-project/vllm pull request 53848: ``weight``, ``weight_scale_inv``,
    ``input_scale``; SGLang ``quantization/w4afp8.py``).

    >>> w4afp8_bytes(2048, 6144)
    6488066
    """
    return rows * columns // 2 + 2 * rows * ceil_div(columns, W4AFP8_GROUP) + 2


def mxfp4_bytes(rows: int, columns: int) -> int:
    """FP4 (E2M1) in groups of 32 with one E8M0 byte each (OCP microscaling; AMD Quark and MLX ``mxfp4``).

    >>> mxfp4_bytes(2048, 6144)
    6684672
    """
    return rows * columns // 2 + rows * ceil_div(columns, MXFP4_GROUP)


def int4_bytes(rows: int, columns: int, group: int, zero_points: bool) -> int:
    """INT4 with a bf16 scale for each group, packed 4-bit zero points where asymmetric, and the shape (two int64).

    Source: compressed-tensors ``pack-quantized`` (``weight_packed``, ``weight_scale``, ``weight_zero_point``,
    ``weight_shape``). AWQ's own files store the same but for the shape.

    >>> int4_bytes(2048, 6144, 128, zero_points=True)
    6537232
    """
    groups = rows * ceil_div(columns, group)
    return rows * columns // 2 + 2 * groups + (ceil_div(groups, 2) if zero_points else 0) + 16


def mlx_affine_bytes(rows: int, columns: int, bits: int, group: int = MLX_GROUP) -> int:
    """``bits`` an element, with a bf16 scale and a bf16 bias for each group (MLX ``affine``).

    >>> mlx_affine_bytes(2048, 6144, 4)
    7077888
    """
    return rows * columns * bits // 8 + 4 * rows * ceil_div(columns, group)


def _int4(group: int, zero_points: bool) -> Callable[[int, int], int]:
    return lambda rows, columns: int4_bytes(rows, columns, group, zero_points)


def _mlx(bits: int) -> Callable[[int, int], int]:
    return lambda rows, columns: mlx_affine_bytes(rows, columns, bits)


# The name that a recipe gives a format, and its formula. ``-zp``: with zero points.
QUANTIZED: dict[str, Callable[[int, int], int]] = {
    "w4afp8": w4afp8_bytes,
    "mxfp4": mxfp4_bytes,
    **{f"int4-g{group}": _int4(group, False) for group in INT4_GROUPS},
    **{f"int4-g{group}-zp": _int4(group, True) for group in INT4_GROUPS},
    **{f"mlx-{bits}bit": _mlx(bits) for bits in (2, 3, 4, 5, 6, 8)},
}

# Columns that may not be cut: a rank holds whole groups, as the kernels need them.
GROUPS = {
    "w4afp8": W4AFP8_GROUP, "mxfp4": MXFP4_GROUP,
    **{f"int4-g{group}{zp}": group for group in INT4_GROUPS for zp in ("", "-zp")},
}  # fmt: skip
