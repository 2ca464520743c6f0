"""Walks a data set as it streams by: reads the wanted attributes, checks the structure.

Nothing is recursive, nothing is kept but an incomplete header or an incomplete wanted value
(bounded), and values that nobody wants are skipped by their length without being touched. Nesting
is followed with an explicit stack as deep as ``max_sequence_depth``: deeper is a finding, because
sequences nested thousands of levels deep crash the parsers of common receivers.

Structural faults that receivers survive (an element that is cut short, a length that overruns its
item) are warnings: the walk ends there, and the bytes are passed on as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.dicom import uids
from router.dicom.elements import (
    FRAGMENT_VRS,
    HEADER_LENGTHS,
    ITEM,
    ITEM_END,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED_LENGTH,
    explicit_layout,
    explicit_length,
    header_of_unknown,
    long_length_layout,
    plain_layout,
    written,
)
from router.dicom.findings import Finding, FindingKind, ScanLimits, ScanResult
from router.dicom.harvest import Harvest, Level
from router.dicom.scan_plan import ScanPlan, Target, merged
from router.domain.dictionary import vr_of

__all__ = [
    "DataSetScanner",
    "Finding",
    "FindingKind",
    "ScanLimits",
    "ScanPlan",
    "ScanResult",
]

ITEM_BYTES = b"\xfe\xff\x00\xe0"
"""An item tag in little endian, which the content of an element of unknown VR always is."""

UNKNOWN_VRS = ("UN", "")
"""What the VR is called of an element whose VR nobody knows: in Explicit VR, in Implicit VR."""

BYTES_PER_LEVEL = 16
"""An item header and the header of a sequence within: a level of nesting has at least these."""


@dataclass(slots=True)
class _Frame:
    """A sequence, an item, or the fragments of encapsulated pixel data that the walk is in."""

    end: int  # position after it; -1 for undefined length
    is_item: bool
    implicit: bool
    big_endian: bool
    fragments: bool = False
    target: Target | None = None  # of a sequence
    level: Level | None = None  # of an item
    items: int = 0
    is_guess: bool = False  # bytes of unknown VR that look like a sequence, and may be none


class DataSetScanner:
    """Fed with the fragments of one data set as they arrive; never raises for content."""

    __slots__ = (
        "_big_endian",
        "_carry",
        "_finding",
        "_frames",
        "_harvest",
        "_implicit",
        "_limits",
        "_need",
        "_over",
        "_position",
        "_root",
        "_skip",
        "_top",
        "_warnings",
        "needs_stored_scan",
    )

    def __init__(self, plan: ScanPlan, transfer_syntax_uid: str, limits: ScanLimits):
        self.needs_stored_scan = uids.is_deflated(transfer_syntax_uid)
        """Deflated: nothing is read here, ``scan_stored`` has to do it off the loop."""
        self._root = plan.root
        self._limits = limits
        self._implicit = uids.is_implicit_vr(transfer_syntax_uid)
        self._big_endian = uids.is_big_endian(transfer_syntax_uid)
        self._top = Level(plan.root)
        self._harvest = Harvest(limits.max_kept_bytes)
        self._frames: list[_Frame] = []
        self._carry = bytearray()
        self._need = 0  # bytes that the carry must hold before it is looked at again
        self._skip = 0  # bytes of a value that are still to come
        self._position = 0  # of the next byte to be looked at, from the start of the data set
        self._over = False  # nothing more is looked at
        self._finding: Finding | None = None
        self._warnings: list[Finding] = []

    def feed(self, view: memoryview) -> None:
        """Look at the next bytes of the data set; keeps no view."""
        if self.needs_stored_scan:
            return
        start, end = 0, len(view)
        while start < end:
            if self._over:
                return
            skip = self._skip
            if skip:
                step = min(skip, end - start)
                self._skip = skip - step
                self._position += step
                start += step
            elif self._carry:
                start = self._complete_carry(view, start)
            else:
                start += self._parse(view[start:] if start else view)
                if not self._skip and start < end:
                    self._carry += view[start:]
                    return

    def _complete_carry(self, view: memoryview, start: int) -> int:
        """Add what the carry needs, and look at it as soon as it is enough."""
        taken = view[start : start + max(self._need - len(self._carry), 0)]
        self._carry += taken
        if len(self._carry) >= self._need:
            head = bytes(self._carry)
            self._carry.clear()
            self._need = 0
            rest = head[self._parse(memoryview(head)) :]
            self._carry += rest[self.pass_over(len(rest)) :]
        return start + len(taken)

    @property
    def study_instance_uid(self) -> str:
        """The Study Instance UID if it has been read already, else empty."""
        values = self._harvest.facts.get("StudyInstanceUID")
        return values[0] if values else ""

    def pass_over(self, available: int) -> int:
        """Go on without the next bytes, at most so many, as far as nobody wants to see them.

        How many were passed over; they must not be fed any more.
        """
        if self._over:
            return available
        step = min(self._skip, available)
        self._skip -= step
        self._position += step
        return step

    def finish(self) -> ScanResult:
        """The data set has ended: what was found in it."""
        while self._frames and self._frames[-1].end == self._position:
            self._frames.pop()
        if not self._over and (self._skip or self._carry or self._frames):
            self._warn(FindingKind.TRUNCATED, "the data set ends in the middle of an element")
        if self._harvest.left_out:
            self._warn(
                FindingKind.VALUE_TOO_LONG, f"{self._harvest.left_out} beside all the others"
            )
        return ScanResult(self._harvest.facts, self._finding, tuple(self._warnings))

    def _parse(self, view: memoryview) -> int:
        """Look at as many elements as ``view`` holds; the bytes used.

        Leaves ``_skip`` set when a value goes on beyond, ``_need`` when something incomplete and
        short is left over that has to be looked at in one piece.
        """
        if self._position == 0 and not self._settle_vr(view):
            return 0
        used = 0
        length = len(view)
        while used < length and not self._over:
            if self._frames:
                step = self._step_inside(view[used:])
            else:
                step = self._run_top_level(view, used)
            if step == 0:
                return used
            used += step
            if self._skip:
                return used
        return used

    def _settle_vr(self, view: memoryview) -> bool:
        """See in the first element whether there are VRs; False: more bytes are needed.

        Some senders label one encoding and send the other; receivers guess, and so it is read.
        """
        if len(view) < 8:
            self._need = 8
            return False
        raw_vr = bytes(view[4:6])
        has_vr = raw_vr in HEADER_LENGTHS
        if not self._implicit and header_of_unknown(raw_vr):
            has_vr = True
        if has_vr == self._implicit:
            self._warn(
                FindingKind.MISLABELLED,
                f"the data set is {'explicit' if has_vr else 'implicit'} VR, against its label",
            )
            self._implicit = not has_vr
        return True

    def _run_top_level(self, view: memoryview, start: int) -> int:
        """Elements of the data set itself: the hot loop. Returns the bytes used.

        Whatever is not plain is left to the careful way.
        """
        if self._implicit:
            return self._element(view[start:], None)
        elements = self._root.elements
        keep = self._harvest.keep
        longest = self._limits.max_value_bytes
        private = self._root.private
        unpack = explicit_layout(big_endian=self._big_endian).unpack_from
        unpack_long = long_length_layout(big_endian=self._big_endian).unpack_from
        header_lengths = HEADER_LENGTHS
        position, end = start, len(view)
        while end - position >= 8:
            group, element, vr, length = unpack(view, position)
            header = header_lengths.get(vr)
            if header is None or group == 0xFFFE or group == 2:
                break  # the careful way
            if header == 12:
                if vr == b"SQ" or vr == b"UN" or end - position < 12:
                    break
                (length,) = unpack_long(view, position + 8)
                if length == UNDEFINED_LENGTH:
                    break
            if group & 1 and private:
                break  # it may be wanted by its tag and by its creator, or be one
            whole = header + length
            target = elements.get(group << 16 | element)
            if target is not None:
                if not target.is_plain or length > longest or whole > end - position:
                    break
                raw = bytes(view[position + header : position + whole])
                keep(target, vr.decode(), raw, big_endian=self._big_endian, outermost=True)
                position += whole
                continue
            if whole > end - position:
                self._skip = whole - (end - position)
                self._position += end - start
                return end - start
            position += whole
        self._position += position - start
        if position > start:
            return position - start
        return self._element(view[start:], None)

    def _step_inside(self, view: memoryview) -> int:
        """One step within a sequence, an item or fragments. Returns the bytes used, 0: need more.

        A frame that has ended is closed without using bytes; the loop goes on in the outer one.
        """
        frame = self._frames[-1]
        if frame.end == self._position:
            self._frames.pop()
            return self._step_inside_or_top(view)
        if frame.is_item:
            return self._element(view, frame)
        return self._item_header(view, frame)

    def _step_inside_or_top(self, view: memoryview) -> int:
        while self._frames and self._frames[-1].end == self._position:
            self._frames.pop()
        if not self._frames:
            return self._run_top_level(view, 0)
        frame = self._frames[-1]
        return self._element(view, frame) if frame.is_item else self._item_header(view, frame)

    def _item_header(self, view: memoryview, frame: _Frame) -> int:
        if len(view) < 8:
            self._need = 8
            return 0
        layout = plain_layout(big_endian=frame.big_endian)
        group, element, length = layout.unpack_from(view)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            self._frames.pop()
        elif tag == ITEM and frame.fragments:
            self._use(8)
            self._skip_value(length, len(view) - 8)
            return 8 + self._within(length, len(view) - 8)
        elif tag == ITEM:
            return self._enter_item(frame, length)
        else:
            return self._stop(FindingKind.MALFORMED, f"{written(tag)} where an item belongs")
        self._use(8)
        return 8

    def _enter_item(self, frame: _Frame, length: int) -> int:
        index = frame.items
        frame.items += 1
        node = None
        if frame.target is not None:
            into = frame.target.into
            node = merged([into[key] for key in (None, index) if key in into])
        end = -1 if length == UNDEFINED_LENGTH else self._position + 8 + length
        if not self._fits(end):
            reason = f"an item of {length} bytes at {self._position}"
            return self._stop(FindingKind.LENGTH_OVERRUN, reason)
        self._frames.append(
            _Frame(end, True, frame.implicit, frame.big_endian, level=Level(node))  # noqa: FBT003
        )
        self._use(8)
        return 8

    def _fits(self, end: int) -> bool:
        """Whether something that ends there lies within all that contains it."""
        return all(frame.end < 0 or end <= frame.end for frame in self._frames[-2:])

    def _element(self, view: memoryview, frame: _Frame | None) -> int:
        """One element, the careful way. Returns the bytes used; 0: it needs more of them."""
        if len(view) < 8:
            self._need = 8
            return 0
        implicit = frame.implicit if frame else self._implicit
        big_endian = frame.big_endian if frame else self._big_endian
        group, element, plain = plain_layout(big_endian=big_endian).unpack_from(view)
        tag = group << 16 | element
        if group == 0xFFFE:
            return self._delimiter(tag, frame)
        if implicit:
            vr, header, length = vr_of(tag), 8, plain
        else:
            raw_vr = bytes(view[4:6])
            header = HEADER_LENGTHS.get(raw_vr) or header_of_unknown(raw_vr)
            if not header:
                reason = f"{written(tag)} at {self._position} has no VR that exists"
                return self._stop(FindingKind.MALFORMED, reason)
            if len(view) < header:
                self._need = header
                return 0
            vr = raw_vr.decode()
            length = explicit_length(view, header, big_endian=big_endian)
        if group == 2 and frame is None:
            self._warn(FindingKind.GROUP_0002, f"{written(tag)} in the data set")
        return self._value(view, frame, tag, vr, header, length)

    def _delimiter(self, tag: int, frame: _Frame | None) -> int:
        if tag == ITEM_END and frame is not None:
            self._frames.pop()
        elif frame is None or tag != SEQUENCE_END:
            return self._stop(FindingKind.MALFORMED, f"a stray delimiter at {self._position}")
        else:  # the item was not closed, its sequence is
            self._frames.pop()
            self._frames.pop()
        self._use(8)
        return 8

    def _value(
        self, view: memoryview, frame: _Frame | None, tag: int, vr: str, header: int, length: int
    ) -> int:
        level = frame.level if frame else self._top
        target = level.target(tag) if level else None
        if length == UNDEFINED_LENGTH:
            return self._enter_undefined(frame, tag, vr, target, header)
        if frame is not None and 0 <= frame.end < self._position + header + length:
            reason = f"{written(tag)} at {self._position}: {length} bytes"
            return self._stop(FindingKind.LENGTH_OVERRUN, reason)
        if vr == "SQ" and (target is not None or self._may_be_too_deep(length)):
            end = self._position + header + length
            self._use(header)
            self._enter_sequence(frame, end, target, tag)
            return header
        inside = target is not None and target.into
        if vr in UNKNOWN_VRS and (inside or self._may_be_too_deep(length)):
            if len(view) < header + len(ITEM_BYTES):
                self._need = header + len(ITEM_BYTES)
                return 0
            if view[header : header + len(ITEM_BYTES)] == ITEM_BYTES:
                return self._guess_sequence(frame, target, tag, header, length)
        if level and ((target is not None and target.names) or level.is_creator(tag)):
            if length <= self._limits.max_value_bytes:
                return self._wanted(view, frame, level, tag, vr, header, length)
            self._warn(FindingKind.VALUE_TOO_LONG, written(tag))
        self._use(header)
        self._skip_value(length, len(view) - header)
        return header + self._within(length, len(view) - header)

    def _wanted(
        self,
        view: memoryview,
        frame: _Frame | None,
        level: Level,
        tag: int,
        vr: str,
        header: int,
        length: int,
    ) -> int:
        """A value that is kept, as soon as it is there as a whole."""
        whole = header + length
        if len(view) < whole:
            self._need = whole
            return 0
        raw = bytes(view[header:whole])
        target = level.target(tag)
        if target is not None:
            big_endian = frame.big_endian if frame else self._big_endian
            self._harvest.keep(target, vr, raw, big_endian=big_endian, outermost=frame is None)
        if level.is_creator(tag):
            level.reserve(tag, raw)
        self._use(whole)
        return whole

    def _may_be_too_deep(self, length: int) -> bool:
        """Whether a sequence of so many bytes could hold more levels than are allowed."""
        levels = self._depth() + 1 + length // BYTES_PER_LEVEL
        return levels > self._limits.max_sequence_depth

    def _depth(self) -> int:
        return (len(self._frames) + 1) // 2

    def _guess_sequence(
        self, frame: _Frame | None, target: Target | None, tag: int, header: int, length: int
    ) -> int:
        """Go into bytes that some receivers take for a sequence; they need not be one."""
        end = self._position + header + length
        self._use(header)
        self._enter_sequence(frame, end, target, tag, unknown=True)
        if not self._over:
            self._frames[-1].is_guess = True
        return header

    def _enter_undefined(
        self, frame: _Frame | None, tag: int, vr: str, target: Target | None, header: int
    ) -> int:
        if tag == PIXEL_DATA or vr in FRAGMENT_VRS:
            self._frames.append(
                _Frame(
                    -1,
                    is_item=False,
                    implicit=self._implicit,
                    big_endian=frame.big_endian if frame else self._big_endian,
                    fragments=True,
                )
            )
        elif vr in ("SQ", *UNKNOWN_VRS):
            self._enter_sequence(frame, -1, target, tag, unknown=vr == "UN")
        else:
            return self._stop(FindingKind.MALFORMED, f"{written(tag)} of VR {vr} has no length")
        self._use(header)
        return header

    def _enter_sequence(
        self, frame: _Frame | None, end: int, target: Target | None, tag: int, unknown: bool = False
    ) -> None:
        """Content of an element of unknown VR is Implicit VR Little Endian (PS3.5 6.2.2)."""
        depth = self._depth() + 1
        if depth > self._limits.max_sequence_depth:
            self._finding = Finding(
                FindingKind.NESTING_TOO_DEEP,
                f"sequence {written(tag)} is nested {depth} levels deep; "
                f"{self._limits.max_sequence_depth} are allowed",
            )
            self._over = True
            return
        implicit = unknown or (frame.implicit if frame else self._implicit)
        big_endian = not unknown and (frame.big_endian if frame else self._big_endian)
        self._frames.append(
            _Frame(end, is_item=False, implicit=implicit, big_endian=big_endian, target=target)
        )

    def _use(self, count: int) -> None:
        self._position += count

    def _skip_value(self, length: int, available: int) -> None:
        inside = self._within(length, available)
        self._position += inside
        self._skip = length - inside

    @staticmethod
    def _within(length: int, available: int) -> int:
        return length if length < available else available

    def _warn(self, kind: FindingKind, reason: str) -> None:
        warning = Finding(kind, reason)
        if len(self._warnings) < self._limits.max_warnings and warning not in self._warnings:
            self._warnings.append(warning)  # an element is looked at again when more of it is there

    def _stop(self, kind: FindingKind, reason: str) -> int:
        """The walk cannot go on here: what was read until here stands. Uses no bytes.

        What was only guessed to be a sequence is passed over, and the walk goes on behind it.
        """
        guesses = [at for at, frame in enumerate(self._frames) if frame.is_guess]
        if guesses:
            self._skip = self._frames[guesses[-1]].end - self._position
            del self._frames[guesses[-1] :]
        else:
            self._warn(kind, reason)
            self._over = True
        return 0
