from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from router.delivery.destinations.buckets import DIVIDE_BYTES, GROUP_BYTES, Piece, plan_buckets

SIZES = st.lists(
    st.one_of(
        st.integers(0, GROUP_BYTES // 4),
        st.sampled_from([GROUP_BYTES - 1, GROUP_BYTES, DIVIDE_BYTES - 1, DIVIDE_BYTES]),
        st.integers(DIVIDE_BYTES, 10 * DIVIDE_BYTES),
    ),
    max_size=30,
)


@given(SIZES)
def test_together_the_buckets_hold_each_byte_once(sizes: list[int]) -> None:
    pieces = defaultdict(list)
    for bucket in plan_buckets(sizes):
        for piece in bucket:
            pieces[piece.index].append((piece.offset, piece.offset + piece.size))

    for index, size in enumerate(sizes):
        edges = sorted(pieces[index])
        assert [start for start, _ in edges] == [0, *(end for _, end in edges)][: len(edges)]
        assert sum(end - start for start, end in edges) == size


@given(SIZES)
def test_no_bucket_is_larger_than_two_groups(sizes: list[int]) -> None:
    for bucket in plan_buckets(sizes):
        assert 0 < sum(piece.size for piece in bucket) <= DIVIDE_BYTES


@given(SIZES)
def test_only_a_piece_that_stands_alone_is_a_part_of_its_instance(sizes: list[int]) -> None:
    for bucket in plan_buckets(sizes):
        assert len(bucket) == 1 or all(
            (piece.offset, piece.size) == (0, sizes[piece.index]) for piece in bucket
        )


def test_small_instances_are_grouped_and_large_ones_divided() -> None:
    small, whole, large = GROUP_BYTES // 2, GROUP_BYTES, DIVIDE_BYTES + 1

    assert plan_buckets([small, whole, small, small, large]) == [
        (Piece(1, 0, whole),),
        (Piece(0, 0, small), Piece(2, 0, small)),
        (Piece(4, 0, large // 2),),
        (Piece(4, large // 2, large - large // 2),),
        (Piece(3, 0, small),),
    ]
