"""Which instance goes next: order, pages, suspicion; no clock, no ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from router.delivery.queue import OTHER_REASONS, REASONS_KEPT, CandidateQueue
from router.delivery.queued import QueuedDelivery, Sending
from router.delivery.waiting import NEVER
from router.domain.delivery import Outcome, OutcomeKind
from tests.clock import NOON
from tests.delivery.builders import BYTES, delivery, item, items
from tests.delivery.writers import BUSY, REFUSED, STORED


def queue_of(*numbers: int) -> CandidateQueue:
    """Fill a queue with deliveries that may all be sent now."""
    queue = CandidateQueue(drops_allowed=3)
    for number in numbers:
        queue.add(delivery(number), 0.0)
    queue.release(0.0)
    return queue


def head(queue: CandidateQueue) -> QueuedDelivery:
    queued = queue.head()
    assert queued is not None
    return queued


def begin(queue: CandidateQueue, *instance_ids: int, last: bool = True) -> QueuedDelivery:
    """Begin the attempt whose turn it is, with a page of these instances."""
    queued = head(queue)
    queue.begin(queued, queued.delivery)
    queue.fill(queued, items(*instance_ids), last=last)
    return queued


def take(queue: CandidateQueue) -> Sending:
    sending = queue.take(head(queue))
    assert sending is not None
    return sending


def take_suspect(queue: CandidateQueue) -> Sending:
    sending = queue.take_suspect()
    assert sending is not None
    return sending


def again(queue: CandidateQueue, queued: QueuedDelivery, *instance_ids: int) -> None:
    """End the attempt and begin the next one, with a page of these instances."""
    queue.take_results(queued)
    queue.postpone(queued, queued.delivery, 0.0)
    queue.release(0.0)
    begin(queue, *instance_ids)


def drop(queue: CandidateQueue, sending: Sending, *, silent: bool = False) -> Outcome:
    outcome = queue.dropped(sending, "the peer aborted", silent=silent)
    queue.finish(sending, outcome, NOON)
    return outcome


# -- whose turn it is --------------------------------------------------------------------------


def test_the_urgent_delivery_goes_first() -> None:
    queue = CandidateQueue(drops_allowed=3)
    queue.add(delivery(1, remaining_bytes=BYTES), 0.0)
    queue.add(delivery(2, priority=0, remaining_bytes=10**9), 0.0)
    queue.release(0.0)

    assert head(queue).delivery.id == 2


def test_the_smaller_one_of_equal_priority_goes_first() -> None:
    queue = CandidateQueue(drops_allowed=3)
    queue.add(delivery(1, remaining_bytes=2 * 10**9), 0.0)
    queue.add(delivery(2, remaining_bytes=20 * 10**6), 0.0)
    queue.release(0.0)

    assert head(queue).delivery.id == 2


def test_a_large_one_that_waits_long_enough_is_not_overtaken_for_ever() -> None:
    queue = CandidateQueue(drops_allowed=3)
    queue.add(delivery(1, remaining_bytes=2 * 10**9), 0.0)
    for number in range(2, 10):
        late = NOON + timedelta(hours=number)
        queue.add(delivery(number, remaining_bytes=BYTES, created_at=late), 0.0)
    queue.release(0.0)

    order = []
    while (queued := queue.head()) is not None:
        order.append(queued.delivery.id)
        queue.remove(queued)

    assert order.index(1) == 1


def test_what_has_less_left_to_send_by_now_moves_forward() -> None:
    queue = CandidateQueue(drops_allowed=3)
    queue.add(delivery(1, remaining_bytes=100), 0.0)
    queue.add(delivery(2, remaining_bytes=1000), 0.0)
    queue.release(0.0)
    second = next(queued for queued in queue.unbegun() if queued.delivery.id == 2)

    queue.update(second, delivery(2, remaining_bytes=10))

    assert head(queue) is second


def test_a_delivery_that_is_known_stays_as_it_is() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1, 2)

    queue.add(delivery(1), 0.0)

    assert len(queue) == 1
    assert head(queue) is queued


def test_a_delivery_that_was_removed_can_come_back_while_its_past_is_still_in_flight() -> None:
    queue = queue_of(1)
    begin(queue, 1)
    late = take(queue)
    queue.remove(late.queued)
    queue.add(delivery(1), 0.0)
    queue.release(0.0)

    queue.finish(late, STORED, NOON)

    assert queue.unrecorded == 0
    assert head(queue) is not late.queued


# -- revisions of one study --------------------------------------------------------------------


def revisions(*deliveries: tuple[int, int]) -> CandidateQueue:
    """Fill a queue with deliveries of one study: number and revision of each, smaller and smaller.

    What comes later is smaller and more urgent, so that it would go first.
    """
    queue = CandidateQueue(drops_allowed=3)
    for place, (number, revision) in enumerate(deliveries):
        size, priority = 10 ** (9 - place), 20 - 10 * place
        queue.add(
            delivery(number, study=1, revision=revision, remaining_bytes=size, priority=priority),
            0.0,
        )
    queue.release(0.0)
    return queue


def in_order(queue: CandidateQueue) -> list[int]:
    """End one delivery after the other, as their turns come."""
    order = []
    while (queued := queue.head()) is not None:
        order.append(queued.delivery.id)
        queue.remove(queued)
        queue.release(0.0)
    return order


def test_a_revision_never_overtakes_an_earlier_one_of_its_study() -> None:
    assert in_order(revisions((1, 1), (2, 2), (3, 3))) == [1, 2, 3]


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.sampled_from([0, 10, 20])),
        unique_by=lambda one: one[:2],
    )
)
def test_every_delivery_has_its_turn_and_none_before_an_earlier_revision(
    arriving: list[tuple[int, int, int]],
) -> None:
    queue = CandidateQueue(drops_allowed=3)
    for number, (study, revision, priority) in enumerate(arriving, start=1):
        queue.add(delivery(number, study=study, revision=revision, priority=priority), 0.0)
    queue.release(0.0)

    gone = [arriving[number - 1][:2] for number in in_order(queue)]

    assert sorted(gone) == sorted(one[:2] for one in arriving)
    assert sorted(gone) == sorted(gone, key=lambda one: one[0])


def test_an_earlier_revision_that_is_sent_again_goes_before_a_later_one() -> None:
    assert in_order(revisions((5, 2), (7, 1))) == [7, 5]


def test_a_revision_waits_for_an_earlier_one_that_waits_for_its_next_attempt() -> None:
    queue = revisions((1, 1), (2, 2))
    first = begin(queue, 1)
    queue.finish(take(queue), BUSY, NOON)
    queue.take_results(first)
    queue.postpone(first, first.delivery, 60.0)
    queue.release(59.0)

    assert (queue.head(), queue.next_due) == (None, 60.0)
    queue.release(60.0)
    assert in_order(queue) == [1, 2]


def test_a_revision_does_not_wait_for_what_is_over_or_for_other_studies() -> None:
    queue = revisions((1, 1), (2, 2))
    queue.add(delivery(3, remaining_bytes=10**12, priority=20), 0.0)
    queue.release(0.0)
    first = begin(queue, 1)
    queue.finish(take(queue), REFUSED, NOON)
    assert head(queue).delivery.id == 3

    queue.remove(first)
    queue.release(0.0)

    assert head(queue).delivery.id == 2


def test_a_revision_that_a_person_ends_lets_the_next_one_go() -> None:
    queue = revisions((1, 1), (2, 2))

    queue.withdraw(1)

    assert queue.is_scheduled
    queue.release(0.0)
    assert in_order(queue) == [2]


def test_a_revision_that_is_revived_goes_before_the_rest_of_a_later_one() -> None:
    queue = revisions((2, 2))
    begin(queue, 10, 11)
    under_way = take(queue)
    queue.renew(delivery(1, study=1, revision=1), 0.0)
    queue.release(0.0)
    queue.give_back(under_way)

    assert in_order(queue) == [1, 2]


def test_a_suspect_waits_for_an_earlier_revision_too() -> None:
    queue, _ = suspected()
    assert queue.take(head(queue)) is None
    queue.add(delivery(2, study=1, revision=0), 60.0)

    assert (queue.has_next, queue.take_suspect()) == (False, None)
    queue.withdraw(2)
    assert take_suspect(queue).item.instance_id == 1


# -- time --------------------------------------------------------------------------------------


def test_nothing_goes_before_its_time() -> None:
    queue = CandidateQueue(drops_allowed=3)
    queue.add(delivery(1), 7.0)
    queue.release(6.9)

    assert queue.head() is None
    assert queue.next_due == 7.0
    queue.release(7.0)
    assert head(queue).delivery.id == 1


def test_what_waits_for_no_known_time_is_not_scheduled_until_it_is_woken() -> None:
    queue = CandidateQueue(drops_allowed=3)
    queue.add(delivery(1), NEVER)

    assert (queue.is_scheduled, queue.next_due) == (False, NEVER)
    queue.wake(5.0)
    assert (queue.is_scheduled, queue.next_due) == (True, 5.0)


def test_what_a_person_wants_while_its_attempt_begins_is_sent() -> None:
    queue = queue_of(1)
    queued = head(queue)
    queue.renew(delivery(1), 0.0)  # while the ledger counts the attempt
    queue.begin(queued, queued.delivery)
    queue.fill(queued, items(1), last=True)
    queue.release(0.0)

    assert take(queue).item.instance_id == 1


def test_waking_brings_forward_what_waits_for_its_time() -> None:
    queue = CandidateQueue(drops_allowed=3)
    queue.add(delivery(1), 300.0)

    queue.wake(5.0)
    queue.release(5.0)

    assert head(queue).delivery.id == 1
    assert queue.next_due == NEVER


def test_a_removed_delivery_leaves_no_time_to_wait_for() -> None:
    queue = CandidateQueue(drops_allowed=3)
    queue.add(delivery(1), 0.0)
    queue.release(0.0)
    queued = begin(queue)
    queue.postpone(queued, queued.delivery, 300.0)

    queue.remove(queued)

    assert (queue.is_scheduled, queue.next_due, len(queue)) == (False, NEVER, 0)


# -- instances ---------------------------------------------------------------------------------


def test_instances_go_out_in_order_of_arrival_page_by_page() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1, 2, last=False)

    first = [take(queue).item.instance_id for _ in range(2)]
    assert queue.take(queued) is None
    assert queued.cursor == 2
    queue.fill(queued, items(3), last=True)

    assert [*first, take(queue).item.instance_id] == [1, 2, 3]
    assert queue.head() is None


def test_an_attempt_is_over_when_all_is_answered_and_written_down() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1)
    sending = take(queue)
    assert not queued.is_answered

    queue.finish(sending, STORED, NOON)
    assert (queued.is_answered, queued.is_over) == (True, False)
    queue.take_results(queued)
    assert queued.is_over


def test_an_overtaken_delivery_gives_its_page_back_and_goes_on_after_its_cursor() -> None:
    queue = queue_of(1)
    slow = begin(queue, 1, 2, 3)
    take(queue)
    queue.add(delivery(2, priority=0), 0.0)
    queue.release(0.0)

    fast = begin(queue, 11)
    assert take(queue).queued is fast
    assert (len(slow.page), slow.cursor, slow.exhausted) == (0, 1, False)

    assert queue.take(head(queue)) is None
    queue.fill(slow, items(2, 3), last=True)
    assert take(queue).item.instance_id == 2


def test_what_is_given_back_is_next_again() -> None:
    queue = queue_of(1)
    begin(queue, 1)
    sending = take(queue)
    assert queue.head() is None

    queue.give_back(sending)

    assert take(queue).item.instance_id == 1


def test_what_is_given_back_for_a_removed_delivery_is_forgotten() -> None:
    queue = queue_of(1)
    begin(queue, 1)
    sending = take(queue)
    queue.remove(sending.queued)

    queue.give_back(sending)

    assert (queue.head(), queue.in_flight) == (None, 0)


def test_a_stopped_attempt_hands_out_nothing_and_is_over_when_the_last_answer_is_in() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1, 2, 3)
    sending = take(queue)

    queue.stop("no answer")
    assert (queue.has_next, queued.is_answered) == (False, False)
    queue.finish(sending, STORED, NOON)
    queue.take_results(queued)

    assert (queued.is_over, queued.stopped) == (True, "no answer")


def test_the_first_reason_to_stop_is_kept() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1)

    queue.stop("no answer")
    queue.stop("not registered")

    assert queued.stopped == "no answer"


def test_a_page_that_comes_after_the_attempt_was_stopped_is_not_used() -> None:
    queue = queue_of(1)
    queued = begin(queue, last=False)
    queue.stop("no answer")
    queue.fill(queued, items(1), last=True)
    queue.postpone(queued, queued.delivery, 0.0)
    queue.fill(queued, items(1), last=True)

    assert (len(queued.page), queued.exhausted) == (0, False)


def test_the_next_attempt_walks_over_all_items_again() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1, 2)
    queue.finish(take(queue), STORED, NOON)
    queue.finish(take(queue), BUSY, NOON)

    again(queue, queued, 2)

    assert take(queue).item.instance_id == 2


def test_an_association_is_proposed_for_the_instance_first_and_for_its_page() -> None:
    queue = queue_of(1)
    begin(queue, 1, 2, 3)

    assert [item.instance_id for item in queue.proposal(take(queue))] == [1, 2, 3]


def test_stored_instances_are_counted_with_their_bytes() -> None:
    queue = queue_of(1)
    begin(queue, 1, 2, 3)
    for outcome in (STORED, STORED, REFUSED):
        queue.finish(take(queue), outcome, NOON)

    assert (queue.stored, queue.stored_bytes, queue.unrecorded) == (2, 2 * BYTES, 3)


def test_results_that_were_not_written_are_forgotten_with_their_delivery() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1)
    queue.finish(take(queue), STORED, NOON)

    queue.remove(queued)

    assert queue.unrecorded == 0


def test_of_many_different_reasons_only_the_first_few_are_kept_apart() -> None:
    queue = queue_of(1)
    queued = begin(queue, *range(1, 101))
    for number in range(100):
        outcome = Outcome(OutcomeKind.TEMPORARY, 0xA700, f"invented reason {number}")
        queue.finish(take(queue), outcome, NOON)

    assert len(queued.setbacks) == REASONS_KEPT + 1
    assert queued.setbacks[OTHER_REASONS] == 100 - REASONS_KEPT


# -- suspicion ---------------------------------------------------------------------------------


def suspected(*others: int) -> tuple[CandidateQueue, QueuedDelivery]:
    """Begin an attempt on a delivery after two associations dropped on its instance 1."""
    queue = queue_of(1)
    queued = begin(queue, 1)
    drop(queue, take(queue))
    again(queue, queued, 1)
    drop(queue, take(queue))
    again(queue, queued, 1, *others)
    return queue, queued


def test_one_drop_is_not_enough_to_be_suspected() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1, 2)
    assert drop(queue, take(queue)).kind is OutcomeKind.TEMPORARY

    again(queue, queued, 1, 2)

    assert take(queue).item.instance_id == 1


def test_an_instance_that_associations_dropped_on_twice_goes_last_and_alone() -> None:
    queue, _ = suspected(2, 3)

    before = [take(queue), take(queue)]
    assert [sending.item.instance_id for sending in before] == [2, 3]
    assert (queue.head(), queue.take_suspect(), queue.has_next) == (None, None, False)
    for sending in before:
        queue.finish(sending, STORED, NOON)

    suspect = take_suspect(queue)
    assert (suspect.item.instance_id, suspect.alone) == (1, True)
    assert [item.instance_id for item in queue.proposal(suspect)] == [1]


def test_other_deliveries_go_before_an_instance_that_is_suspected() -> None:
    queue, _ = suspected()
    assert queue.take(head(queue)) is None
    queue.add(delivery(2, remaining_bytes=10**9), 0.0)
    queue.release(0.0)

    assert head(queue).delivery.id == 2


def test_what_comes_much_later_does_not_keep_a_suspect_waiting() -> None:
    queue, _ = suspected(2)
    under_way = take(queue)
    late = NOON + timedelta(hours=1)
    queue.add(delivery(2, created_at=late), 0.0)
    queue.release(0.0)

    assert (queue.head(), queue.take_suspect()) == (None, None)
    queue.finish(under_way, STORED, NOON)
    assert queue.has_next
    queue.finish(take_suspect(queue), STORED, NOON)
    assert head(queue).delivery.id == 2


def test_nothing_else_goes_out_while_an_instance_is_sent_alone() -> None:
    queue, _ = suspected()
    assert queue.take(head(queue)) is None
    suspect = take_suspect(queue)
    queue.add(delivery(2), 0.0)
    queue.release(0.0)

    assert (queue.head(), queue.has_next) == (None, False)
    queue.finish(suspect, STORED, NOON)
    assert head(queue).delivery.id == 2


def test_a_suspect_that_was_not_sent_stays_one() -> None:
    queue, _ = suspected()
    assert queue.take(head(queue)) is None

    queue.give_back(take_suspect(queue))

    assert take_suspect(queue).alone


def test_a_suspect_on_which_an_association_drops_again_is_refused_for_good() -> None:
    queue, queued = suspected()
    assert queue.take(head(queue)) is None

    outcome = drop(queue, take_suspect(queue))

    assert outcome.kind is OutcomeKind.PERMANENT
    assert outcome.reason == ("the association dropped 3 times on this instance: the peer aborted")
    assert queued.is_answered


def test_drops_are_counted_in_what_is_written_down() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1, 2)
    drop(queue, take(queue))
    queue.finish(take(queue), STORED, NOON)

    assert [result.drops for result in queue.take_results(queued)] == [1, 0]


def test_drops_that_a_former_run_counted_count() -> None:
    queue = queue_of(1)
    queued = head(queue)
    queue.begin(queued, queued.delivery)
    queue.fill(queued, [replace(item(1), drops=2), item(2)], last=True)

    queue.finish(take(queue), STORED, NOON)
    assert queue.take(queued) is None

    assert drop(queue, take_suspect(queue)).kind is OutcomeKind.PERMANENT


def test_silence_after_a_restart_speaks_against_the_candidate_until_it_stores_something() -> None:
    queue = queue_of(1)
    queued = head(queue)
    queue.begin(queued, queued.delivery)
    queue.fill(queued, [replace(item(1), drops=2)], last=True)
    assert queue.take(queued) is None

    assert drop(queue, take_suspect(queue), silent=True).kind is OutcomeKind.TEMPORARY


def test_a_suspect_that_is_stored_is_not_suspected_any_more() -> None:
    queue, queued = suspected()
    assert queue.take(head(queue)) is None

    queue.finish(take_suspect(queue), STORED, NOON)

    assert queued.drops == {}


def test_silence_speaks_against_a_candidate_that_stores_nothing_else() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1)
    for _ in range(10):
        assert drop(queue, take(queue), silent=True).kind is OutcomeKind.TEMPORARY
        again(queue, queued, 1)

    assert take(queue).alone is False


def test_silence_speaks_against_an_instance_when_others_are_stored_meanwhile() -> None:
    queue = queue_of(1)
    queued = begin(queue, 1, 2)
    for other in (3, 4):
        drop(queue, take(queue), silent=True)
        queue.finish(take(queue), STORED, NOON)
        again(queue, queued, 1, other)
    queue.finish(take(queue), STORED, NOON)

    assert take_suspect(queue).item.instance_id == 1
